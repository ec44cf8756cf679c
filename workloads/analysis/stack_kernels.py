"""LRU stack distances, compiled.

The stack is kept in two parts. The TOP most recently used pages are in an array that is
searched from the front, where real programs find most pages. A page that falls off its
end is stamped with the next slot of a timeline; how many stamps of the timeline are still
valid after a page's own is its distance (Bennett and Kruskal, LRU stack processing, IBM J.
Res. Dev. 19(4), 1975), counted with a Fenwick tree over words of 64 slots.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import entry, inlined

TOP = 24  # found by trial on traces of python, cc1 and sort: 16 to 32 are as good
WORD = 64  # slots of the timeline in one word of `live`

# Places in `state`.
TOP_USED, NEXT_SLOT, LIVE, KEYS, ACCESSES, SAMPLED, COLD, LAST_KEY = range(8)
STATE = 8

DONE, COMPACT, GROW, WIDEN = 0, 1, 2, 3  # why a kernel stopped

EMPTY = -1  # key of a free place in the hash table
IN_TOP = -1  # slot of a page that is in the array

# 2**64 divided by the golden ratio, odd: Knuth, TAOCP vol. 3, 6.4, as a signed number.
GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)

SAMPLE_BITS = 24  # bits of the hash that decide whether a page is sampled


@inlined
def hashed(key):
    mixed = (key ^ ((key >> 32) & 0xFFFFFFFF)) * GOLDEN
    return mixed ^ ((mixed >> 29) & ((1 << 35) - 1))


@inlined
def place_of(keys, key):
    """Where a key is in the open-addressing table, or the free place where it belongs."""
    mask = keys.size - 1
    place = hashed(key) & mask
    while keys[np.uint64(place)] != key and keys[np.uint64(place)] != EMPTY:
        place = (place + 1) & mask
    return place


@inlined
def _ones(word):
    """Bits set in a word (Warren, Hacker's Delight, 5-1)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@inlined
def _add(tree, word, change):
    word += 1
    while word <= tree.size:
        tree[word - 1] += change
        word += word & -word


@inlined
def _up_to(live, tree, slot):
    """Valid stamps at slots 0 to `slot`."""
    word = slot // WORD
    kept = np.uint64(WORD - 1 - slot % WORD)
    total = _ones((live[word] << kept) >> kept)
    while word > 0:
        total += np.int64(tree[word - 1])
        word -= word & -word
    return total


@inlined
def _flip(live, tree, slot, change):
    live[slot // WORD] ^= np.uint64(1) << np.uint64(slot % WORD)
    _add(tree, slot // WORD, change)


@inlined
def _stamp(keys, slots, stamped, live, tree, state, key):
    """Gives a key the next slot of the timeline."""
    slot = state[NEXT_SLOT]
    slots[place_of(keys, key)] = slot
    stamped[slot] = key
    _flip(live, tree, slot, 1)
    state[NEXT_SLOT] = slot + 1
    state[LIVE] += 1


@inlined
def _leave(live, tree, state, slot):
    """Makes a stamp invalid; returns how many valid ones come after it."""
    later = state[LIVE] - _up_to(live, tree, slot)
    _flip(live, tree, slot, -1)
    state[LIVE] -= 1
    return later


@inlined
def _meet(keys, firsts, state, key, place):
    """Puts a new key into the table, at the free place where it belongs."""
    keys[place] = key
    firsts[state[KEYS]] = key
    state[KEYS] += 1
    state[COLD] += 1


@inlined
def _push(top, keys, slots, stamped, live, tree, state, key, found):
    """Moves a key to the front of the array; the last goes to the timeline unless the
    key came from place `found` of the array itself."""
    last = found
    if found < 0:
        last = state[TOP_USED]
        if last == TOP:
            last -= 1
            _stamp(keys, slots, stamped, live, tree, state, top[last])
        else:
            state[TOP_USED] += 1
    while last > 0:
        top[last] = top[last - 1]
        last -= 1
    top[0] = key


@inlined
def _short_of(keys, stamped, histogram, state):
    """What has no room for one page more; DONE where there is room."""
    if state[NEXT_SLOT] == stamped.size:
        return COMPACT
    if 2 * state[KEYS] >= keys.size:
        return GROW
    return WIDEN if state[KEYS] + 2 >= histogram.size else DONE


@entry
def distances(address, size, first, end, shift, owner, threshold, state, top, keys, slots, firsts,
              stamped, live, tree, histogram, straddles):  # fmt: skip
    """Counts the stack distance of each page touched by accesses [first, end).

    owner: what distinguishes the pages of a process, above the page number. threshold: a
    page is sampled if its hash is below. firsts: the keys of the table, as they came.
    histogram[d]: touches at distance d, from 1.
    straddles[0]: 1 where access `first` has only its second page to do. Returns (why it
    stopped, next access); the caller makes room and calls again.
    """
    for position in range(first, end):
        gva = address[position]
        page = gva >> shift
        last_page = (gva + size[position] - 1) >> shift
        begin = page + straddles[0]
        for touched in range(begin, last_page + 1):
            key = owner ^ (touched & ((1 << 52) - 1))
            if key == state[LAST_KEY]:
                state[ACCESSES] += 1
                state[SAMPLED] += 1
                histogram[1] += 1
                continue
            if hashed(key) >> 8 & ((1 << SAMPLE_BITS) - 1) >= threshold:
                state[ACCESSES] += 1
                continue
            short = _short_of(keys, stamped, histogram, state)
            if short != DONE:
                straddles[0] = touched - page
                return short, position
            state[ACCESSES] += 1
            state[SAMPLED] += 1
            found = 0
            used = state[TOP_USED]
            while found < used and top[found] != key:
                found += 1
            if found < used:
                histogram[found + 1] += 1
                _push(top, keys, slots, stamped, live, tree, state, key, found)
            else:
                place = place_of(keys, key)
                if keys[place] == EMPTY:
                    _meet(keys, firsts, state, key, place)
                else:
                    later = _leave(live, tree, state, slots[place])
                    histogram[used + later + 1] += 1
                slots[place] = IN_TOP
                _push(top, keys, slots, stamped, live, tree, state, key, -1)
            state[LAST_KEY] = key
        straddles[0] = 0
    return DONE, end


@entry
def compact(keys, slots, stamped, live, tree, state, new_stamped, new_live, new_tree):
    """Renumbers the valid stamps from 0, in order, into a timeline that may be longer."""
    new_live[:] = np.uint64(0)
    new_tree[:] = 0
    count = 0
    for slot in range(state[NEXT_SLOT]):
        if (live[slot // WORD] >> np.uint64(slot % WORD)) & np.uint64(1):
            key = stamped[slot]
            new_stamped[count] = key
            slots[place_of(keys, key)] = count
            _flip(new_live, new_tree, count, 1)
            count += 1
    state[NEXT_SLOT] = count


@entry
def rehash(keys, slots, new_keys, new_slots):
    """Moves a table's entries to a larger one."""
    for place in range(keys.size):
        if keys[place] != EMPTY:
            new = place_of(new_keys, keys[place])
            new_keys[new] = keys[place]
            new_slots[new] = slots[place]


@entry
def stamp_top(state, top, keys, slots, stamped, live, tree):
    """The array's pages go to the timeline, which must have room for them."""
    _stamp_all(top, state[TOP_USED], keys, slots, stamped, live, tree, state)
    state[TOP_USED] = 0


@inlined
def _stamp_all(top, used, keys, slots, stamped, live, tree, state):
    for place in range(used - 1, -1, -1):
        _stamp(keys, slots, stamped, live, tree, state, top[place])


@entry
def touch_again(later_firsts, count, state, keys, slots, firsts, live, tree, histogram):
    """Counts the distances of accesses that come after all others: the first ones to `count`
    pages, in order, with others in between to none but these. Those pages leave the timeline."""
    for number in range(count):
        key = later_firsts[number]
        place = place_of(keys, key)
        if keys[place] == EMPTY:
            _meet(keys, firsts, state, key, place)
        else:
            later = _leave(live, tree, state, slots[place])
            histogram[number + later + 1] += 1


@entry
def stamp_later(later_state, later_top, later_stamped, later_live,
                state, keys, slots, stamped, live, tree):  # fmt: skip
    """Pages that `touch_again` took from the timeline come back to it, in another's order."""
    for slot in range(later_state[NEXT_SLOT]):
        if (later_live[slot // WORD] >> np.uint64(slot % WORD)) & np.uint64(1):
            _stamp(keys, slots, stamped, live, tree, state, later_stamped[slot])
    _stamp_all(later_top, later_state[TOP_USED], keys, slots, stamped, live, tree, state)
