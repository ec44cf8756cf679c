"""A VM moves to another host of the scenario while it runs (`host.migration`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.host.migration import Migration
from mmulab.mmu.host.migration_report import MigrationSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.services.events.action import RUNNING, Action


@dataclass(frozen=True)
class Migrate(MigrationSettings, Action):
    name: ClassVar[str] = "migrate"
    needs: ClassVar[tuple[str, ...]] = (RUNNING,)
    moves: ClassVar[bool] = True

    def act(self, system: System, guest: Guest) -> float:
        Migration(self, system, guest).begin()
        return 0.0
