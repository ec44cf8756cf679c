"""What techniques and devices ask of the VMM's memory; `backing` does it.

Each returns OK or OUT_OF_HOST_FRAMES: the host pages out, and it is asked again.
"""

from __future__ import annotations

from mmulab.mmu.hardware.ops import Section
from mmulab.mmu.vmm import backing

SECTION = Section(16, 16)

back = SECTION.op(
    "back", "gfn", "backs a guest frame: with zeros of the VM's page size, or what was paged out"
)
overwrite = SECTION.op(
    "overwrite",
    "gfn by_device",
    "backs a guest frame that is about to be overwritten whole, by a device or the guest",
)
own = SECTION.op("own", "gfn", "a store to a merged page: the guest frame gets a copy")

link = SECTION.linker(
    __name__, {"back": backing.back, "overwrite": backing.overwrite, "own": backing.own}
)
