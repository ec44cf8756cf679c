"""A snapshot of a VM, which goes on: its memory is shared copy-on-write, or written to storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.errors import InputError, check_choice
from mmulab.mmu.host import life
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.services.events.action import RUNNING, SUSPENDED, TEMPLATE, Action


@dataclass(frozen=True)
class Snapshot(Action):
    """snapshot: its name. to: "memory" or "disk"."""

    snapshot: str
    to: str = "memory"

    name: ClassVar[str] = "snapshot"
    needs: ClassVar[tuple[str, ...]] = (RUNNING, SUSPENDED, TEMPLATE)
    moves: ClassVar[bool] = True
    copies: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_choice("snapshot to", self.to, ("memory", "disk"))
        if not self.snapshot or "@" in self.snapshot:
            raise InputError(f"snapshot = {self.snapshot!r}; expected a name without @")

    def act(self, system: System, guest: Guest) -> float:
        name = f"{guest.name}@{self.snapshot}"
        frozen, seconds = life.freeze(system, guest, name, self.to == "disk")
        system.snapshots[name] = frozen
        if self.to == "disk":
            guest.image_blocks += int(frozen.vm.record[0]["paged_out"])
        return seconds
