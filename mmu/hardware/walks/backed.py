"""The host's dimension of a walk that a segment may stand for, as on bare metal.

What lies inside the physical segment is translated by an addition, without a reference: the nested
walk, what locates a gPT page, and a look at where that lies. Outside it they are as ever.
"""

from __future__ import annotations

from typing import Any

from mmulab.mmu.hardware.walks.looks import frame_behind
from mmulab.mmu.hardware.walks.segments import PHYSICAL, is_inside, moved
from mmulab.mmu.hardware.walks.two_dimensional import make_locate
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import EPT_D, EPT_RWX, PAGE_SHIFT
from mmulab.mmu.memory.status import OK


def make_host_walk(nested_walk: Any) -> Any:
    """The nested walk, or none: inside the segment an entry with all rights."""

    @inlined
    def host_walk(core, vcpu, memory, gpa, kind, user, site):
        gfn = gpa >> PAGE_SHIFT
        if is_inside(vcpu, PHYSICAL, gfn):
            first = moved(vcpu, PHYSICAL, gfn & ~((1 << 18) - 1))  # as if by a page of 1 GiB
            return OK, (first << PAGE_SHIFT) | EPT_RWX | EPT_D, 3
        return nested_walk(core, vcpu, memory, gpa, kind, user, site)

    return host_walk


def make_locate_backed(nested_walk: Any) -> Any:
    """The `locate` of `radix.make_walk`."""
    locate_by_table = make_locate(nested_walk)

    @inlined
    def locate(core, vcpu, memory, gfn, level):
        if is_inside(vcpu, PHYSICAL, gfn):
            return OK, moved(vcpu, PHYSICAL, gfn)
        return locate_by_table(core, vcpu, memory, gfn, level)

    return locate


@inlined
def place_of(vcpu, memory, gfn):
    """Where a gPT page lies, without a reference; NIL where the nested table has no such."""
    if is_inside(vcpu, PHYSICAL, gfn):
        return moved(vcpu, PHYSICAL, gfn)
    return frame_behind(vcpu, memory, gfn)
