"""Set-associative arrays: what TLBs and walk caches are made of.

All units of a core share the flat arrays `Core.tag`, `Core.age`, `Core.data`; a
UNIT record says which slots are its own, a ROUTE record how to search them. A tag is
unique within its unit, -1 where the slot is invalid.

An age is a time stamp above the slot's own number, so that one minimum over a set finds
the oldest slot. The stamp of an invalid slot is 0: it is filled first, the lowest way
before the others, under every policy. Sets are padded to as many slots as are looked at
together (`padded`); the padding matches no tag and is never the oldest.
"""

from __future__ import annotations

import numpy as np

from mmu.jit import inlined, kernel
from mmu.lanes import MEDIUM, NARROW, WIDE, equal_mask, least, lowest_bit, seldom
from mmu.state import FIFO, LRU, NIL, PLRU, RANDOM, ROUTE_COLUMNS

INVALID = -1
PADDING = -2  # tag of a slot that is there only to fill up its set

# 2**20 slots at most, and 2**43 touches of a unit.
SLOT_BITS = 20
_SLOT_MASK = (1 << SLOT_BITS) - 1
PADDING_AGE = (1 << 63) - 1


def padded(ways: int) -> int:
    """Slots that a set of so many ways takes."""
    for lanes in (NARROW, MEDIUM):
        if ways <= lanes:
            return lanes
    return -(-ways // WIDE) * WIDE


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
    # Without a loop: where it would stop is not predictable.
    if route.stride == NARROW:
        found = equal_mask(core.tag, slot, NARROW, tag)
    elif route.stride == MEDIUM:
        found = equal_mask(core.tag, slot, MEDIUM, tag)
    elif route.stride == WIDE:
        found = equal_mask(core.tag, slot, WIDE, tag)
    else:
        return _find_in_many(core, first, first + route.stride, tag)
    if found:
        return first + lowest_bit(found)
    return NIL


@kernel
def _find_in_many(core, first, end, tag):
    """`find` in a set of more slots than are compared at once."""
    seldom()
    for start in range(first, end, WIDE):
        found = equal_mask(core.tag, np.uint64(start), WIDE, tag)
        if found:
            return start + lowest_bit(found)
    return NIL


@inlined
def _oldest(core, route, index):
    """The smallest age of a set."""
    slot = np.uint64(first_slot(route, index))
    if route.stride == NARROW:
        return least(core.age, slot, NARROW)
    if route.stride == MEDIUM:
        return least(core.age, slot, MEDIUM)
    if route.stride == WIDE:
        return least(core.age, slot, WIDE)
    return _oldest_of_many(core, slot, slot + np.uint64(route.stride))


@kernel
def _oldest_of_many(core, slot, end):
    """`_oldest` of a set of more slots than are compared at once."""
    seldom()
    oldest = PADDING_AGE
    while slot < end:
        oldest = min(oldest, least(core.age, slot, WIDE))
        slot += np.uint64(WIDE)
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
    seldom()
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
def _stamp(core, slot, clock):
    core.age[np.uint64(slot)] = stamped(slot, clock)


@inlined
def touch(core, unit, slot, clock):
    """Records a hit."""
    if unit.policy == LRU:
        _stamp(core, slot, clock)
    elif unit.policy == PLRU:
        _point_away(core, unit, slot)


@kernel
def _victim_not_by_age(core, unit, first):
    """Victim of the full set that begins at a slot, under random replacement or tree-PLRU."""
    seldom()
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
    _stamp(core, slot, clock)


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
