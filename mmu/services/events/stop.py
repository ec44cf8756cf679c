"""A VM is switched off, as at its `stop`: its memory goes back, its disk stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.host import life
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.services.events.action import OFF, RUNNING, SUSPENDED, TEMPLATE, Action


@dataclass(frozen=True)
class Stop(Action):
    name: ClassVar[str] = "stop"
    needs: ClassVar[tuple[str, ...]] = (RUNNING, SUSPENDED, TEMPLATE)

    def state_after(self, before: str) -> str:
        return OFF

    def act(self, system: System, guest: Guest) -> float:
        life.switch_off(system, guest)
        return 0.0
