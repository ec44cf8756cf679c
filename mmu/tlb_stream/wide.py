"""Sets of many ways: where a page is found without a search, and the oldest way, too.

Pages are found by a hash: `heads` has the first slot of each bucket, `nexts` the one after each
slot.

Ways in order of their last touch hang in no list, which each hit would have to mend. A queue has
them as they were at one time, with the times of their last touches then. Whatever has been
touched since is younger than all that has not; so the next victim is the first of the queue
whose time is still the same. When there is none, the queue is made anew. That is a sort of n
ways, but until then each of them has been touched: a few steps an access, and where they are in
order already, as after misses alone, one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.vectors import seldom
from mmulab.mmu.tlb_stream.constants import NO_PAGE

NOT_FOUND = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)


class Sets(NamedTuple):
    """How sets are searched: kernels."""

    find: Any  # (level, first slot of the set, page): slot that holds the page, or NOT_FOUND
    put: Any  # (level, slot, page): makes a slot that of a page
    touched_first: Any  # (level, set, its first slot): under LRU, the slot to be replaced


@inlined
def hashed(page, shift):
    """A hash of a page number of 64 - shift bits. 2**64 over the golden ratio spreads pages at
    even distances (Knuth, TAOCP vol. 3, 6.4)."""
    return (np.uint64(page) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(shift)


@inlined
def _find(level, first, page):
    """Slot that holds the page, or NOT_FOUND."""
    slot = level.chains.heads[hashed(page, level.chains.shift)]
    while slot >= 0:
        if level.tags[np.uint64(slot)] == page:
            return np.uint64(slot)
        slot = level.chains.nexts[np.uint64(slot)]
    return NOT_FOUND


@inlined
def _put(level, slot, page):
    """Makes a slot that of a page, instead of the one that it holds."""
    old = level.tags[slot]
    if old != NO_PAGE:
        bucket = hashed(old, level.chains.shift)
        following = level.chains.nexts[slot]
        if level.chains.heads[bucket] == np.int64(slot):
            level.chains.heads[bucket] = following
        else:
            before = np.uint64(level.chains.heads[bucket])
            while level.chains.nexts[before] != np.int64(slot):
                before = np.uint64(level.chains.nexts[before])
            level.chains.nexts[before] = following
    bucket = hashed(page, level.chains.shift)
    level.chains.nexts[slot] = level.chains.heads[bucket]
    level.chains.heads[bucket] = np.int64(slot)
    level.tags[slot] = page


@inlined
def _touched_first(level, index, first):
    """Slot of a set that was touched the longest ago."""
    ways = np.uint64(level.ways)
    while True:
        at = np.uint64(level.used[index])
        while at < ways:
            slot = np.uint64(level.chains.queue[first + at])
            if level.times[slot] == level.chains.queued[first + at]:
                level.used[index] = np.int64(at + _ONE)
                return slot
            at += _ONE
        _make_queue(level, first, ways)
        level.used[index] = 0


@kernel
def _make_queue(level, first, ways):
    """Sorts the ways of a set by the times of their last touches."""
    seldom()
    queue, queued, times = level.chains.queue, level.chains.queued, level.times
    ordered = True
    latest = 0
    for each in range(ways):
        at = first + each
        time = times[np.uint64(queue[at])]
        queued[at] = time
        ordered &= time >= latest
        latest = time
    if ordered:
        return
    length, end = _ONE, first + ways
    while length < ways:
        start = first
        while start < end:
            middle = min(start + length, end)
            _merge(level, start, middle, min(middle + length, end))
            start = middle + length
        length += length


@inlined
def _merge(level, start, middle, end):
    """Merges two sorted pieces of a queue, the first of which is copied out of the way."""
    queue, queued = level.chains.queue, level.chains.queued
    if middle >= end or queued[middle - _ONE] <= queued[middle]:
        return
    count = middle - start
    for at in range(count):
        level.chains.spare[at] = queue[start + at]
        level.chains.spare_times[at] = queued[start + at]
    left, right, to = np.uint64(0), middle, start
    while left < count:
        take_right = right < end and queued[min(right, end - _ONE)] < level.chains.spare_times[left]
        if take_right:
            queue[to], queued[to] = queue[right], queued[right]
            right += _ONE
        else:
            queue[to], queued[to] = level.chains.spare[left], level.chains.spare_times[left]
            left += _ONE
        to += _ONE


SETS = Sets(_find, _put, _touched_first)
