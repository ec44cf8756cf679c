"""The host's half of a walk of elastic cuckoo page tables, and what both halves have in common.

The tables, one for each page size, lie in host frames; `elastic_cuckoo` says how they are walked.
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
from mmulab.mmu.hardware.lines import LINES_SHIFT, named
from mmulab.mmu.hardware.state import HASHED_HOST, MOST_WAYS, PAGE_SIZES, ROUTE_EPT_PSC
from mmulab.mmu.hardware.walks.cuckoo_walk_caches import (
    PMD,
    PTE,
    PUD,
    SIZES,
    WAY_SHIFT,
    adapt,
    find_entry,
    is_there,
    remember_entry,
)
from mmulab.mmu.hardware.walks.forms import EPT
from mmulab.mmu.hardware.walks.segments import PHYSICAL, is_inside, moved
from mmulab.mmu.hardware.walks.sites import RADIX, Site
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import EPT_A, EPT_D, EPT_RWX, INDEX_BITS, PAGE_SHIFT, frame_at
from mmulab.mmu.memory.hashed_lines import (
    address_of,
    place_of,
    plain,
    position_of,
    tag_in,
    tag_of,
)
from mmulab.mmu.memory.status import EPT_VIOLATION, NIL, OK
from mmulab.mmu.memory.tables import load, slot_of
from mmulab.mmu.trace import STORE

GUEST_STEPS, HOST_STEPS = 0, 1  # counters of the technique


class _WalkTable(Site):
    """An entry of a cuckoo walk table, or what locates one of the guest's, in the background."""

    @property
    def label(self) -> str:
        return f"nL{self.level} of {self.dimension}" if self.level else self.dimension


GUEST_CWT, HOST_CWT = len(RADIX), len(RADIX) + 1
OF_CWT = HOST_CWT  # what locates the guest's, at level 0
SITES = (
    *RADIX,
    _WalkTable("gCWT", 0, 0),
    _WalkTable("hCWT", 0, 0),
    *(_WalkTable("gCWT", size + 1, 0) for size in range(PAGE_SIZES)),
)

CWT_KIND, NESTED_KIND = 6, 8  # in the names of lines, beside levels

_denies = EPT.denies


@inlined
def way_of(vcpu, whose, size, number):
    return vcpu.way[np.uint64((whose * PAGE_SIZES + size) * MOST_WAYS + number)]


# --- Which probes -------------------------------------------------------------------------


@inlined
def of_sizes(vcpu, whose, sizes):
    """Probes of all ways of tables of some page sizes, as bits: MOST_WAYS a size."""
    probes = 0
    for size in range(PAGE_SIZES):
        if sizes >> size & 1 and way_of(vcpu, whose, size, 0).lines:
            probes |= ((1 << vcpu.hashing[0].ways) - 1) << MOST_WAYS * size
    return probes


@inlined
def of_entry(vcpu, whose, entry, own):
    """Probes by an entry of a walk table. own: the page size whose way it tells."""
    sizes = entry & SIZES
    probes = of_sizes(vcpu, whose, sizes & ~(1 << own))
    if sizes >> own & 1:
        probes |= 1 << (MOST_WAYS * own + (entry >> WAY_SHIFT))
    return probes


@kernel
def peek(vcpu, memory, whose, size, address):
    """(HPA of the line that has an address, way), without a reference, of a table in host frames;
    (NIL, 0) where none has a present entry for it."""
    if way_of(vcpu, whose, size, 0).lines == 0:
        return NIL, 0
    tag = tag_of(address, size)
    for number in range(vcpu.hashing[0].ways):
        frame, line = place_of(way_of(vcpu, whose, size, number), number, tag)
        hpa = address_of(frame, line)
        if tag_in(memory, hpa) == tag:
            if load(memory, hpa | position_of(address, size) << 3) & EPT_RWX:
                return hpa, number
            return NIL, 0
    return NIL, 0


@kernel
def host_entry(vcpu, memory, level, gpa):
    """(entry of the host's walk table for a region, HPA of its word)."""
    state = vcpu.hashing[0]
    first = state.walk_table << PAGE_SHIFT
    if level == PTE:
        hpa, way = peek(vcpu, memory, HASHED_HOST, 0, gpa)
        return (0 if hpa == NIL else 1 | way << WAY_SHIFT), first
    region = gpa >> (PAGE_SHIFT + INDEX_BITS * (level - 1))
    hpa, way = peek(vcpu, memory, HASHED_HOST, level - 1, gpa)
    entry = 0 if hpa == NIL else 1 << (level - 1) | way << WAY_SHIFT
    at = first + (region << 3)
    if level == PUD:
        at += state.regions << 3
        gigabytes = (state.regions + 511) >> INDEX_BITS
        entry |= int(load(memory, at + (gigabytes << 3)) != 0) << 1
    return entry | int(load(memory, at) != 0), at


@inlined
def _fetch_host_entry(core, vcpu, memory, level, gpa):
    """A missing entry of the host's walk table, in the background."""
    entry, hpa = host_entry(vcpu, memory, level, gpa)
    step = begin_background(core)
    number = (level << 40) + (gpa >> (PAGE_SHIFT + INDEX_BITS * (level - 1)) >> 6)
    line = named(vcpu.regs[0].vm_space, CWT_KIND + NESTED_KIND, number)
    reference(core, vcpu, hpa, entry, HOST_CWT, line)
    end_background(core, step)
    if entry & SIZES:
        context = vcpu.regs[0].physical_context
        remember_entry(core, context, ROUTE_EPT_PSC, level, gpa, entry)


@inlined
def _host_probes(core, vcpu, memory, gpa, site):
    """Probes of the host's tables. PTE entries are always used to locate guest's tables."""
    context = vcpu.regs[0].physical_context
    leaf = pmd = pud = NIL
    use_leaf = is_there(core, ROUTE_EPT_PSC, PTE) and (site > 0 or not vcpu.hashing[0].off)
    if use_leaf:
        leaf = find_entry(core, context, ROUTE_EPT_PSC, PTE, gpa)
    if is_there(core, ROUTE_EPT_PSC, PMD):
        pmd = find_entry(core, context, ROUTE_EPT_PSC, PMD, gpa)
    if is_there(core, ROUTE_EPT_PSC, PUD):
        pud = find_entry(core, context, ROUTE_EPT_PSC, PUD, gpa)
    if site == 0 and is_there(core, ROUTE_EPT_PSC, PTE):
        adapt(vcpu, PMD if vcpu.hashing[0].off else PTE, (leaf if use_leaf else pmd) != NIL)
    probes = of_sizes(vcpu, HASHED_HOST, SIZES)
    if leaf != NIL:
        probes = of_entry(vcpu, HASHED_HOST, leaf, 0)
    elif pmd != NIL:
        probes = of_entry(vcpu, HASHED_HOST, pmd, 1)
    elif pud != NIL:
        probes = of_entry(vcpu, HASHED_HOST, pud, 2)
    if use_leaf and leaf == NIL and (pmd == NIL or pmd & 1):
        _fetch_host_entry(core, vcpu, memory, PTE, gpa)
    if pmd == NIL and is_there(core, ROUTE_EPT_PSC, PMD):
        _fetch_host_entry(core, vcpu, memory, PMD, gpa)
    if pud == NIL and is_there(core, ROUTE_EPT_PSC, PUD):
        _fetch_host_entry(core, vcpu, memory, PUD, gpa)
    return probes


# --- The host's tables --------------------------------------------------------------------


@kernel
def host_probe(core, vcpu, memory, gpa, kind, user, site):
    """Within a step, the probes for a guest-physical address, a lane each: (status, leaf with its
    rights, level), as a walk of a nested table gives them."""
    probes = _host_probes(core, vcpu, memory, gpa, site)
    slot, size = np.uint64(0), NIL
    for number in range(PAGE_SIZES * MOST_WAYS):
        if not probes >> number & 1:
            continue
        of = number // MOST_WAYS
        tag = tag_of(gpa, of)
        frame, line = place_of(
            way_of(vcpu, HASHED_HOST, of, number % MOST_WAYS), number % MOST_WAYS, tag
        )
        hpa = address_of(frame, line)
        at = slot_of(memory, hpa | position_of(gpa, of) << 3)
        name = named(vcpu.regs[0].vm_space, of + 1 + NESTED_KIND, frame << LINES_SHIFT | line)
        next_lane(core)
        reference(core, vcpu, hpa, plain(memory.entry[at]), site + of + 1, name)
        if memory.entry[at] & EPT_RWX and tag_in(memory, hpa) == tag:
            slot, size = at, of
    entry = plain(memory.entry[slot]) if size != NIL else 0
    rights = entry & EPT_RWX
    if rights == 0 or _denies(rights, kind, user):
        vcpu.regs[0].fault_gpa = gpa
        return EPT_VIOLATION, entry, max(size, 0) + 1
    if vcpu.regs[0].root_ad:
        used = EPT_A | (EPT_D if kind == STORE else 0)
        memory.entry[slot] |= used
        entry |= used
    return OK, entry, size + 1


@inlined
def host_walk(core, vcpu, memory, gpa, kind, user, site):
    """A step of its own, for a table of the guest's or the page; none in a segment, whose entry is
    as if by a page of 1 GiB."""
    gfn = gpa >> PAGE_SHIFT
    if is_inside(vcpu, PHYSICAL, gfn):
        first = moved(vcpu, PHYSICAL, gfn & ~((1 << 2 * INDEX_BITS) - 1))
        return OK, (first << PAGE_SHIFT) | EPT_RWX | EPT_D, 3
    vcpu.own[HOST_STEPS] += 1
    begin_step(core)
    status, leaf, level = host_probe(core, vcpu, memory, gpa, kind, user, site)
    end_step(core)
    return status, leaf, level


@kernel
def place_in_host(vcpu, memory, gfn):
    """hfn of a guest's frame, without a reference; NIL where nothing maps it."""
    if is_inside(vcpu, PHYSICAL, gfn):
        return moved(vcpu, PHYSICAL, gfn)
    for size in range(PAGE_SIZES):
        hpa, _ = peek(vcpu, memory, HASHED_HOST, size, gfn << PAGE_SHIFT)
        if hpa != NIL:
            entry = plain(load(memory, hpa | position_of(gfn << PAGE_SHIFT, size) << 3))
            return frame_at(entry, gfn << PAGE_SHIFT, size + 1)
    return NIL
