"""Set-associative arrays: what TLBs, paging-structure caches and caches are made of.

All units of a core share the flat arrays `Core.tag`, `Core.age`, `Core.data`; a
UNIT record says which slots are its own. A tag is unique within its unit, -1
where the slot is invalid. Ages are time stamps: the victim under LRU and FIFO
is the slot with the smallest. An invalid slot has age 0, so it is filled first,
the lowest way before the others, under every policy.
"""

from __future__ import annotations

import numpy as np

from mmu.jit import inlined, kernel
from mmu.state import FIFO, LRU, PLRU, RANDOM

INVALID = -1

# A way beside an age in one word, so that one minimum finds both; 2**20 ways at most,
# and 2**43 touches.
_WAY_BITS = 20
_WAY_MASK = (1 << _WAY_BITS) - 1

_NONE, _ONE = np.uint64(0), np.uint64(1)


@inlined
def first_slot(unit, index):
    return unit.base + (index & unit.set_mask) * unit.ways


@inlined
def find(core, unit, index, tag):
    """Slot that holds the tag in set `index & set_mask`, or NIL."""
    tags = core.tag
    # An unsigned index cannot be negative, so that the ways are read by vector loads
    # with no wrap-around; a sum in place of a branch: which way matches is unpredictable.
    start = np.uint64(first_slot(unit, index))
    found = _NONE
    for way in range(np.uint64(unit.ways)):
        slot = start + way
        found += slot + _ONE if tags[slot] == tag else _NONE
    return np.int64(found) - 1


@inlined
def _oldest(core, unit, index):
    """(slot, age) of the set's smallest age, the lowest way where several have it."""
    ages = core.age
    start = np.uint64(first_slot(unit, index))
    oldest = ages[start] << _WAY_BITS
    for way in range(_ONE, np.uint64(unit.ways)):
        oldest = min(oldest, ages[start + way] << _WAY_BITS | np.int64(way))
    return np.int64(start) + (oldest & _WAY_MASK), oldest >> _WAY_BITS


@kernel
def _point_away(core, unit, slot):
    """Tree-PLRU: every node on the way to the slot points to the other side.

    Node 1 is the root, node n has children 2n and 2n + 1; a node's bit is the
    side (0 left, 1 right) on which the victim is to be found.
    """
    way = (slot - unit.base) % unit.ways
    word = unit.tree + (slot - unit.base) // unit.ways
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
        core.age[slot] = clock
    elif unit.policy == PLRU:
        _point_away(core, unit, slot)


@kernel
def _victim(core, unit, index):
    oldest, age = _oldest(core, unit, index)
    if age == 0 or unit.policy == LRU or unit.policy == FIFO:
        return oldest
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
def insert(core, unit, index, tag, data, clock):
    """Fills a tag that is not there into its set; returns the slot."""
    slot = _victim(core, unit, index)
    core.tag[slot] = tag
    core.data[slot] = data
    core.age[slot] = clock
    if unit.policy == PLRU:
        _point_away(core, unit, slot)
    return slot


@inlined
def tick(unit):
    """The unit's next time stamp; stamps start at 1, since age 0 means invalid."""
    unit.clock += 1
    return unit.clock


@inlined
def drop(core, slot):
    core.tag[slot] = INVALID
    core.age[slot] = 0


@kernel
def drop_all(core, unit):
    size = (unit.set_mask + 1) * unit.ways
    core.tag[unit.base : unit.base + size] = INVALID
    core.age[unit.base : unit.base + size] = 0
