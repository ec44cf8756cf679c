"""The guest's disk as the host emulates it: it reads and writes guest memory."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.p2m import is_paged_out
from mmulab.mmu.memory.status import OK
from mmulab.mmu.techniques import seam
from mmulab.mmu.techniques.unshare import unshare
from mmulab.mmu.vmm import calls, dirty_log


@kernel
def read(machine, gfn):
    """The disk fetches a page. If the host has paged it out, it comes in first, only to go out
    again: double paging (Goldberg and Hassinger, 1979)."""
    if is_paged_out(machine, gfn):
        machine.vcpu.stats[0].double_faults += 1
    status = calls.back(machine, gfn)
    return status if status != OK else seam.pin_dma(machine, gfn)


@kernel
def write(machine, gfn):
    """The disk is about to fill a page."""
    unshare(machine, gfn)
    dirty_log.note(machine, gfn)
    status = calls.overwrite(machine, gfn, True)
    return status if status != OK else seam.pin_dma(machine, gfn)
