"""A VM becomes a template: it never runs again, and nothing writes to it; VMs are cloned of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.host import life
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.services.events.action import RUNNING, SUSPENDED, TEMPLATE, Action


@dataclass(frozen=True)
class Template(Action):
    name: ClassVar[str] = "template"
    needs: ClassVar[tuple[str, ...]] = (RUNNING, SUSPENDED)
    moves: ClassVar[bool] = True

    def state_after(self, before: str) -> str:
        return TEMPLATE

    def act(self, system: System, guest: Guest) -> float:
        life.suspend(guest)
        return 0.0
