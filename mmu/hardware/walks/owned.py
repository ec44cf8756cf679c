"""A walk in one dimension over tables that hold the host's frames, each of which is compared with
the VM that it is assigned to: AMD's reverse map table (RMP) holds such an owner for each frame
(AMD APM vol. 2, 15.36, Secure Nested Paging), which the processor looks up when it walks.

The owner is looked up for each table and for the page; of a large page for its first 4 KiB and its
last, which the RMP has as one entry. The look-up is no reference to a page table.
"""

from __future__ import annotations

from mmulab.mmu.hardware.fetch_ahead import GUEST, fetch_linear
from mmulab.mmu.hardware.walks.forms import X86
from mmulab.mmu.hardware.walks.radix import make_walk
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import PAGE_SHIFT, frame_of, offset_in, pages_in
from mmulab.mmu.memory.status import EPT_VIOLATION, OK


@inlined
def _check(vcpu, memory, hfn):
    """OK where a frame is the VM's own; else its address is noted, and the VMM is told."""
    if hfn < memory.owner.size and memory.owner[hfn] == vcpu.regs[0].vpid:
        return OK
    vcpu.regs[0].fault_gpa = hfn << PAGE_SHIFT
    return EPT_VIOLATION


@inlined
def _locate(core, vcpu, memory, frame, level):
    return _check(vcpu, memory, frame), frame


_owned_walk = make_walk(X86, _locate, STEP, GUEST)


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`."""
    status, leaf, level = _owned_walk(core, vcpu, memory, gva, kind, user, 0)
    if status == OK:
        first = frame_of(leaf)
        status = _check(vcpu, memory, first)
        if status == OK and level > 1:
            status = _check(vcpu, memory, first + pages_in(level - 1) - 1)
    return status, leaf + (offset_in(gva, level) << PAGE_SHIFT), level - 1


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
