"""The compiled part of `mmu.tlb_stream.stream`.

Indices are uint64: for a signed one numba makes code that counts from the end.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.tlb_stream.constants import FIFO, GROUP, LRU, PREDICTIONS, RANDOM

_GROUP = np.uint64(GROUP)
_ZERO, _ONE, _TWO, _THREE = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
_FOUR = np.uint64(4)
_PREDICTED_BY = PREDICTIONS - 1  # the bits of a page number that choose the prediction

_HITS_IN_A_ROW = 2  # after a miss, before accesses are taken by fours again
_NOT_FOUND = np.uint64(0xFFFFFFFFFFFFFFFF)

# xorshift64* (see mmu.tlb_stream.stream)
_SHIFT_A, _SHIFT_B, _SHIFT_C = np.uint64(12), np.uint64(25), np.uint64(27)
_MULTIPLIER = np.uint64(0x2545F4914F6CDD1D)
_UPPER_HALF = np.uint64(32)


@inlined
def _find(tags, first, stride, page):
    """Slot of a set that holds the page, or _NOT_FOUND."""
    slot = first
    end = first + stride
    while slot < end:
        if tags[slot] == page:
            return slot
        if tags[slot + _ONE] == page:
            return slot + _ONE
        if tags[slot + _TWO] == page:
            return slot + _TWO
        if tags[slot + _THREE] == page:
            return slot + _THREE
        slot += _GROUP
    return _NOT_FOUND


@inlined
def _touched_first(times, first, ways):
    """Slot with the smallest time; an invalid one has 0, the lowest wins."""
    oldest = times[first]
    victim = first
    slot = first + _ONE
    for _ in range(ways - _ONE):  # without branches: which way is the oldest is not predictable
        older = times[slot] < oldest
        oldest = times[slot] if older else oldest
        victim = slot if older else victim
        slot += _ONE
    return victim


@inlined
def _pointed_at(times, first, ways):
    """Slot where the nodes of tree-PLRU point: at each, to the half touched less recently."""
    half = ways >> _ONE
    while half > _ZERO:
        left = right = 0
        for way in range(half):
            left = max(left, times[first + way])
            right = max(right, times[first + half + way])
        if left > right:
            first += half
        half >>= _ONE
    return first


@inlined
def _at_random(level, first):
    state = level.random[0]
    state ^= state >> _SHIFT_A
    state ^= state << _SHIFT_B
    state ^= state >> _SHIFT_C
    level.random[0] = state
    upper = (state * _MULTIPLIER) >> _UPPER_HALF
    return first + ((upper * np.uint64(level.ways)) >> _UPPER_HALF)


@inlined
def _victim_not_lru(level, index, first):
    way = level.used[index]
    if level.policy == FIFO:  # nothing is invalidated: filled in turn, replaced in turn
        level.used[index] = way + 1 if way + 1 < level.ways else 0
        return first + np.uint64(way)
    if way < level.ways:
        level.used[index] = way + 1
        return first + np.uint64(way)
    if level.policy == RANDOM:
        return _at_random(level, first)
    return _pointed_at(level.times, first, np.uint64(level.ways))


@inlined
def _make_newest(level, index, slot):
    """Moves a slot to the newest end of its set's circular list."""
    newest = np.uint64(level.newest[index])
    if slot == newest:
        return
    newer, older = level.newer, level.older
    oldest = np.uint64(newer[newest])
    if slot != oldest:  # the oldest is next to the newest already: the ring only turns
        above, below = np.uint64(newer[slot]), np.uint64(older[slot])
        newer[below] = above
        older[above] = below
        newer[newest] = slot
        older[slot] = newest
        newer[slot] = oldest
        older[oldest] = slot
    level.newest[index] = slot


@inlined
def _access_l2(level, page, now):
    """Touches the page, filled if need be; returns 1 on a miss, 0 on a hit."""
    index = np.uint64(page) & np.uint64(level.set_mask)
    first = index * np.uint64(level.stride)
    slot = _find(level.tags, first, np.uint64(level.stride), page)
    if level.policy == LRU:
        if slot != _NOT_FOUND:
            _make_newest(level, index, slot)
            return 0
        victim = np.uint64(level.newer[np.uint64(level.newest[index])])
        level.newest[index] = victim
        level.tags[victim] = page
        return 1
    missed = 0
    if slot == _NOT_FOUND:
        missed = 1
        slot = _victim_not_lru(level, index, first)
        level.tags[slot] = page
    level.times[slot] = now
    return missed


@inlined
def _fill_l1(level, index, first, page):
    """Fills a page that is not there; returns its slot."""
    if level.policy == LRU:
        slot = _touched_first(level.times, first, np.uint64(level.ways))
    else:
        slot = _victim_not_lru(level, index, first)
    level.tags[slot] = page
    return slot


@inlined
def _predicted_hits(addresses, position, page_shift, clock, predicted, l1):
    """Takes accesses by fours while all four are predicted right; returns the position."""
    tags, times = l1.tags, l1.times
    last = np.uint64(addresses.size)
    while position + _FOUR <= last:
        page0 = addresses[position] >> page_shift
        page1 = addresses[position + _ONE] >> page_shift
        page2 = addresses[position + _TWO] >> page_shift
        page3 = addresses[position + _THREE] >> page_shift
        slot0 = np.uint64(predicted[page0 & _PREDICTED_BY])
        slot1 = np.uint64(predicted[page1 & _PREDICTED_BY])
        slot2 = np.uint64(predicted[page2 & _PREDICTED_BY])
        slot3 = np.uint64(predicted[page3 & _PREDICTED_BY])
        wrong = (tags[slot0] ^ page0) | (tags[slot1] ^ page1)
        wrong |= (tags[slot2] ^ page2) | (tags[slot3] ^ page3)
        if wrong != 0:
            break
        now = clock + np.int64(position)
        times[slot0] = now
        times[slot1] = now + 1
        times[slot2] = now + 2
        times[slot3] = now + 3
        position += _FOUR
    return position


@entry
def translate(addresses, page_shift, clock, predicted, l1, l2):
    """Translates addresses in order; returns (L1 misses, L2 misses).

    clock: time of the first access, at least 1, later than that of any before.
    """
    stride, set_mask = np.uint64(l1.stride), np.uint64(l1.set_mask)
    end = np.uint64(addresses.size)
    position = _ZERO
    l1_misses = l2_misses = 0
    while position < end:
        position = _predicted_hits(addresses, position, page_shift, clock, predicted, l1)
        hits = 0
        while position < end and hits < _HITS_IN_A_ROW:
            page = addresses[position] >> page_shift
            now = clock + np.int64(position)
            slot = np.uint64(predicted[page & _PREDICTED_BY])
            hits += 1
            if l1.tags[slot] != page:
                index = np.uint64(page) & set_mask
                first = index * stride
                slot = _find(l1.tags, first, stride, page)
                if slot == _NOT_FOUND:
                    hits = 0
                    l1_misses += 1
                    slot = _fill_l1(l1, index, first, page)
                    l2_misses += _access_l2(l2, page, now)
                predicted[page & _PREDICTED_BY] = np.int64(slot)
            l1.times[slot] = now
            position += _ONE
    return l1_misses, l2_misses
