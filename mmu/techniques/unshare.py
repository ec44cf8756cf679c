"""A host frame for a page that the guest uses; for a store, one that others do not share."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.p2m import is_merged
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import STORE
from mmulab.mmu.vmm.calls import back, own
from mmulab.mmu.vmm.exits import flush_vm


@kernel
def unshare(machine, gfn):
    """Drops what maps a merged page, before a store gives the guest frame its own."""
    if is_merged(machine, gfn):
        seam.drop_mapping(machine, gfn)
        flush_vm(machine)


@kernel
def provide(machine, gfn, kind):
    """A host frame for a page that the program uses, for a store one of its own."""
    if kind == STORE and is_merged(machine, gfn):
        unshare(machine, gfn)
        return own(machine, gfn)
    return back(machine, gfn)
