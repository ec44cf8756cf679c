"""A VM that was suspended goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.errors import check_choice
from mmulab.mmu.host import life
from mmulab.mmu.host.settings import LAZY, RESTORES
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.services.events.action import RUNNING, SAVED, SUSPENDED, Action


@dataclass(frozen=True)
class Resume(Action):
    """restore: how its memory comes back from disk, "eager" or "lazy"."""

    restore: str = LAZY

    name: ClassVar[str] = "resume"
    needs: ClassVar[tuple[str, ...]] = (SUSPENDED, SAVED)

    def __post_init__(self) -> None:
        check_choice("resume: restore", self.restore, RESTORES[:2])

    def state_after(self, before: str) -> str:
        return RUNNING

    def act(self, system: System, guest: Guest) -> float:
        return life.resume(system, guest, self.restore)
