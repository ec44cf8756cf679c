"""Paging-structure caches, the page walk cache and the nested TLB.

A paging-structure cache of level L holds table entries of that level by the
address prefix that they translate: its data is the frame of the table below and
the rights of the path so far (Intel SDM vol. 3A, 4.10.3). With EPT on, those of
linear addresses hold combined mappings: the frame is the hfn (vol. 3C, 29.4).
A second set serves guest-physical addresses. The nested TLB holds gfn -> hfn of
page-table pages (Bhargava et al., ASPLOS 2008, section 5).

A page walk cache, which AMD's processors have instead, holds table entries by where they
lie: a walk goes through all levels, and an entry that is there needs no reference (the
unified page table cache of Barr et al., ISCA 2010). It serves the guest's tables, the
nested ones, or both from one array: one- and two-dimensional caching in the paper of 2008.
What ends up in a TLB is not kept: leaves of the guest's tables, and the leaf that maps the
page itself. Leaves that locate a guest's table are kept. Entries change here as memory
does, while silicon keeps the old ones until software invalidates them, which it must in any
case; then the array is emptied, since nothing there says whose an entry is.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.assoc import (
    drop,
    drop_all,
    end_of,
    fill,
    look_up,
    route_to,
    tick,
    touch,
    unit_of,
)
from mmulab.mmu.hardware.state import (
    GUEST_ENTRIES,
    NESTED_ENTRIES,
    ROUTE_EPT_PSC,
    ROUTE_NTLB,
    ROUTE_PSC,
    ROUTE_PWC,
)
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import level_shift
from mmulab.mmu.memory.status import NIL

PREFIX_BITS = 45  # page-number bits of a 57-bit address
ENTRY_SHIFT = 3  # bytes of a table entry


@inlined
def _prefix(address, level):
    return (address >> level_shift(level)) & ((1 << PREFIX_BITS) - 1)


@inlined
def _owner_tag(vcpu, row):
    """What entries are tagged with beside the address: the context of it."""
    regs = vcpu.regs[0]
    context = regs.context if row == ROUTE_PSC else regs.physical_context
    return context << PREFIX_BITS


@inlined
def longest_prefix(core, vcpu, row, address, levels):
    """(level, data): the cached entry of the lowest level, (NIL, 0) where none is."""
    owner = _owner_tag(vcpu, row)
    for level in range(2, levels + 1):
        route = route_to(core, row, level)
        if route.unit == NIL:
            continue
        unit = unit_of(core, route)
        prefix = _prefix(address, level)
        slot = look_up(core, route, prefix, owner | prefix)
        if slot != NIL:
            touch(core, unit, slot, tick(unit))
            unit.hits += 1
            return level, core.data[np.uint64(slot)]
        unit.misses += 1
    return NIL, 0


@inlined
def remember(core, vcpu, row, address, level, data):
    """Caches a table entry that a walk has used; `longest_prefix` has looked it up in vain."""
    route = route_to(core, row, level)
    if route.unit != NIL:
        unit = unit_of(core, route)
        tag = _owner_tag(vcpu, row) | _prefix(address, level)
        slot = fill(core, route, unit, tag, tick(unit))
        core.data[np.uint64(slot)] = data


@inlined
def find_entry(core, vcpu, dimension, hpa):
    """Whether the page walk cache of a dimension holds the table entry there."""
    route = route_to(core, ROUTE_PWC, dimension)
    if route.unit == NIL:
        return False
    unit = unit_of(core, route)
    number = hpa >> ENTRY_SHIFT
    slot = look_up(core, route, number, number)
    if slot == NIL:
        unit.misses += 1
        return False
    unit.hits += 1
    if dimension == NESTED_ENTRIES:
        vcpu.stats[0].nested_pwc_hits += 1
    else:
        vcpu.stats[0].guest_pwc_hits += 1
    touch(core, unit, slot, tick(unit))
    return True


@inlined
def remember_entry(core, dimension, hpa):
    """Caches a table entry that `find_entry` has looked up in vain."""
    route = route_to(core, ROUTE_PWC, dimension)
    if route.unit != NIL:
        unit = unit_of(core, route)
        number = hpa >> ENTRY_SHIFT
        fill(core, route, unit, number, tick(unit))


@inlined
def _drop_entries(core):
    for dimension in (GUEST_ENTRIES, NESTED_ENTRIES):
        route = route_to(core, ROUTE_PWC, dimension)
        if route.unit != NIL:
            drop_all(core, unit_of(core, route))


@inlined
def nested_find(core, vcpu, gfn):
    """hfn of a page-table page from the nested TLB, or NIL."""
    route = route_to(core, ROUTE_NTLB, 0)
    if route.unit == NIL:
        return NIL
    unit = unit_of(core, route)
    slot = look_up(core, route, gfn, _owner_tag(vcpu, ROUTE_NTLB) | gfn)
    if slot == NIL:
        unit.misses += 1
        return NIL
    unit.hits += 1
    touch(core, unit, slot, tick(unit))
    return core.data[np.uint64(slot)]


@inlined
def nested_remember(core, vcpu, gfn, hfn):
    """Caches the frame of a page-table page that `nested_find` has looked up in vain."""
    route = route_to(core, ROUTE_NTLB, 0)
    if route.unit != NIL:
        unit = unit_of(core, route)
        slot = fill(core, route, unit, _owner_tag(vcpu, ROUTE_NTLB) | gfn, tick(unit))
        core.data[np.uint64(slot)] = hfn


@kernel
def drop_linear(core, vcpu):
    """Drops every paging-structure-cache entry of the current context, and the page walk cache."""
    _drop_entries(core)
    mine = vcpu.regs[0].context
    for level in range(2, 6):
        route = route_to(core, ROUTE_PSC, level)
        if route.unit != NIL:
            unit = unit_of(core, route)
            for slot in range(unit.base, end_of(unit)):
                if core.tag[slot] >> PREFIX_BITS == mine:
                    drop(core, slot)


@kernel
def drop_vpid(core, vpid):
    """Drops all paging-structure-cache and nested-TLB entries of a VPID, and the page walk
    cache."""
    _drop_entries(core)
    for row in (ROUTE_PSC, ROUTE_EPT_PSC, ROUTE_NTLB):
        for level in range(6):
            route = route_to(core, row, level)
            if route.unit != NIL:
                unit = unit_of(core, route)
                for slot in range(unit.base, end_of(unit)):
                    tag = core.tag[slot]
                    if tag >= 0 and core.context[tag >> PREFIX_BITS].vpid == vpid:
                        drop(core, slot)


@kernel
def drop_everything(core):
    """Drops all entries of paging-structure caches, page walk cache and nested TLB (INVEPT, all
    contexts)."""
    _drop_entries(core)
    for row in (ROUTE_PSC, ROUTE_EPT_PSC, ROUTE_NTLB):
        for level in range(6):
            route = route_to(core, row, level)
            if route.unit != NIL:
                drop_all(core, unit_of(core, route))
