"""Direct segments beside paging: a range of linear addresses, of guest-physical ones, or of both,
is translated by an addition; what lies outside a segment is walked for as ever.

An address inside the linear segment has no entry that the hardware reads. Here the guest keeps its
entries, as its own record of the segment's pages, and looking into them is no reference: they say
which pages have been touched, what may be done to them, and which of them escape, for a page that
lies elsewhere is walked for.
"""

from __future__ import annotations

from mmulab.mmu.hardware.fetch_ahead import GUEST, fetch_linear
from mmulab.mmu.hardware.rights import denies
from mmulab.mmu.hardware.walks.forms import X86
from mmulab.mmu.hardware.walks.looks import frame_behind, make_look
from mmulab.mmu.hardware.walks.radix import make_walk
from mmulab.mmu.hardware.walks.segments import LINEAR, PHYSICAL, is_inside, moved
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.two_dimensional import make_locate, make_translate, nested_walk
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import (
    EPT_D,
    EPT_RWX,
    PAGE_SHIFT,
    A,
    D,
    frame_at,
)
from mmulab.mmu.memory.status import OK
from mmulab.mmu.trace import STORE


@inlined
def _host_walk(core, vcpu, memory, gpa, kind, user, site):
    """The nested walk, or none: inside the segment an entry with all rights."""
    gfn = gpa >> PAGE_SHIFT
    if is_inside(vcpu, PHYSICAL, gfn):
        first = moved(vcpu, PHYSICAL, gfn & ~((1 << 18) - 1))  # as if by a page of 1 GiB
        return OK, (first << PAGE_SHIFT) | EPT_RWX | EPT_D, 3
    return nested_walk(core, vcpu, memory, gpa, kind, user, site)


_leaf = X86.leaf
_locate_by_table = make_locate(nested_walk)


@inlined
def _locate(core, vcpu, memory, gfn, level):
    if is_inside(vcpu, PHYSICAL, gfn):
        return OK, moved(vcpu, PHYSICAL, gfn)
    return _locate_by_table(core, vcpu, memory, gfn, level)


_guest_walk = make_walk(X86, _locate, STEP, GUEST)


@inlined
def _place_of(vcpu, memory, gfn):
    """Where a gPT page lies, without a reference; NIL where the nested table has no such."""
    if is_inside(vcpu, PHYSICAL, gfn):
        return moved(vcpu, PHYSICAL, gfn)
    return frame_behind(vcpu, memory, gfn)


recorded = make_look(X86, _place_of)


@inlined
def _segment_or_walk(core, vcpu, memory, gva, kind, user, site):
    """The guest's walk, or none: inside the segment the leaf that the guest has recorded."""
    page = gva >> PAGE_SHIFT
    if is_inside(vcpu, LINEAR, page):
        slot, level, rights = recorded(vcpu, memory, gva)
        if level > 0 and not denies(rights, kind, user):
            entry = memory.entry[slot]
            if frame_at(entry, gva, level) == moved(vcpu, LINEAR, page):
                entry |= A | (D if kind == STORE else 0)
                memory.entry[slot] = entry
                return OK, _leaf(entry, rights, level), level
    return _guest_walk(core, vcpu, memory, gva, kind, user, site)


translate = make_translate(_segment_or_walk, _host_walk)


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
