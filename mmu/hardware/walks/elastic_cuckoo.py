"""Walks of elastic cuckoo page tables: each step's probes go out at once.

A table for each page size, of some ways; a probe reads a line of a way (`memory.hashed_lines`).
Cuckoo walk caches say which probes a step needs (`cuckoo_walk_caches`): one where they know size
and way (a direct walk), one a way where they know the size (size walk), those of some sizes
(partial), or all that there are (complete). Three steps translate an address in two dimensions:

    1   the host's lines that say where each of the guest's lines may lie
    2   the guest's lines
    3   the host's lines that say where the page lies

Bare metal is step 2 alone, the guest's memory being one segment. Where the guest's tables are radix
trees, each of its tables, and the page, is located by such a step of the host's.

The guest keeps radix tables as its record. The hardware reads none of them; what is set in a hashed
entry is set there, too, and what its upper tables say stands for the guest's cuckoo walk tables.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.caches import (
    begin_background,
    begin_step,
    end_background,
    end_step,
    next_lane,
    reference,
)
from mmulab.mmu.hardware.fetch_ahead import GUEST
from mmulab.mmu.hardware.lines import LINES_SHIFT, named
from mmulab.mmu.hardware.rights import denies
from mmulab.mmu.hardware.state import (
    HASHED_KERNEL,
    HASHED_USER,
    MOST_WAYS,
    PAGE_SIZES,
    ROUTE_PSC,
)
from mmulab.mmu.hardware.walk_caches import nested_find, nested_remember
from mmulab.mmu.hardware.walks.cuckoo_host import (
    CWT_KIND,
    GUEST_CWT,
    GUEST_STEPS,
    HOST_STEPS,
    OF_CWT,
    SITES,
    host_probe,
    host_walk,
    of_entry,
    of_sizes,
    place_in_host,
    way_of,
)
from mmulab.mmu.hardware.walks.cuckoo_walk_caches import (
    PMD,
    PUD,
    WAY_SHIFT,
    find_entry,
    is_there,
    remember_entry,
)
from mmulab.mmu.hardware.walks.cuckoo_walk_caches import SIZES as SIZES_OF_ENTRY
from mmulab.mmu.hardware.walks.forms import X86
from mmulab.mmu.hardware.walks.radix import make_walk
from mmulab.mmu.hardware.walks.segments import PHYSICAL, is_inside, moved
from mmulab.mmu.hardware.walks.sites import STEP
from mmulab.mmu.hardware.walks.two_dimensional import make_locate, make_translate
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import (
    INDEX_BITS,
    PAGE_SHIFT,
    PS,
    RW,
    US,
    XD,
    A,
    D,
    P,
    frame_at,
    frame_of,
    index_of,
)
from mmulab.mmu.memory.hashed_lines import (
    address_of,
    place_of,
    plain,
    position_of,
    tag_in,
    tag_of,
)
from mmulab.mmu.memory.status import EPT_VIOLATION, NIL, OK
from mmulab.mmu.memory.tables import slot_of
from mmulab.mmu.trace import LOAD, STORE

_fault, _leaf, _reserved = X86.fault, X86.leaf, X86.reserved

# --- The guest's record -------------------------------------------------------------------


@kernel
def _recorded(vcpu, memory, gva, lowest):
    """(gfn of a record's table, slot of its entry for gva), of the level `lowest` or of the one
    above at which it ends; (gfn, slot 0) where the host does not map that gfn."""
    level = vcpu.regs[0].levels
    table = vcpu.regs[0].cr3
    while True:
        hfn = place_in_host(vcpu, memory, table)
        if hfn == NIL:
            return table, np.uint64(0), level
        slot = slot_of(memory, (hfn << PAGE_SHIFT) | (index_of(gva, level) << 3))
        entry = memory.entry[slot]
        if level == lowest or not entry & P or entry & PS:
            return table, slot, level
        table = frame_of(entry)
        level -= 1


@inlined
def _way_in_guest(vcpu, memory, whose, size, gva):
    """Way of a guest's line, without a reference."""
    tag = tag_of(gva, size)
    for number in range(vcpu.hashing[0].ways):
        frame, line = place_of(way_of(vcpu, whose, size, number), number, tag)
        hfn = place_in_host(vcpu, memory, frame)
        if hfn != NIL and tag_in(memory, address_of(hfn, line)) == tag:
            return number
    return NIL


@kernel
def guest_entry(vcpu, memory, whose, level, gva):
    """(entry of a guest's walk table for a region, gfn of the record's table that stands for it,
    slot of its entry). An entry of 0 is cached nowhere."""
    table, slot, found = _recorded(vcpu, memory, gva, level)
    entry = memory.entry[slot]
    if slot == 0 or found != level or not entry & P:
        return 0, table, slot
    if entry & PS:
        way = _way_in_guest(vcpu, memory, whose, level - 1, gva)
        return (1 << (level - 1) | way << WAY_SHIFT) if way != NIL else 0, table, slot
    return (1 if level == PMD else 3), table, slot


# --- The guest's tables -------------------------------------------------------------------


@inlined
def _fetch_guest_entry(core, vcpu, memory, whose, context, level, gva):
    """A missing entry of the guest's walk table, in the background: the shortcut translation cache
    locates it, or the host's tables."""
    entry, table, slot = guest_entry(vcpu, memory, whose, level, gva)
    step = begin_background(core)
    hfn = nested_find(core, vcpu, table)
    status = OK
    if hfn == NIL:
        if is_inside(vcpu, PHYSICAL, table):
            hfn = moved(vcpu, PHYSICAL, table)
        else:
            gpa = table << PAGE_SHIFT
            status, leaf, host_level = host_probe(core, vcpu, memory, gpa, LOAD, False, OF_CWT)
            hfn = frame_at(leaf, gpa, host_level)
        if status == OK:
            nested_remember(core, vcpu, table, hfn)
    if status == OK:
        shift = PAGE_SHIFT + INDEX_BITS * (level - 1)
        number = (level << 46) ^ (gva >> shift >> 6)
        space = vcpu.regs[0].vm_space if gva < 0 else vcpu.regs[0].space
        hpa = (hfn << PAGE_SHIFT) | (index_of(gva, level) << 3)
        reference(core, vcpu, hpa, entry, GUEST_CWT, named(space, CWT_KIND, number))
    end_background(core, step)
    if status == OK and entry & SIZES_OF_ENTRY:
        remember_entry(core, context, ROUTE_PSC, level, gva, entry)


@kernel
def _guest_probes(core, vcpu, memory, whose, gva):
    """Probes of the guest's tables, by its walk caches; and the levels whose entry is missing."""
    regs = vcpu.regs[0]
    context = regs.global_context if whose == HASHED_KERNEL else regs.context
    pmd = pud = NIL
    if is_there(core, ROUTE_PSC, PMD):
        pmd = find_entry(core, context, ROUTE_PSC, PMD, gva)
    if is_there(core, ROUTE_PSC, PUD):
        pud = find_entry(core, context, ROUTE_PSC, PUD, gva)
    probes = of_sizes(vcpu, whose, SIZES_OF_ENTRY)
    if pmd != NIL:
        probes = of_entry(vcpu, whose, pmd, 1)
    elif pud != NIL:
        probes = of_entry(vcpu, whose, pud, 2)
    missing = int(pmd == NIL and is_there(core, ROUTE_PSC, PMD)) << PMD
    return probes, missing | int(pud == NIL and is_there(core, ROUTE_PSC, PUD)) << PUD


@inlined
def _locate_lines(core, vcpu, memory, whose, gva, probes):
    """Step 1: where each of the guest's lines lies, into `VCPU.found`. Returns a status."""
    kind = STORE if vcpu.regs[0].root_ad else LOAD
    status = OK
    begin_step(core)
    for number in range(PAGE_SIZES * MOST_WAYS):
        if not probes >> number & 1 or status != OK:
            continue
        size, which = number // MOST_WAYS, number % MOST_WAYS
        gfn, line = place_of(way_of(vcpu, whose, size, which), which, tag_of(gva, size))
        if is_inside(vcpu, PHYSICAL, gfn):
            hfn = moved(vcpu, PHYSICAL, gfn)
        else:
            gpa = gfn << PAGE_SHIFT
            status, leaf, level = host_probe(
                core, vcpu, memory, gpa, kind, False, (size + 1) * STEP
            )
            hfn = frame_at(leaf, gpa, level)
        vcpu.found[np.uint64(number)] = address_of(hfn, line)
    end_step(core)
    return status


@inlined
def _read_lines(core, vcpu, memory, whose, gva, probes):
    """Step 2: (slot of the present entry of gva, page size); size NIL where there is none."""
    space = vcpu.regs[0].vm_space if gva < 0 else vcpu.regs[0].space
    slot, size = np.uint64(0), NIL
    vcpu.own[GUEST_STEPS] += 1
    begin_step(core)
    for number in range(PAGE_SIZES * MOST_WAYS):
        if not probes >> number & 1:
            continue
        of, which = number // MOST_WAYS, number % MOST_WAYS
        tag = tag_of(gva, of)
        gfn, line = place_of(way_of(vcpu, whose, of, which), which, tag)
        hpa = vcpu.found[np.uint64(number)]
        at = slot_of(memory, hpa | position_of(gva, of) << 3)
        next_lane(core)
        name = named(space, of + 1, gfn << LINES_SHIFT | line)
        reference(core, vcpu, hpa, plain(memory.entry[at]), (of + 1) * STEP, name)
        if memory.entry[at] & P and tag_in(memory, hpa) == tag:
            slot, size = at, of
    end_step(core)
    return slot, size


@inlined
def _mark(vcpu, memory, gva, slot, used):
    """Sets A and D in a hashed entry, and in the record. Returns a status."""
    if memory.entry[slot] | used != memory.entry[slot]:
        table, recorded, _ = _recorded(vcpu, memory, gva, 1)
        if recorded == 0:
            vcpu.regs[0].fault_gpa = table << PAGE_SHIFT
            return EPT_VIOLATION
        memory.entry[slot] |= used
        memory.entry[recorded] |= used
    return OK


@inlined
def _hashed_walk(core, vcpu, memory, gva, kind, user):
    """(status, leaf with its rights, level) of hashed guest's tables."""
    whose = HASHED_KERNEL if gva < 0 else HASHED_USER
    probes, missing = _guest_probes(core, vcpu, memory, whose, gva)
    if not is_inside(vcpu, PHYSICAL, 0):
        vcpu.own[HOST_STEPS] += 1
    status = _locate_lines(core, vcpu, memory, whose, gva, probes)
    if status != OK:
        return status, 0, 1
    slot, size = _read_lines(core, vcpu, memory, whose, gva, probes)
    regs = vcpu.regs[0]
    context = regs.global_context if whose == HASHED_KERNEL else regs.context
    for level in (PMD, PUD):
        if missing >> level & 1:
            _fetch_guest_entry(core, vcpu, memory, whose, context, level, gva)
    entry = plain(memory.entry[slot]) if size != NIL else 0
    level = max(size, 0) + 1
    rights = entry & (RW | US | XD)
    if size == NIL or _reserved(entry, level) or denies(rights, kind, user):
        return _fault(vcpu, gva, entry, level, kind, user), entry, level
    used = A | (D if kind == STORE else 0)
    status = _mark(vcpu, memory, gva, slot, used)
    return status, _leaf(entry | used, rights, level), level


_radix_walk = make_walk(X86, make_locate(host_walk), STEP, GUEST)


@inlined
def _guest_walk(core, vcpu, memory, gva, kind, user, site):
    if vcpu.hashing[0].of_guest:
        return _hashed_walk(core, vcpu, memory, gva, kind, user)
    return _radix_walk(core, vcpu, memory, gva, kind, user, site)


translate = make_translate(_guest_walk, host_walk)


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`. Hashes are not known ahead."""
    core.record[0].walked = 0


WALK = Walk(__name__, "WALK", translate, fetch_ahead, SITES)
