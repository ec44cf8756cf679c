"""CR3 -> table -> ... -> leaf: bare metal, and a guest under shadow page tables."""

from __future__ import annotations

from mmulab.mmu.hardware.fetch_ahead import GUEST, fetch_linear
from mmulab.mmu.hardware.walks.coalescing import in_one_dimension
from mmulab.mmu.hardware.walks.forms import X86
from mmulab.mmu.hardware.walks.radix import in_place, make_walk
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import PAGE_SHIFT, offset_in

linear_walk = make_walk(X86, in_place, STEP, GUEST)


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`."""
    status, leaf, level = linear_walk(core, vcpu, memory, gva, kind, user, 0)
    return status, leaf + (offset_in(gva, level) << PAGE_SHIFT), level - 1


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX, in_one_dimension)
