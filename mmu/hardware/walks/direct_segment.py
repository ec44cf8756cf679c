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
from mmulab.mmu.hardware.walks.backed import make_host_walk, make_locate_backed, place_of
from mmulab.mmu.hardware.walks.forms import X86
from mmulab.mmu.hardware.walks.looks import make_look
from mmulab.mmu.hardware.walks.radix import make_walk
from mmulab.mmu.hardware.walks.segments import LINEAR, is_inside, moved
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.two_dimensional import make_translate, nested_walk
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import PAGE_SHIFT, A, D, frame_at
from mmulab.mmu.memory.status import OK
from mmulab.mmu.trace import STORE

_leaf = X86.leaf
_guest_walk = make_walk(X86, make_locate_backed(nested_walk), STEP, GUEST)
recorded = make_look(X86, place_of)


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


translate = make_translate(_segment_or_walk, make_host_walk(nested_walk))


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
