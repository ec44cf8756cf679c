"""A host frame for a page that the guest uses; for a store, one that others do not share."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.p2m import is_merged
from mmulab.mmu.memory.status import OK
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import STORE
from mmulab.mmu.vmm import dirty_log
from mmulab.mmu.vmm.calls import back, own
from mmulab.mmu.vmm.exits import flush_vm


@kernel
def is_read_only(machine, gfn):
    """True where a store to a page must exit: it is shared, or logged."""
    return is_merged(machine, gfn) or dirty_log.is_protected(machine, gfn)


@kernel
def unshare(machine, gfn):
    """Drops what maps a merged page, before a store gives the guest frame its own."""
    if is_merged(machine, gfn):
        seam.drop_mapping(machine, gfn)
        flush_vm(machine)


@kernel
def own_table(machine, gfn):
    """A gPT page, which is about to be written to, gets a frame that it does not share. Returns
    a status."""
    if not is_merged(machine, gfn):
        return OK
    unshare(machine, gfn)
    return own(machine, gfn)


@kernel
def provide(machine, gfn, kind):
    """A host frame for a page that the program uses, for a store one of its own."""
    if kind == STORE and is_merged(machine, gfn):
        unshare(machine, gfn)
        return own(machine, gfn)
    return back(machine, gfn)
