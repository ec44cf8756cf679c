"""Set-associative arrays: what TLBs, paging-structure caches and caches are made of.

All units of a core share the flat arrays `Core.tag`, `Core.age`, `Core.data`; a
UNIT record says which slots are its own, a ROUTE record how to search them. A tag is
unique within its unit, -1 where the slot is invalid.

An age is a time stamp above the slot's own number, so that one minimum over a set finds
the oldest slot. The stamp of an invalid slot is 0: it is filled first, the lowest way
before the others, under every policy. Sets are padded to a multiple of LANES slots, which
are searched together; the padding matches no tag and is never the oldest.
"""

from __future__ import annotations

import numpy as np

from mmu.jit import inlined, kernel
from mmu.lanes import LANES, equal_mask, least, lowest_bit
from mmu.state import FIFO, LRU, NIL, PLRU, RANDOM, ROUTE_COLUMNS

INVALID = -1
PADDING = -2  # tag of a slot that is there only to fill up its set

# 2**20 slots at most, and 2**43 touches of a unit.
SLOT_BITS = 20
_SLOT_MASK = (1 << SLOT_BITS) - 1
PADDING_AGE = (1 << 63) - 1

_LANES = np.uint64(LANES)


@inlined
def route_to(core, row, column):
    """The ROUTE to what serves a row and column; its unit is NIL where nothing does."""
    return core.route[np.uint64(row * ROUTE_COLUMNS + column)]


@inlined
def unit_of(core, route):
    return core.unit[np.uint64(route.unit)]


@inlined
def first_slot(route, index):
    """First slot of set `index & set_mask`."""
    return route.base + (index & route.set_mask) * route.stride


@inlined
def find(core, route, index, tag):
    """Slot that holds the tag in set `index & set_mask`, or NIL."""
    first = first_slot(route, index)
    # Unsigned: numba makes code for negative indices of signed ones.
    slot = np.uint64(first)
    found = equal_mask(core.tag, slot, tag)
    # One group or two is what most sets are: without a loop, a seventh less to do in a walk.
    if route.stride > LANES:
        found |= equal_mask(core.tag, slot + _LANES, tag) << LANES
        if route.stride > 2 * LANES and not found:
            return _find_further(core, first + 2 * LANES, first + route.stride, tag)
    if found:
        return first + lowest_bit(found)
    return NIL


@kernel
def _find_further(core, first, end, tag):
    """The slots of a set beyond its first two groups."""
    for start in range(first, end, LANES):
        found = equal_mask(core.tag, np.uint64(start), tag)
        if found:
            return start + lowest_bit(found)
    return NIL


@inlined
def _oldest(core, route, index):
    """The smallest age of a set."""
    slot = np.uint64(first_slot(route, index))
    oldest = least(core.age, slot)
    if route.stride > LANES:
        oldest = min(oldest, least(core.age, slot + _LANES))
        if route.stride > 2 * LANES:
            first = slot + _LANES + _LANES
            oldest = min(oldest, _oldest_further(core, first, slot + np.uint64(route.stride)))
    return oldest


@kernel
def _oldest_further(core, slot, end):
    """The smallest age of a set beyond its first two groups."""
    oldest = PADDING_AGE
    while slot < end:
        oldest = min(oldest, least(core.age, slot))
        slot += _LANES
    return oldest


@inlined
def stamped(slot, clock):
    """Age of a slot that was touched at a time."""
    return (clock << SLOT_BITS) | slot


@kernel
def _point_away(core, unit, slot):
    """Tree-PLRU: every node on the way to the slot points to the other side.

    Node 1 is the root, node n has children 2n and 2n + 1; a node's bit is the
    side (0 left, 1 right) on which the victim is to be found.
    """
    way = (slot - unit.base) % unit.stride
    word = unit.tree + (slot - unit.base) // unit.stride
    bits = core.tree[word]
    node = 1
    half = unit.ways >> 1
    while half:
        side = 1 if way & half else 0
        bits = (bits & ~(1 << node)) | ((1 - side) << node)
        node = 2 * node + side
        half >>= 1
    core.tree[word] = bits


@inlined
def touch_age(core, slot, clock):
    """Records a hit in a unit that is known to replace by LRU."""
    core.age[np.uint64(slot)] = stamped(slot, clock)


@inlined
def touch(core, unit, slot, clock):
    """Records a hit."""
    if unit.policy == LRU:
        touch_age(core, slot, clock)
    elif unit.policy == PLRU:
        _point_away(core, unit, slot)


@kernel
def _victim_not_by_age(core, unit, first):
    """Victim of the full set that begins at a slot, under random replacement or tree-PLRU."""
    if unit.policy == RANDOM:
        # xorshift (Marsaglia, J. Stat. Software 8(14), 2003), triple 13, 7, 17,
        # in 63 bits so that it stays a positive int64.
        state = unit.random
        state ^= (state << 13) & 0x7FFFFFFFFFFFFFFF
        state ^= state >> 7
        state ^= (state << 17) & 0x7FFFFFFFFFFFFFFF
        unit.random = state
        return first + (state >> 16) % unit.ways
    bits = core.tree[unit.tree + (first - unit.base) // unit.stride]
    node = 1
    way = 0
    half = unit.ways >> 1
    while half:
        side = (bits >> node) & 1
        way += half * side
        node = 2 * node + side
        half >>= 1
    return first + way


@inlined
def _put(core, slot, tag, clock):
    core.tag[np.uint64(slot)] = tag
    touch_age(core, slot, clock)


@inlined
def insert_by_age(core, route, index, tag, clock):
    """`insert` into a unit that is known to replace by LRU or FIFO."""
    victim = _oldest(core, route, index) & _SLOT_MASK
    _put(core, victim, tag, clock)
    return victim


@inlined
def insert(core, route, unit, index, tag, clock):
    """Fills a tag that is not there into its set; returns the slot, whose data is the caller's."""
    age = _oldest(core, route, index)
    victim = age & _SLOT_MASK
    if unit.policy > FIFO and age >> SLOT_BITS:
        victim = _victim_not_by_age(core, unit, first_slot(route, index))
    _put(core, victim, tag, clock)
    if unit.policy == PLRU:
        _point_away(core, unit, victim)
    return victim


@inlined
def tick(unit):
    """The unit's next time stamp; stamps start at 1, since 0 means invalid."""
    unit.clock += 1
    return unit.clock


@inlined
def drop(core, slot):
    core.tag[slot] = INVALID
    core.age[slot] = slot


@inlined
def end_of(unit):
    """One past a unit's last slot."""
    return unit.base + unit.sets * unit.stride


@kernel
def drop_all(core, unit):
    for slot in range(unit.base, end_of(unit)):
        if core.tag[slot] != PADDING:
            drop(core, slot)
