"""Paging-structure caches and the nested TLB.

A paging-structure cache of level L holds table entries of that level by the
address prefix that they translate: its data is the frame of the table below and
the rights of the path so far (Intel SDM vol. 3A, 4.10.3). With EPT on, those of
linear addresses hold combined mappings: the frame is the hfn (vol. 3C, 29.4).
A second set serves guest-physical addresses. The nested TLB holds gfn -> hfn of
page-table pages (Bhargava et al., ASPLOS 2008, section 5).
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
from mmulab.mmu.hardware.state import ROUTE_EPT_PSC, ROUTE_NTLB, ROUTE_PSC
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import level_shift
from mmulab.mmu.memory.status import NIL

PREFIX_BITS = 45  # page-number bits of a 57-bit address


@inlined
def _prefix(address, level):
    return (address >> level_shift(level)) & ((1 << PREFIX_BITS) - 1)


@inlined
def owner_tag(core, row):
    """What entries are tagged with beside the address: VPID and PCID, or VPID alone."""
    regs = core.regs[0]
    if row == ROUTE_PSC:
        return ((regs.vpid << 12) | regs.asid) << PREFIX_BITS
    return regs.vpid << PREFIX_BITS


@inlined
def longest_prefix(core, row, address, levels):
    """(level, data): the cached entry of the lowest level, (NIL, 0) where none is."""
    owner = owner_tag(core, row)
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
def remember(core, row, address, level, data):
    """Caches a table entry that a walk has used; `longest_prefix` has looked it up in vain."""
    route = route_to(core, row, level)
    if route.unit != NIL:
        unit = unit_of(core, route)
        tag = owner_tag(core, row) | _prefix(address, level)
        slot = fill(core, route, unit, tag, tick(unit))
        core.data[np.uint64(slot)] = data


@inlined
def nested_find(core, gfn):
    """hfn of a page-table page from the nested TLB, or NIL."""
    route = route_to(core, ROUTE_NTLB, 0)
    if route.unit == NIL:
        return NIL
    unit = unit_of(core, route)
    slot = look_up(core, route, gfn, owner_tag(core, ROUTE_NTLB) | gfn)
    if slot == NIL:
        unit.misses += 1
        return NIL
    unit.hits += 1
    touch(core, unit, slot, tick(unit))
    return core.data[np.uint64(slot)]


@inlined
def nested_remember(core, gfn, hfn):
    """Caches the frame of a page-table page that `nested_find` has looked up in vain."""
    route = route_to(core, ROUTE_NTLB, 0)
    if route.unit != NIL:
        unit = unit_of(core, route)
        slot = fill(core, route, unit, owner_tag(core, ROUTE_NTLB) | gfn, tick(unit))
        core.data[np.uint64(slot)] = hfn


@kernel
def drop_linear(core):
    """Drops every paging-structure-cache entry of the current PCID and VPID."""
    owner = owner_tag(core, ROUTE_PSC) >> PREFIX_BITS
    for level in range(2, 6):
        route = route_to(core, ROUTE_PSC, level)
        if route.unit != NIL:
            unit = unit_of(core, route)
            for slot in range(unit.base, end_of(unit)):
                if core.tag[slot] >> PREFIX_BITS == owner:
                    drop(core, slot)


@kernel
def drop_vpid(core):
    """Drops all paging-structure-cache and nested-TLB entries of the current VPID."""
    vpid = core.regs[0].vpid
    for row in (ROUTE_PSC, ROUTE_EPT_PSC, ROUTE_NTLB):
        shift = PREFIX_BITS + 12 if row == ROUTE_PSC else PREFIX_BITS
        for level in range(6):
            route = route_to(core, row, level)
            if route.unit != NIL:
                unit = unit_of(core, route)
                for slot in range(unit.base, end_of(unit)):
                    if core.tag[slot] >= 0 and core.tag[slot] >> shift == vpid:
                        drop(core, slot)


@kernel
def drop_everything(core):
    """Drops all paging-structure-cache and nested-TLB entries (INVEPT, all contexts)."""
    for row in (ROUTE_PSC, ROUTE_EPT_PSC, ROUTE_NTLB):
        for level in range(6):
            route = route_to(core, row, level)
            if route.unit != NIL:
                drop_all(core, unit_of(core, route))
