"""The guest's walk over a flat nested table: one array of EPT entries, indexed by guest frame.

It is a radix table of one level whose index has all bits of a guest frame's number: one reference
locates a table or the page, and no paging-structure cache of guest-physical addresses is needed.
A large page has an equal entry, but for the frame, in the place of each of its 4 KiB: bits 11:10,
which EPT ignores, say its size.
"""

from __future__ import annotations

from mmulab.mmu.hardware.fetch_ahead import GUEST, NESTED, fetch_linear
from mmulab.mmu.hardware.walks.forms import EPT, X86
from mmulab.mmu.hardware.walks.radix import in_place, make_walk
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.two_dimensional import make_locate, make_translate
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import FRAME, INDEX_BITS, PAGE_SHIFT

SIZE_SHIFT = 10  # of the page size in an entry
_FRAME_BITS = 40  # of a frame's number


@inlined
def _root(vcpu):
    return vcpu.regs[0].root, 1


_one_level = make_walk(
    EPT._replace(name="flat", index_bits=_FRAME_BITS, root_bits=_FRAME_BITS, root=_root),
    in_place,
    1,
    NESTED,
)


@inlined
def _flat_walk(core, vcpu, memory, gpa, kind, user, site):
    """The leaf as a radix table would have it: frame and level of the whole page."""
    status, leaf, level = _one_level(core, vcpu, memory, gpa, kind, user, site)
    size = (leaf >> SIZE_SHIFT) & 3
    start = ((leaf & FRAME) >> (PAGE_SHIFT + INDEX_BITS * size)) << (PAGE_SHIFT + INDEX_BITS * size)
    return status, start | (leaf & ~FRAME), level + size


_guest_walk = make_walk(X86, make_locate(_flat_walk), STEP, GUEST)
translate = make_translate(_guest_walk, _flat_walk)


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
