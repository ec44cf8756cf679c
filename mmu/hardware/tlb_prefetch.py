"""TLB prefetch: which pages are fetched ahead, and the buffer beside the L2 TLB that has them.

At each miss of the L2 TLB, whether the buffer serves it or a walk, pages are predicted:

sequential  the pages that follow it, one unless told otherwise.
distance    those as far away as pages have been after misses at this distance before: a row of a
            direct-mapped table, found by the distance from the miss before this one, has the
            distances that followed it, the latest first (distance prefetching: Kandiraju and
            Sivasubramaniam, Going the Distance for TLB Prefetching: An Application-Driven Study,
            ISCA 2002, read in its abstract; the table of 256 rows with two distances each and the
            buffer of 16 entries are remembered of it and were not read there).

What is predicted, and lies neither in the TLBs nor in the buffer, is walked for in the background
(`walks.prefetched`). The buffer is fully associative; the entry that has been there for the longest
gives way. A hit moves the entry to the TLBs. Distances are counted in pages of 4 KiB, from the
first of a page to the first of another. Accesses to data are predicted, not instruction fetches.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.assoc import drop, fill, find, look_up, route_to, tick, unit_of
from mmulab.mmu.hardware.rights import allows
from mmulab.mmu.hardware.state import (
    MOST_PREDICTED,
    PAGE_SIZES,
    ROUTE_L1D,
    ROUTE_L2D,
    ROUTE_PREFETCH,
    TLB_SIZES,
)
from mmulab.mmu.hardware.tlb import exact_frame, is_smaller, tag_of
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import PAGE_SHIFT, G, is_canonical
from mmulab.mmu.memory.status import NIL

#: Values of CORE_RECORD.prefetch.
SEQUENTIAL, DISTANCE = 1, 2


@kernel
def find_in(core, vcpu, row, gva, sizes):
    """(slot, page size) of the entry for gva in a row's arrays, or (NIL, 0). Unlike `tlb.probe` it
    leaves what routes note for a fill to come."""
    regs = vcpu.regs[0]
    for size in range(sizes):
        route = route_to(core, row, size)
        if not route.used:
            continue
        page = gva >> route.shift
        for context in (regs.context, regs.global_context):
            slot = find(core, route, page, tag_of(context, size, page))
            if slot != NIL:
                return slot, size
    return NIL, 0


@kernel
def is_in_tlbs(core, vcpu, gva):
    """Whether the TLBs of data have an entry for gva, whatever it allows."""
    slot, _ = find_in(core, vcpu, ROUTE_L1D, gva, TLB_SIZES)
    if slot == NIL:
        slot, _ = find_in(core, vcpu, ROUTE_L2D, gva, TLB_SIZES)
    return slot != NIL


@kernel
def take(core, vcpu, gva, kind, user):
    """(True, TLB entry, page size) of the buffer's entry for gva, which leaves it; the entry's
    frame is that of the 4 KiB page of gva. False where there is none that allows the access: one
    that does not leaves, too, since a walk will find better."""
    slot, size = find_in(core, vcpu, ROUTE_PREFETCH, gva, PAGE_SIZES)
    unit = unit_of(core, route_to(core, ROUTE_PREFETCH, 0))
    if slot == NIL:
        unit.misses += 1
        return False, 0, 0
    entry = core.data[np.uint64(slot)]
    drop(core, slot)
    if not allows(entry, kind, user):
        unit.misses += 1
        return False, 0, 0
    unit.hits += 1
    vcpu.stats[0].tlb_prefetch_hits += 1
    return True, exact_frame(core, entry, gva, size), size


@kernel
def put(core, vcpu, gva, entry, size):
    """Takes what a prefetch found into the buffer. entry: as `walks.walk.Walk` has it."""
    route = route_to(core, ROUTE_PREFETCH, size)
    unit = unit_of(core, route)
    route.used = 1
    unit.sizes |= 1 << size
    if is_smaller(entry, size):
        core.record[0].fragments = 1
    context = vcpu.regs[0].context
    if entry & G:
        context = vcpu.regs[0].global_context
        core.record[0].globals = 1
    page = gva >> route.shift
    tag = tag_of(context, size, page)
    slot = look_up(core, route, page, tag)
    if slot == NIL:
        slot = fill(core, route, unit, tag, tick(unit))
    within = gva & ((1 << route.shift) - (1 << PAGE_SHIFT))
    core.data[np.uint64(slot)] = entry - within


@inlined
def _row_of(core, distance):
    return core.distance[np.uint64(distance & (core.distance.size - 1))]


@kernel
def _followed(core, before, distance):
    """Notes that a distance came after another: the latest goes first, the last one out."""
    row = _row_of(core, before)
    if not row.used or row.distance != before:
        return  # another distance has taken its row
    place = 0
    while place < row.count and row.next[np.uint64(place)] != distance:
        place += 1
    if place == row.count:
        if row.count < core.record[0].prefetch_slots:
            row.count += 1
        else:
            place -= 1
    while place > 0:
        row.next[np.uint64(place)] = row.next[np.uint64(place - 1)]
        place -= 1
    row.next[np.uint64(0)] = distance


@kernel
def _by_distance(core, page):
    """`predict` of distance prefetching."""
    record = core.record[0]
    known, before = record.misses_known, record.last_distance
    distance = page - record.last_missed
    record.last_missed = page
    record.misses_known = min(known + 1, 2)
    if known == 0:
        return 0
    record.last_distance = distance
    row = _row_of(core, distance)
    if not row.used or row.distance != distance:
        row.used, row.distance, row.count = 1, distance, 0
    count = row.count
    for place in range(count):
        record.predicted[np.uint64(place)] = page + row.next[np.uint64(place)]
    if known == 2:
        _followed(core, before, distance)
    return count


@kernel
def predict(core, gva, size):
    """The number of pages that are predicted after a miss of a page of a size, which lie in
    CORE_RECORD.predicted: page numbers of 4 KiB."""
    record = core.record[0]
    pages = 1 << (core.shift[np.uint64(size)] - PAGE_SHIFT)
    page = (gva >> PAGE_SHIFT) & -pages
    if record.prefetch == DISTANCE:
        return _by_distance(core, page)
    for place in range(record.prefetch_degree):
        record.predicted[np.uint64(place)] = page + (place + 1) * pages
    return min(record.prefetch_degree, MOST_PREDICTED)


@kernel
def is_wanted(core, vcpu, gva, target):
    """Whether a page that is predicted after a miss is fetched: one in the same half of the
    address space that neither TLBs nor buffer have."""
    if (gva ^ target) < 0 or not is_canonical(target, vcpu.regs[0].levels):
        return False
    slot, _ = find_in(core, vcpu, ROUTE_PREFETCH, target, PAGE_SIZES)
    return slot == NIL and not is_in_tlbs(core, vcpu, target)
