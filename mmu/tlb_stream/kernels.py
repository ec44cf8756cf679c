"""The compiled part of `mmu.tlb_stream.stream`.

Indices are uint64: for a signed one numba makes code that counts from the end.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.tlb_stream import wide
from mmulab.mmu.tlb_stream.constants import (
    FIFO,
    GROUP,
    LRU,
    NO_PAGE,
    PREDICTION_BITS,
    RANDOM,
    SAMPLES,
    WINDOWS,
)
from mmulab.mmu.tlb_stream.wide import NOT_FOUND, Sets, hashed

_GROUP = np.uint64(GROUP)
_ZERO, _ONE, _TWO, _THREE = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
_FOUR = np.uint64(4)

_HITS_IN_A_ROW = 2  # after a miss, before accesses are taken by fours again

# xorshift64* (see mmu.tlb_stream.stream)
_SHIFT_A, _SHIFT_B, _SHIFT_C = np.uint64(12), np.uint64(25), np.uint64(27)
_MULTIPLIER = np.uint64(0x2545F4914F6CDD1D)
_UPPER_HALF = np.uint64(32)


@inlined
def _find(level, first, page):
    """Slot of a set that holds the page, or NOT_FOUND."""
    tags = level.tags
    slot = first
    end = first + np.uint64(level.stride)
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
    return NOT_FOUND


@inlined
def _put(level, slot, page):
    """Makes a slot that of a page."""
    level.tags[slot] = page


@inlined
def _touched_first(level, index, first):
    """Slot with the smallest time; an invalid one has 0, the lowest wins."""
    times, ways = level.times, np.uint64(level.ways)
    oldest = times[first]
    victim = first
    slot = first + _ONE
    for _ in range(ways - _ONE):  # without branches: which way is the oldest is not predictable
        older = times[slot] < oldest
        oldest = times[slot] if older else oldest
        victim = slot if older else victim
        slot += _ONE
    return victim


_NARROW = Sets(_find, _put, _touched_first)


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
def _note_nothing(level, slot, page, number, noted):
    pass


@inlined
def _note_first(level, slot, page, number, noted):
    """Notes a miss that fills a way that has held nothing: see `in_parallel`."""
    if level.tags[slot] == NO_PAGE:
        noted.firsts[noted.used[0]] = page
        noted.numbers[noted.used[0]] = number
        noted.used[0] += 1


def _make_access_l2(sets: Sets, note: Any) -> Any:
    find, put = sets.find, sets.put

    @inlined
    def access_l2(level, page, now, number, noted):
        """Touches the page, filled if need be; returns 1 on a miss, 0 on a hit."""
        index = np.uint64(page) & np.uint64(level.set_mask)
        first = index * np.uint64(level.stride)
        slot = find(level, first, page)
        if level.policy == LRU:
            if slot != NOT_FOUND:
                _make_newest(level, index, slot)
                return 0
            victim = np.uint64(level.newer[np.uint64(level.newest[index])])
            level.newest[index] = victim
            note(level, victim, page, number, noted)
            put(level, victim, page)
            return 1
        missed = 0
        if slot == NOT_FOUND:
            missed = 1
            slot = _victim_not_lru(level, index, first)
            put(level, slot, page)
        level.times[slot] = now
        return missed

    return access_l2


def _make_victim_l1(sets: Sets) -> Any:
    touched_first = sets.touched_first

    @inlined
    def victim_l1(level, index, first):
        """Slot of the set to be filled with a page that is not there."""
        if level.policy == LRU:
            return touched_first(level, index, first)
        return _victim_not_lru(level, index, first)

    return victim_l1


@inlined
def _low_bits(page):
    return page & ((1 << PREDICTION_BITS) - 1)


@inlined
def _hash(page):
    return hashed(page, 64 - PREDICTION_BITS)


@entry
def crowding(addresses, page_shift, latest):
    """How many more predictions pages take from each other by low bits than by the hash, of
    SAMPLES accesses in WINDOWS pieces. latest: int64[2, 1 << PREDICTION_BITS], scratch."""
    crowded = 0
    apart = addresses.size // WINDOWS
    for window in range(WINDOWS):
        for each in range(SAMPLES // WINDOWS):
            page = addresses[window * apart + each] >> page_shift
            by_bits, by_hash = np.uint64(_low_bits(page)), _hash(page)
            crowded += np.int64(latest[0, by_bits] != page) - np.int64(latest[1, by_hash] != page)
            latest[0, by_bits] = latest[1, by_hash] = page
    return crowded


def _make_predicted_hits(place_of: Any) -> Any:
    @inlined
    def predicted_hits(addresses, position, page_shift, clock, predicted, l1):
        """Takes accesses by fours while all four are predicted right; returns the position."""
        tags, times = l1.tags, l1.times
        last = np.uint64(addresses.size)
        while position + _FOUR <= last:
            page0 = addresses[position] >> page_shift
            page1 = addresses[position + _ONE] >> page_shift
            page2 = addresses[position + _TWO] >> page_shift
            page3 = addresses[position + _THREE] >> page_shift
            slot0 = np.uint64(predicted[place_of(page0)])
            slot1 = np.uint64(predicted[place_of(page1)])
            slot2 = np.uint64(predicted[place_of(page2)])
            slot3 = np.uint64(predicted[place_of(page3)])
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

    return predicted_hits


def _make_first_level(by_hash: bool, sets1: Sets, miss: Any) -> Any:
    """The loop over L1. miss: what a miss does besides, (L1, slot to be filled, page, time, how
    many misses there were before, what is below L1): returns what is to be counted of it."""
    place_of = _hash if by_hash else _low_bits
    predicted_hits = _make_predicted_hits(place_of)
    find, put, victim_l1 = sets1.find, sets1.put, _make_victim_l1(sets1)

    @inlined
    def first_level(addresses, page_shift, clock, predicted, l1, below):
        stride, set_mask = np.uint64(l1.stride), np.uint64(l1.set_mask)
        end = np.uint64(addresses.size)
        position = _ZERO
        misses = counted = 0
        while position < end:
            position = predicted_hits(addresses, position, page_shift, clock, predicted, l1)
            hits = 0
            while position < end and hits < _HITS_IN_A_ROW:
                page = addresses[position] >> page_shift
                now = clock + np.int64(position)
                place = place_of(page)
                slot = np.uint64(predicted[place])
                hits += 1
                if l1.tags[slot] != page:
                    index = np.uint64(page) & set_mask
                    first = index * stride
                    slot = find(l1, first, page)
                    if slot == NOT_FOUND:
                        hits = 0
                        slot = victim_l1(l1, index, first)
                        counted += miss(l1, slot, page, now, misses, below)
                        put(l1, slot, page)
                        misses += 1
                    predicted[place] = np.int64(slot)
                l1.times[slot] = now
                position += _ONE
        return misses, counted

    return first_level


def _sets_of(is_wide: bool) -> Sets:
    return wide.SETS if is_wide else _NARROW


@cache
def translating(by_hash: bool, wide1: bool, wide2: bool, notes: bool = False) -> Any:
    """What translates addresses, for levels of sets that are `wide` or not.

    by_hash: where a page's prediction is, by the hash of its number or by low bits of it. By
    these it is found faster; by the hash, pages at even distances do not take each other's. notes:
    whether it notes L2's first misses: see `in_parallel`.
    """
    access_l2 = _make_access_l2(_sets_of(wide2), _note_first if notes else _note_nothing)

    @inlined
    def miss(l1, slot, page, now, number, below):
        return access_l2(below[0], page, now, number, below[1])

    first_level = _make_first_level(by_hash, _sets_of(wide1), miss)

    @entry
    def translate(addresses, page_shift, clock, predicted, l1, l2, noted):
        """Translates addresses in order; returns (L1 misses, L2 misses).

        clock: time of the first access, at least 1, later than that of any before. noted: of L2.
        """
        return first_level(addresses, page_shift, clock, predicted, l1, (l2, noted))

    return translate


@cache
def missing(by_hash: bool, is_wide: bool) -> Any:
    """What finds the L1 misses of addresses: see `in_parallel`."""

    @inlined
    def miss(l1, slot, page, now, number, noted):
        _note_first(l1, slot, page, number, noted)
        noted.pages[number] = page
        return 0

    first_level = _make_first_level(by_hash, _sets_of(is_wide), miss)

    @entry
    def misses_of(addresses, page_shift, clock, predicted, l1, noted):
        """Translates addresses in order, and notes the pages that miss; returns how many."""
        return first_level(addresses, page_shift, clock, predicted, l1, noted)[0]

    return misses_of


@cache
def looking_up(is_wide: bool) -> Any:
    """What looks pages up in an L2 under LRU: see `in_parallel`."""
    access_l2 = _make_access_l2(_sets_of(is_wide), _note_first)

    @entry
    def look_up(pages, l2, noted):
        """Looks pages up in order, but for NO_PAGE; returns how many miss."""
        misses = 0
        for number in range(pages.size):
            if pages[number] != NO_PAGE:
                misses += access_l2(l2, pages[number], 0, number, noted)
        return misses

    return look_up
