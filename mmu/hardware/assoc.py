"""Set-associative arrays: what TLBs and walk caches are made of.

All units of a core share the flat arrays `Core.tag`, `Core.digest`, `Core.age`,
`Core.data`; a UNIT record says which slots are its own, a ROUTE record how to search
them. A tag is unique within its unit, -1 where the slot is invalid. A set is searched by
digests of tags (hashed partial tags), half as long and never negative but where the slot is
invalid; where one is equal, the tag decides.

An age is WIDE times a time stamp plus the slot's own number. So one minimum over slots that
are looked at together finds the oldest, which its low bits tell. The stamp of an invalid
slot is 0: it is filled first, the lowest way before the others, under every policy.
`hardware.clocks` keeps time stamps small. Sets are padded to as many slots as are looked at
together (`padded`); the padding matches no tag and is never the oldest.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.state import FIFO, LRU, PLRU, RANDOM, ROUTE_COLUMNS
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.structs import JIT_OFF
from mmulab.mmu.kernels.vectors import MEDIUM, NARROW, WIDE, equal_mask, least, lowest_bit, seldom
from mmulab.mmu.memory.status import NIL

INVALID = -1
PADDING = -2  # tag of a slot that is there only to fill up its set

STAMP_SHIFT = WIDE.bit_length() - 1  # where an age's time stamp begins
_LOW_BITS = WIDE - 1  # of a slot, in an age; units begin where they are 0
PADDING_AGE = (1 << 31) - 1

_DIGEST_MASK = (1 << 31) - 1


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
def _digest(tag):
    return (tag ^ (tag >> 32)) & _DIGEST_MASK


@inlined
def find(core, route, index, tag):
    """Slot that holds the tag in set `index & set_mask`, or NIL."""
    first = first_slot(route, index)
    # Unsigned: numba makes code for negative indices of signed ones.
    slot = np.uint64(first)
    digest = _digest(tag)
    # Without a loop: where it would stop is not predictable.
    if route.stride == NARROW:
        found = equal_mask(core.digest, slot, NARROW, digest)
    elif route.stride == MEDIUM:
        found = equal_mask(core.digest, slot, MEDIUM, digest)
    elif route.stride == WIDE:
        found = equal_mask(core.digest, slot, WIDE, digest)
    else:
        return _find_in_many(core, first, first + route.stride, tag)
    if found:
        at = first + lowest_bit(found)
        return at if core.tag[np.uint64(at)] == tag else _find_among(core, first, found, tag)
    return NIL


@kernel
def _find_among(core, first, found, tag):
    """`find` among the slots from `first` on whose bit in `found` is set."""
    seldom()
    while found:
        slot = first + lowest_bit(found)
        if core.tag[slot] == tag:
            return slot
        found &= found - 1
    return NIL


@kernel
def _find_in_many(core, first, end, tag):
    """`find` in a set of more slots than are compared at once."""
    seldom()
    digest = _digest(tag)
    for start in range(first, end, WIDE):
        found = equal_mask(core.digest, np.uint64(start), WIDE, digest)
        if found:
            slot = _find_among(core, start, found, tag)
            if slot != NIL:
                return slot
    return NIL


@inlined
def _oldest(core, route, first):
    """The slot touched the longest ago in the set from `first` on."""
    slot = np.uint64(first)
    if route.stride == NARROW:
        age = least(core.age, slot, NARROW)
    elif route.stride == MEDIUM:
        age = least(core.age, slot, MEDIUM)
    elif route.stride == WIDE:
        age = least(core.age, slot, WIDE)
    else:
        return _oldest_of_many(core, first, first + route.stride)
    return (first & ~_LOW_BITS) | (age & _LOW_BITS)


@kernel
def _oldest_of_many(core, first, end):
    """`_oldest` of a set of more slots than are compared at once."""
    seldom()
    oldest, earliest = first, PADDING_AGE
    for start in range(first, end, WIDE):
        age = least(core.age, np.uint64(start), WIDE)
        slot = start | (age & _LOW_BITS)
        if _stamp_of(slot, age) < earliest:
            oldest, earliest = slot, _stamp_of(slot, age)
    return oldest


@inlined
def stamped(slot, clock):
    """Age of a slot that was touched at a time."""
    return (clock << STAMP_SHIFT) + slot


@inlined
def _stamp_of(slot, age):
    """When a slot of an age was touched; 0: it is invalid."""
    return (age - slot) >> STAMP_SHIFT


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
def _victim_not_by_age(core, unit, slot):
    """Victim of the full set of a slot, under random replacement or tree-PLRU."""
    seldom()
    first = slot - (slot - unit.base) % unit.stride
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
    core.digest[np.uint64(slot)] = _digest(tag)
    _stamp(core, slot, clock)


@inlined
def look_up(core, route, index, tag):
    """`find`, but where the tag is not there, the route notes the slot that `fill` will take.

    So that is known when a walk ends: the machine that simulates has found it meanwhile.
    """
    slot = find(core, route, index, tag)
    if slot == NIL:
        route.oldest = _oldest(core, route, first_slot(route, index))
    return slot


@inlined
def fill(core, route, unit, tag, clock):
    """Fills a tag into the set in which the route has last looked one up in vain, and where
    nothing has been filled since; returns the slot, whose data is the caller's. That this holds
    is checked where kernels run as plain Python."""
    slot = route.oldest
    if JIT_OFF:
        first = first_slot(route, tag)  # sets are told apart by the low bits of a tag
        assert first <= slot < first + route.stride, "looked up in another set"
        assert find(core, route, tag, tag) == NIL, "filled in the meantime"
    if unit.policy > FIFO and _stamp_of(slot, core.age[np.uint64(slot)]):
        slot = _victim_not_by_age(core, unit, slot)
    _put(core, slot, tag, clock)
    if unit.policy == PLRU:
        _point_away(core, unit, slot)
    return slot


@inlined
def tick(unit):
    """The unit's next time stamp; stamps start at 1, since 0 means invalid."""
    unit.clock += 1
    return unit.clock


@inlined
def drop(core, slot):
    core.tag[slot] = INVALID
    core.digest[slot] = INVALID
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
