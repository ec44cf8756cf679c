"""A VM goes back to a snapshot of itself: what it has done since is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.errors import check_choice
from mmulab.mmu.host import life
from mmulab.mmu.host.settings import LAZY, RESTORES
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.services.events.action import OFF, RUNNING, SUSPENDED, Action, snapshot_of


@dataclass(frozen=True)
class Restore(Action):
    """snapshot: its name. restore: how its memory comes back, "eager", "lazy" or "working-set"."""

    snapshot: str
    restore: str = LAZY

    name: ClassVar[str] = "restore"
    needs: ClassVar[tuple[str, ...]] = (RUNNING, SUSPENDED, OFF)
    moves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice("restore", self.restore, RESTORES)

    def state_after(self, before: str) -> str:
        return RUNNING

    def act(self, system: System, guest: Guest) -> float:
        frozen = snapshot_of(system, guest, self.snapshot)
        life.switch_off(system, guest)
        guest.renew()
        return life.thaw(system, guest, frozen, self.restore, frozen.position)
