"""A store to a page whose frame others share: what leads to it goes first."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.p2m import is_merged
from mmulab.mmu.techniques import seam
from mmulab.mmu.vmm.exits import flush_vm


@kernel
def unshare(machine, gfn):
    """Drops what maps a merged page, before a store gives the guest frame its own."""
    if is_merged(machine, gfn):
        seam.drop_mapping(machine, gfn)
        flush_vm(machine)
