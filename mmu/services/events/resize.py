"""A VM gets memory, or gives it up, in blocks of 2 MiB (`guest.drivers.hot_plug`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmulab.mmu.errors import check_range
from mmulab.mmu.guest.drivers import hot_plug
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory.entries import PAGE_BYTES
from mmulab.mmu.services.events.action import Action


@dataclass(frozen=True)
class Resize(Action):
    """size: bytes that the VM is to have, of `memory`, which is the most; rounded up to a block.
    It may keep more, where not enough blocks are free."""

    size: int

    name: ClassVar[str] = "resize"

    def __post_init__(self) -> None:
        check_range("size of a VM", self.size, hot_plug.BLOCK * PAGE_BYTES, 1 << 52, " bytes")

    def act(self, system: System, guest: Guest) -> float:
        """The device is told of each block, an exit each: what else it takes is left out."""
        wanted = max(0, guest.frames - -(-self.size // PAGE_BYTES)) // hot_plug.BLOCK
        change = wanted - guest.unplugged // hot_plug.BLOCK
        if change > 0:
            blocks = int(hot_plug.unplug(guest.machine, change))
        else:
            blocks = int(hot_plug.plug(guest.machine, -change))
        seconds = blocks * guest.costs["cost.vm_exit"].value / system.hertz
        guest.ready_at = max(guest.ready_at, system.now + seconds)
        return seconds
