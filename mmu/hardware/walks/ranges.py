"""Redundant memory mappings: a walk in two dimensions, and beside the last TLB ranges.

What misses the TLBs is looked for in the range TLB. A hit makes a TLB entry by two additions, with
no reference. A miss is walked for as ever; in the background, a walker of the range table looks
for the range, and fills it: its references are counted apart (`RANGE_REFERENCES`) and price
nothing, since nobody waits for them.

The page tables say everything that ranges do. Looking into their leaves at a hit is no reference:
they are this guest's and host's record of which pages are there and what may be done to them, and
of pages that lie elsewhere, which are walked for.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware import range_tlb
from mmulab.mmu.hardware.fetch_ahead import fetch_linear, fetch_nested
from mmulab.mmu.hardware.rights import denies
from mmulab.mmu.hardware.walks.direct_segment import recorded
from mmulab.mmu.hardware.walks.forms import EPT, X86
from mmulab.mmu.hardware.walks.sites import RADIX
from mmulab.mmu.hardware.walks.two_dimensional import translate as walk_both
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import (
    EPT_A,
    EPT_D,
    EPT_RWX,
    EPT_W,
    EPT_X,
    FRAME,
    PAGE_SHIFT,
    PS,
    RW,
    XD,
    A,
    D,
    frame_at,
    frame_of,
    index_of,
)
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.memory.tables import slot_of
from mmulab.mmu.trace import STORE

#: Indices of counters of the technique that has this walk.
RANGE_HITS, RANGE_FILLS, RANGE_REFERENCES = range(3)

_guest_leaf, _host_denies = X86.leaf, EPT.denies


@kernel
def _below(vcpu, memory, gfn):
    """(slot of the EPT leaf of a gfn, level); level 0: there is none."""
    gpa = gfn << PAGE_SHIFT
    level = vcpu.regs[0].root_levels
    table = vcpu.regs[0].root
    while True:
        slot = slot_of(memory, (table << PAGE_SHIFT) | (index_of(gpa, level) << 3))
        entry = memory.entry[slot]
        if not entry & EPT_RWX:
            return np.uint64(0), 0
        if level == 1 or entry & PS:
            return slot, level
        table = frame_of(entry)
        level -= 1


@kernel
def _by_range(core, vcpu, memory, number, gva, kind, user):
    """(True, TLB entry, page size) by an entry of the range TLB; False where the page is not there,
    lies elsewhere, or may not be used so: the walk tells which."""
    entry = core.range_tlb[number]
    slot, level, rights = recorded(vcpu, memory, gva)
    if level == 0 or denies(rights, kind, user):
        return False, 0, 0
    leaf = memory.entry[slot]
    gfn = (gva >> PAGE_SHIFT) + entry.offset
    below, host_level = _below(vcpu, memory, gfn)
    if frame_at(leaf, gva, level) != gfn or host_level == 0:
        return False, 0, 0
    host = memory.entry[below]
    hfn = frame_at(host, gfn << PAGE_SHIFT, host_level)
    if hfn != gfn + entry.below or _host_denies(host & EPT_RWX, kind, False):
        return False, 0, 0
    leaf |= A | (D if kind == STORE else 0)
    memory.entry[slot] = leaf
    if vcpu.regs[0].root_ad:
        host |= EPT_A | (EPT_D if kind == STORE else 0)
        memory.entry[below] = host
    flags = _guest_leaf(leaf, rights, level) & ~FRAME
    if not host & EPT_W:
        flags &= ~RW
    if not host & EPT_X:
        flags |= XD
    if vcpu.regs[0].root_ad and not host & EPT_D:
        flags &= ~D
    if host_level < level:
        vcpu.stats[0].splintered += 1
    return True, (hfn << PAGE_SHIFT) | flags, min(level, host_level) - 1


@kernel
def _look_for_range(core, vcpu, gva, entry):
    """The background walk of the range table, once a page has been found. entry: the page's own,
    for the TLB."""
    vcpu.own[RANGE_REFERENCES] += range_tlb.depth(vcpu.regs[0].ranges)
    number = range_tlb.in_table(vcpu, gva)
    if number != NIL:
        gfn = (gva >> PAGE_SHIFT) + vcpu.range[number].offset
        range_tlb.fill(core, vcpu, number, frame_of(entry) - gfn)
        vcpu.own[RANGE_FILLS] += 1


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`."""
    number = range_tlb.search(core, vcpu, gva)
    if number != NIL:
        found, entry, size = _by_range(core, vcpu, memory, number, gva, kind, user)
        if found:
            range_tlb.touch(core, number)
            vcpu.own[RANGE_HITS] += 1
            return OK, entry, size
    status, entry, size = walk_both(core, vcpu, memory, gva, kind, user)
    if status == OK and number == NIL and vcpu.regs[0].ranges > 0:
        _look_for_range(core, vcpu, gva, entry)
    return status, entry, size


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)
    fetch_nested(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
