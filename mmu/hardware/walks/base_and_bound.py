"""The guest's walk in memory that lies in one piece: each guest-physical address is checked
against a bound, and a base is added. It makes no reference: a cold walk is as long as a native
one."""

from __future__ import annotations

from mmulab.mmu.hardware.fetch_ahead import GUEST, fetch_linear
from mmulab.mmu.hardware.walks.forms import X86
from mmulab.mmu.hardware.walks.radix import make_walk
from mmulab.mmu.hardware.walks.segments import PHYSICAL, is_inside, moved
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import FRAME, PAGE_SHIFT, frame_at
from mmulab.mmu.memory.status import EPT_VIOLATION, OK


@inlined
def _locate(core, vcpu, memory, gfn, level):
    """hfn of a guest frame; outside the bound, the address that is at fault."""
    if is_inside(vcpu, PHYSICAL, gfn):
        return OK, moved(vcpu, PHYSICAL, gfn)
    vcpu.regs[0].fault_gpa = gfn << PAGE_SHIFT
    return EPT_VIOLATION, gfn


_guest_walk = make_walk(X86, _locate, STEP, GUEST)


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`. The page size is the guest's: the base is a multiple of it."""
    status, leaf, level = _guest_walk(core, vcpu, memory, gva, kind, user, 0)
    if status != OK:
        return status, leaf, level - 1
    status, hfn = _locate(core, vcpu, memory, frame_at(leaf, gva, level), 0)
    return status, (hfn << PAGE_SHIFT) | (leaf & ~FRAME), level - 1


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
