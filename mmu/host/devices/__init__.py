"""Devices that the VMM gives to guests: called by the guest's drivers, by address."""

from __future__ import annotations

from mmulab.mmu.host.devices import balloon, disk
from mmulab.mmu.techniques.seam import SERVICE_SECTION

#: Writes the devices' addresses into `VM.ops`.
link = SERVICE_SECTION.linker(
    __name__,
    {
        "dma_read": disk.read,
        "dma_write": disk.write,
        "balloon_give": balloon.give,
        "balloon_done": balloon.done,
    },
)
