"""Agile paging's walk (Gandhi, Hill and Swift, ISCA 2016): shadow paging that may go on nested.

It begins at the shadow's root. An entry with the switching bit points, by host-physical address,
at the guest's own table of the next level; from there each table is located by the nested table,
and so is the page. The register that holds the root says by two bits how a walk begins:

    neither     at the shadow's root: n references where no entry switches
    SWITCHED    at the guest's root, wherever it lies: g + g h
    FULL        at the guest's root, located by the nested table: (g + 1)(h + 1) - 1

With the k lowest of the guest's tables nested, k above 0, g + k h. Paging-structure caches
remember with each table which of both it is.

A store that finds D clear in a leaf of the shadow sets it there and in the guest's leaf, which a
walk of the guest's table from its root, in two dimensions, finds; where the VMM does not let it
(`guest_cr3` NIL) no such leaf is writable.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.caches import reference
from mmulab.mmu.hardware.fetch_ahead import GUEST, fetch_linear, fetch_nested
from mmulab.mmu.hardware.fetch_ahead import remember as remember_leaf_table
from mmulab.mmu.hardware.lines import LINE_SHIFT, of_table
from mmulab.mmu.hardware.state import GUEST_ENTRIES
from mmulab.mmu.hardware.walk_caches import (
    find_entry,
    longest_prefix,
    remember,
    remember_entry,
)
from mmulab.mmu.hardware.walks.forms import X86
from mmulab.mmu.hardware.walks.radix import make_end
from mmulab.mmu.hardware.walks.sites import RADIX, STEP, Site
from mmulab.mmu.hardware.walks.two_dimensional import make_below, make_locate, nested_walk
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import (
    ENTRIES,
    MAX_LEVELS,
    PAGE_SHIFT,
    PS,
    SWITCH,
    A,
    D,
    G,
    frame_of,
    level_shift,
    offset_in,
)
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.memory.tables import slot_of
from mmulab.mmu.trace import STORE

# Of the register with the root, above a frame's number. GLOBAL: all processes are in full nested
# mode, so that translations may be global; a shadow's never are.
SWITCHED, FULL, GLOBAL = 1 << 40, 1 << 41, 1 << 42
_FRAME = SWITCHED - 1

# Sites are those of a walk in two dimensions, then the shadow's by their level.
_SHADOW = len(RADIX)
_SITES = (*RADIX, *(Site("guest", level, level, "sPT") for level in range(MAX_LEVELS + 1)))

_locate = make_locate(nested_walk)
_below_leaf = make_below(nested_walk)
_end = make_end(X86)
_present, _reserved, _narrow = X86.present, X86.reserved, X86.narrow
_denies, _fault = X86.denies, X86.fault
_ALL_RIGHTS, _PATH, _CACHES = X86.rights, X86.path, X86.cache
_ENTRY_SHIFT = X86.entry_shift


@inlined
def _needs_dirty(vcpu, entry, rights, kind, user):
    """Whether a walk that ends at a leaf of the shadow must set D in the guest's leaf."""
    if kind != STORE or entry & D or vcpu.regs[0].guest_cr3 == NIL:
        return False
    return not _denies(rights, kind, user)


@inlined
def _begin(core, vcpu, gva):
    """Where a walk begins: (frame of a table, its level, rights of the path, whether it is the
    guest's own, whether it is still to be located)."""
    regs = vcpu.regs[0]
    cached, data = longest_prefix(core, vcpu, _CACHES, gva, regs.levels)
    if cached > 0:
        return frame_of(data), cached - 1, data & _PATH, data & SWITCH != 0, False
    full = regs.cr3 & FULL != 0
    nested = full or regs.cr3 & SWITCHED != 0
    return regs.cr3 & _FRAME, regs.levels, _ALL_RIGHTS, nested, full


@inlined
def _read(core, vcpu, memory, gva, frame, level, nested):
    """Reads the entry of gva in a table: (its HPA, its slot, the entry, whether the page walk
    cache had it)."""
    number = gva >> level_shift(level)
    hpa = (frame << PAGE_SHIFT) + ((number & (ENTRIES - 1)) << _ENTRY_SHIFT)
    slot = slot_of(memory, hpa)
    entry = memory.entry[slot]
    found = find_entry(core, vcpu, GUEST_ENTRIES, hpa)
    if not found:
        line = of_table(vcpu, False, level, number >> (LINE_SHIFT - _ENTRY_SHIFT))
        site = level * STEP if nested else _SHADOW + level
        reference(core, vcpu, hpa, entry, site, line)
    return hpa, slot, entry, found


@inlined
def _hybrid_walk(core, vcpu, memory, gva, kind, user):
    """(status, leaf with the rights of its path, level, whether it is the guest's own): the loop
    of `radix.make_walk`, which may go over from the shadow's tables to the guest's."""
    frame, level, rights, nested, to_locate = _begin(core, vcpu, gva)
    cached = True  # what is read may go into the paging-structure caches
    led = False  # an entry led here
    again = False  # for D in the guest's leaf
    shadow_slot = np.uint64(0)
    while True:
        if to_locate:
            status, frame = _locate(core, vcpu, memory, frame, level)
            if status != OK:
                return status, 0, level, nested
        if led and cached:
            data = (frame << PAGE_SHIFT) | rights | (SWITCH if nested else 0)
            remember(core, vcpu, _CACHES, gva, level + 1, data)
            if level == 1:
                remember_leaf_table(core, memory, GUEST, gva, frame)
        hpa, slot, entry, found = _read(core, vcpu, memory, gva, frame, level, nested)
        if not _present(entry) or _reserved(entry, level):
            return _fault(vcpu, gva, entry, level, kind, user), entry, level, nested
        rights = _narrow(rights, entry)
        if level == 1 or entry & PS:
            if nested or not _needs_dirty(vcpu, entry, rights, kind, user):
                break
            again, cached, nested, to_locate = True, False, True, True
            shadow_slot = slot
            frame, level, rights = vcpu.regs[0].guest_cr3, vcpu.regs[0].levels, _ALL_RIGHTS
            continue
        if not found:
            remember_entry(core, GUEST_ENTRIES, hpa)
        if not entry & A:
            memory.entry[slot] = entry | A
        frame = frame_of(entry)
        to_locate = nested
        nested = nested or entry & SWITCH != 0
        led = True
        level -= 1
    status, leaf, level = _end(vcpu, memory, gva, slot, entry, rights, level, kind, user)
    if again and status == OK:
        memory.entry[shadow_slot] |= D
    return status, leaf, level, nested


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`."""
    status, leaf, level, nested = _hybrid_walk(core, vcpu, memory, gva, kind, user)
    if vcpu.regs[0].cr3 & GLOBAL == 0:
        leaf &= ~G
    if status == OK and nested:
        return _below_leaf(core, vcpu, memory, gva, kind, leaf, level)
    return status, leaf + (offset_in(gva, level) << PAGE_SHIFT), level - 1


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)
    fetch_nested(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, _SITES)
