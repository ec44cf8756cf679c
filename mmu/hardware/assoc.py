"""Set-associative arrays: what TLBs, paging-structure caches and caches are made of.

All units of a core share the flat arrays `Core.tag`, `Core.age`, `Core.data`; a
UNIT record says which slots are its own. A tag is unique within its unit, -1
where the slot is invalid.

An age is a time stamp above the slot's own number, so that one minimum over a set finds
the oldest slot. The stamp of an invalid slot is 0: it is filled first, the lowest way
before the others, under every policy. Sets are padded to a multiple of four slots, which
are searched together; the padding matches no tag and is never the oldest.
"""

from __future__ import annotations

import numpy as np

from mmu.jit import inlined, kernel
from mmu.state import FIFO, LRU, NIL, PLRU, RANDOM

INVALID = -1
PADDING = -2  # tag of a slot that is there only to fill up its set

GROUP = 4  # slots that are searched together

# 2**20 slots at most, and 2**43 touches of a unit.
SLOT_BITS = 20
_SLOT_MASK = (1 << SLOT_BITS) - 1
PADDING_AGE = (1 << 63) - 1

_ONE, _TWO, _THREE, _FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


@inlined
def first_slot(unit, index):
    return unit.base + (index & unit.set_mask) * unit.stride


@inlined
def find(core, unit, index, tag):
    """Slot that holds the tag in set `index & set_mask`, or NIL."""
    tags = core.tag
    # Unsigned: numba makes code for negative indices of signed ones.
    slot = np.uint64(first_slot(unit, index))
    end = slot + np.uint64(unit.stride)
    while slot < end:
        if tags[slot] == tag:
            return np.int64(slot)
        if tags[slot + _ONE] == tag:
            return np.int64(slot + _ONE)
        if tags[slot + _TWO] == tag:
            return np.int64(slot + _TWO)
        if tags[slot + _THREE] == tag:
            return np.int64(slot + _THREE)
        slot += _FOUR
    return NIL


@inlined
def _oldest(core, unit, index):
    """The smallest age of a set. A tree of minima: its steps do not wait for each other."""
    ages = core.age
    slot = np.uint64(first_slot(unit, index))
    end = slot + np.uint64(unit.stride)
    oldest = PADDING_AGE
    while slot < end:
        left = min(ages[slot], ages[slot + _ONE])
        right = min(ages[slot + _TWO], ages[slot + _THREE])
        oldest = min(oldest, min(left, right))
        slot += _FOUR
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
def touch(core, unit, slot, clock):
    """Records a hit."""
    if unit.policy == LRU:
        core.age[slot] = stamped(slot, clock)
    elif unit.policy == PLRU:
        _point_away(core, unit, slot)


@kernel
def _victim_not_by_age(core, unit, index):
    """Victim of a full set under random replacement or tree-PLRU."""
    if unit.policy == RANDOM:
        # xorshift (Marsaglia, J. Stat. Software 8(14), 2003), triple 13, 7, 17,
        # in 63 bits so that it stays a positive int64.
        state = unit.random
        state ^= (state << 13) & 0x7FFFFFFFFFFFFFFF
        state ^= state >> 7
        state ^= (state << 17) & 0x7FFFFFFFFFFFFFFF
        unit.random = state
        return first_slot(unit, index) + (state >> 16) % unit.ways
    bits = core.tree[unit.tree + (index & unit.set_mask)]
    node = 1
    way = 0
    half = unit.ways >> 1
    while half:
        side = (bits >> node) & 1
        way += half * side
        node = 2 * node + side
        half >>= 1
    return first_slot(unit, index) + way


@inlined
def insert(core, unit, index, tag, clock):
    """Fills a tag that is not there into its set; returns the slot, whose data is the caller's."""
    age = _oldest(core, unit, index)
    victim = age & _SLOT_MASK
    if unit.policy > FIFO and age >> SLOT_BITS:
        victim = _victim_not_by_age(core, unit, index)
    slot = np.uint64(victim)
    core.tag[slot] = tag
    core.age[slot] = stamped(victim, clock)
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
    return unit.base + (unit.set_mask + 1) * unit.stride


@kernel
def drop_all(core, unit):
    for slot in range(unit.base, end_of(unit)):
        if core.tag[slot] != PADDING:
            drop(core, slot)
