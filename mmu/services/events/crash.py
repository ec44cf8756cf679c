"""A VM is gone at once. With a dump, its memory is written first, as `virsh dump --crash` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.host import life
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.services.events.action import OFF, RUNNING, SUSPENDED, Action


@dataclass(frozen=True)
class Crash(Action):
    """dump: keep what its memory held, in the store of images."""

    dump: bool = False

    name: ClassVar[str] = "crash"
    needs: ClassVar[tuple[str, ...]] = (RUNNING, SUSPENDED)
    copies: ClassVar[int] = 1

    def state_after(self, before: str) -> str:
        return OFF

    def act(self, system: System, guest: Guest) -> float:
        seconds = 0.0
        if self.dump:
            frozen, seconds = life.freeze(system, guest, f"{guest.name}, dumped", True)
            guest.images.append(frozen)
        life.switch_off(system, guest)
        return seconds
