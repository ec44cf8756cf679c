"""A VM that was off is switched on: it boots, and its workload begins anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.services.events.action import OFF, RUNNING, Action


@dataclass(frozen=True)
class Start(Action):
    name: ClassVar[str] = "start"
    needs: ClassVar[tuple[str, ...]] = (OFF,)

    def state_after(self, before: str) -> str:
        return RUNNING

    def act(self, system: System, guest: Guest) -> float:
        guest.renew()
        guest.go_to(None, booted=False)
        system.run_now(guest, guest.start)
        guest.ready_at = system.now
        return 0.0
