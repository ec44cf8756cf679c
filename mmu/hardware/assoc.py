"""Set-associative arrays: what TLBs, paging-structure caches and caches are made of.

All units of a core share the flat arrays `Core.tag`, `Core.age`, `Core.data`; a
UNIT record says which slots are its own. A tag is unique within its unit, -1
where the slot is invalid. Ages are time stamps: the victim under LRU and FIFO
is the slot with the smallest. An invalid slot has age 0, so it is filled first,
the lowest way before the others, under every policy.
"""

from __future__ import annotations

from mmu.jit import inlined, kernel
from mmu.state import FIFO, LRU, NIL, PLRU, RANDOM

INVALID = -1


@inlined
def find(core, unit, index, tag):
    """Slot that holds the tag in set `index & set_mask`, or NIL."""
    start = unit.base + (index & unit.set_mask) * unit.ways
    for slot in range(start, start + unit.ways):
        if core.tag[slot] == tag:
            return slot
    return NIL


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
    start = unit.base + (index & unit.set_mask) * unit.ways
    oldest = start
    age = core.age[start]
    for slot in range(start + 1, start + unit.ways):
        if core.age[slot] < age:
            age = core.age[slot]
            oldest = slot
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
        return start + (state >> 16) % unit.ways
    bits = core.tree[unit.tree + (index & unit.set_mask)]
    node = 1
    way = 0
    half = unit.ways >> 1
    while half:
        side = (bits >> node) & 1
        way += half * side
        node = 2 * node + side
        half >>= 1
    return start + way


@kernel
def insert(core, unit, index, tag, data, clock):
    """Fills the tag into its set, in place where it is there already; returns the slot."""
    slot = find(core, unit, index, tag)
    if slot == NIL:
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
