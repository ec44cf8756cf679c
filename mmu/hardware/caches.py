"""What a page-table reference costs: the cache level that holds its line.

A small model. Only page-table lines go through it; the data of the program is
accounted for by `page_table_share`, the part of each cache's sets that a preset
assumes page-table lines find for themselves. Each level is filled on a miss, none
is kept inclusive; all replace by LRU. Not modelled: prefetchers, writeback traffic,
other cores.

What a reference costs changes nothing that a walk does. So walks only note their
references (`reference`), and `price` takes them through one level after another, many
at a time: which level will have a line is not predictable, and costs no branch there.

A set's lines lie in `Core.line` in order of use, the latest first, in groups of GROUP.
A set of more ways has a group in each of several planes.
"""

from __future__ import annotations

import numpy as np

from mmu.jit import inlined, kernel
from mmu.lanes import GROUP, move_to_front, seldom
from mmu.state import CACHE_LEVELS, NIL, REFERENCES

LINE_SHIFT = 6  # 64-byte lines, eight entries a line

# 2**64 divided by the golden ratio, odd: Knuth, TAOCP vol. 3, 6.4, as a signed number.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_HASH_SHIFT = 40

# What is noted of a reference: | line | where in Core.references it is counted, if it is
# served by the first cache level: 8 bits |
_LINE = 8
_COUNTER = (1 << _LINE) - 1


@inlined
def _set_of(cache, line):
    """First slot of a line's set, in the first plane: by a hash of its address.

    A freshly booted guest gets its frames in order, so that tables lie at regular
    distances and would pile up in few sets; on a machine that has run for a while frames
    are scattered, and last-level caches hash addresses themselves (Maurice et al., Reverse
    engineering Intel last-level cache complex addressing, RAID 2015).
    """
    return cache.base + (((line * _GOLDEN) >> _HASH_SHIFT) & cache.set_mask) * GROUP


@inlined
def _count(core, noted, cache_level, number):
    core.references[np.uint64((noted & _COUNTER) + cache_level)] += number


@inlined
def _through_level(core, level, count):
    """Takes the first `count` noted references through a cache whose sets are one group;
    those that miss are the first ones noted afterwards. Returns how many."""
    cache = core.cache[np.uint64(level)]
    last = cache.ways - 1
    missed = np.uint64(0)
    for position in range(np.uint64(count)):
        noted = core.noted[position]
        line = noted >> _LINE
        found = move_to_front(core.line, np.uint64(_set_of(cache, line)), last, line, line)
        hit = np.int64(found != 0)
        _count(core, noted, level, hit)
        core.noted[missed] = noted
        missed += np.uint64(1 - hit)
    return np.int64(missed)


@kernel
def _in_planes(core, cache, line):
    """True where a cache of several groups a set holds a line, which is now its latest."""
    seldom()
    slot = _set_of(cache, line)
    front = line
    left = cache.ways
    while left > 0:
        out = np.int64(core.line[slot + GROUP - 1])
        if move_to_front(core.line, np.uint64(slot), min(left, GROUP) - 1, line, front):
            return True
        front = out
        slot += cache.plane
        left -= GROUP
    return False


@kernel
def _through_wide_level(core, level, count):
    """`_through_level` of a cache of several groups a set."""
    seldom()
    cache = core.cache[level]
    missed = 0
    for position in range(count):
        noted = core.noted[position]
        if _in_planes(core, cache, noted >> _LINE):
            _count(core, noted, level, 1)
        else:
            core.noted[missed] = noted
            missed += 1
    return missed


@kernel
def price(core):
    """Counts the references that walks have noted by the cache level that has their lines.
    Returns the last level that had any."""
    count = core.regs[0].noted
    core.regs[0].noted = 0
    for level in range(CACHE_LEVELS - 1):
        ways = core.cache[level].ways
        if ways > GROUP:
            count = _through_wide_level(core, level, count)
        elif ways > 0:
            count = _through_level(core, level, count)
        if count == 0:
            return level
    for position in range(count):
        _count(core, core.noted[position], CACHE_LEVELS - 1, 1)
    return CACHE_LEVELS - 1


@inlined
def reference(core, hpa, entry, guest_level, host_level):
    """Notes one reference of a walk to the entry at hpa, to be priced."""
    number = core.regs[0].noted
    counter = (guest_level * REFERENCES[1] + host_level) * CACHE_LEVELS
    core.noted[np.uint64(number)] = ((hpa >> LINE_SHIFT) << _LINE) | counter
    number += 1
    core.regs[0].noted = number
    if number == core.noted.size:
        price(core)
    if core.regs[0].logging != NIL:
        _log(core, hpa, entry, guest_level, host_level)


@kernel
def _log(core, hpa, entry, guest_level, host_level):
    seldom()
    used = core.regs[0].logging
    if used < core.log.size:
        record = core.log[used]
        record.guest_level = guest_level
        record.host_level = host_level
        record.address = hpa
        record.entry = entry
        record.cache = price(core)
        core.regs[0].logging = used + 1
