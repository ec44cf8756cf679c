"""A VM is gone, with its disk, its snapshots and its images; clones of it stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.host import life
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.services.events.action import DELETED, STATES, Action


@dataclass(frozen=True)
class Delete(Action):
    name: ClassVar[str] = "delete"
    needs: ClassVar[tuple[str, ...]] = tuple(state for state in STATES[1:] if state != DELETED)

    def state_after(self, before: str) -> str:
        return DELETED

    def act(self, system: System, guest: Guest) -> float:
        life.switch_off(system, guest)
        life.delete_images(system, guest)
        return 0.0
