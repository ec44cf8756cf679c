"""What a page-table reference costs: the cache level that holds its line.

A small model. Only page-table lines go through it; the data of the program is
accounted for by `page_table_share`, the part of each cache's sets that a preset
assumes page-table lines find for themselves. Each level is filled on a miss, none
is kept inclusive; all replace by LRU. Not modelled: prefetchers, writeback traffic,
other cores.

What a reference costs changes nothing that a walk does. So walks only note their
references (`reference`), and `price` takes them through one level after another, many
at a time: which level will have a line is not predictable, and costs no branch there.

A set's lines lie in order of use, the latest first. Where a set has MEDIUM ways at most
and the host's memory is small enough for short lines, of 31 bits, they are in `Core.line`
and looked at together; else they are in `Core.long_line`, and looked at one after another.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.state import CACHE_LEVELS
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.vectors import MEDIUM, NARROW, move_to_front, seldom
from mmulab.mmu.memory.entries import PAGE_SHIFT
from mmulab.mmu.memory.status import NIL

LINE_SHIFT = 6  # 64-byte lines, eight entries a line

#: References that one walk notes at most: three dimensions of five levels make 215.
MOST_OF_A_WALK = 256

#: References of walks that are priced at a time, and those of the last walk: an assumption,
#: enough to go through a level at full speed, few enough to stay in an L1 cache.
NOTED = 1024 + MOST_OF_A_WALK

# 2**64 divided by the golden ratio, odd: Knuth, TAOCP vol. 3, 6.4, as a signed number.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_HASH_SHIFT = 40

# What is noted of a reference: | line | where in VCPU.references it is counted, if it is
# served by the first cache level: 12 bits |
_LINE = 12
_COUNTER = (1 << _LINE) - 1


def has_short_lines(ways: int, frames: int) -> bool:
    """True where a level with so many ways, on a host of so many frames, is in `Core.line`."""
    return ways <= MEDIUM and frames <= 1 << (31 + LINE_SHIFT - PAGE_SHIFT)


@inlined
def _set_of(line, base, set_mask, stride):
    """First slot of a line's set: by a hash of its address.

    A freshly booted guest gets its frames in order, so that tables lie at regular
    distances and would pile up in few sets; on a machine that has run for a while frames
    are scattered, and last-level caches hash addresses themselves (Maurice et al., Reverse
    engineering Intel last-level cache complex addressing, RAID 2015).
    """
    return base + (((line * _GOLDEN) >> _HASH_SHIFT) & set_mask) * stride


@inlined
def _count(vcpu, noted, cache_level, number):
    vcpu.references[np.uint64((noted & _COUNTER) + cache_level)] += number


@inlined
def _through_level(core, vcpu, level, count):
    """Takes the first `count` noted references through a cache with short lines; those that
    miss are the first ones noted afterwards. Returns how many."""
    cache = core.cache[np.uint64(level)]
    base, set_mask, stride, last = cache.base, cache.set_mask, cache.stride, cache.ways - 1
    missed = np.uint64(0)
    for position in range(np.uint64(count)):
        noted = core.noted[position]
        line = noted >> _LINE
        first = np.uint64(_set_of(line, base, set_mask, stride))
        if stride == NARROW:
            found = move_to_front(core.line, first, last, line, NARROW)
        else:
            found = move_to_front(core.line, first, last, line, MEDIUM)
        hit = np.int64(found != 0)
        _count(vcpu, noted, level, hit)
        core.noted[missed] = noted
        missed += np.uint64(1 - hit)
    return np.int64(missed)


@kernel
def _through_long_level(core, vcpu, level, count):
    """`_through_level` of a cache with long lines."""
    seldom()
    cache = core.cache[level]
    missed = 0
    for position in range(count):
        noted = core.noted[position]
        line = noted >> _LINE
        first = _set_of(line, cache.base, cache.set_mask, cache.stride)
        slot = first
        while slot < first + cache.ways - 1 and core.long_line[slot] != line:
            slot += 1
        hit = core.long_line[slot] == line
        while slot > first:
            core.long_line[slot] = core.long_line[slot - 1]
            slot -= 1
        core.long_line[first] = line
        if hit:
            _count(vcpu, noted, level, 1)
        else:
            core.noted[missed] = noted
            missed += 1
    return missed


@kernel
def price(core, vcpu):
    """Counts the references that walks have noted by the cache level that has their lines.
    Returns the furthest level that had any: where one is noted, its own."""
    count = core.record[0].noted
    core.record[0].noted = 0
    for level in range(CACHE_LEVELS - 1):
        cache = core.cache[level]
        if cache.short:
            count = _through_level(core, vcpu, level, count)
        elif cache.ways:
            count = _through_long_level(core, vcpu, level, count)
        if count == 0:
            return level
    for position in range(count):
        _count(vcpu, core.noted[position], CACHE_LEVELS - 1, 1)
    return CACHE_LEVELS - 1


@inlined
def make_room(core, vcpu):
    """Before a walk: prices what has been noted unless there is room for all its references."""
    if core.record[0].noted > NOTED - MOST_OF_A_WALK:
        price(core, vcpu)


@inlined
def reference(core, vcpu, hpa, entry, site):
    """Notes one reference of a walk to the entry at hpa, to be priced. site: which reference of
    the walk it is (`walks.sites`)."""
    number = core.record[0].noted
    noted = ((hpa >> LINE_SHIFT) << _LINE) | site * CACHE_LEVELS
    core.noted[np.uint64(number)] = noted
    core.record[0].noted = number + 1
    if core.record[0].logging != NIL:
        _log(core, vcpu, hpa, entry, site)


@kernel
def _log(core, vcpu, hpa, entry, site):
    """Prices the reference at once, the only one noted, and logs it while there is room."""
    seldom()
    level = price(core, vcpu)
    used = core.record[0].logging
    if used < core.log.size:
        record = core.log[used]
        record.site = site
        record.address = hpa
        record.entry = entry
        record.cache = level
        core.record[0].logging = used + 1
