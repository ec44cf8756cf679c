"""A VM does not run until it is resumed: it keeps its memory, or that goes to storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.errors import check_choice
from mmulab.mmu.host import life
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.services.events.action import RUNNING, SAVED, SUSPENDED, Action


@dataclass(frozen=True)
class Suspend(Action):
    """to: "memory" or "disk"."""

    to: str = "memory"

    name: ClassVar[str] = "suspend"
    moves: ClassVar[bool] = True
    copies: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = (RUNNING,)

    def __post_init__(self) -> None:
        check_choice("suspend to", self.to, ("memory", "disk"))

    def state_after(self, before: str) -> str:
        return SAVED if self.to == "disk" else SUSPENDED

    def act(self, system: System, guest: Guest) -> float:
        if self.to == "disk":
            return life.save(system, guest)
        life.suspend(guest)
        return 0.0
