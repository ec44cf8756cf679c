"""What a page-table reference costs: the cache level that holds its line.

A small model. Only page-table lines go through it; the data of the program is
accounted for by `page_table_share`, the part of each cache's sets that a preset
assumes page-table lines find for themselves. Each level is filled on a miss, none
is kept inclusive. Not modelled: prefetchers, writeback traffic, other cores.
"""

from __future__ import annotations

import numpy as np

from mmu.hardware.assoc import find, insert_by_age, route_to, tick, touch_age, unit_of
from mmu.jit import inlined, kernel
from mmu.state import CACHE_LEVELS, NIL, ROUTE_CACHE

LINE_SHIFT = 6  # 64-byte lines, eight entries a line

# 2**64 divided by the golden ratio, odd: Knuth, TAOCP vol. 3, 6.4, as a signed number.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)


@inlined
def _index(line):
    """Set of a line: a hash of its address.

    A freshly booted guest gets its frames in order, so that tables lie at regular
    distances and would pile up in few sets; on a machine that has run for a while frames
    are scattered, and last-level caches hash addresses themselves (Maurice et al., Reverse
    engineering Intel last-level cache complex addressing, RAID 2015).
    """
    return (line * _GOLDEN) >> 40


@kernel
def reference(core, hpa, entry, guest_level, host_level):
    """Counts one reference of a walk to the entry at hpa, and prices it."""
    line = hpa >> LINE_SHIFT
    index = _index(line)
    level = 0
    while level < CACHE_LEVELS - 1:
        route = route_to(core, ROUTE_CACHE, level)
        if route.unit == NIL:
            level = CACHE_LEVELS - 1
            break
        unit = unit_of(core, route)
        slot = find(core, route, index, line)
        if slot != NIL:
            touch_age(core, slot, tick(unit))
            unit.hits += 1
            break
        unit.misses += 1
        insert_by_age(core, route, index, line, tick(unit))
        level += 1
    core.references[np.uint64(guest_level), np.uint64(host_level), np.uint64(level)] += 1
    if core.regs[0].logging != NIL:
        _log(core, hpa, entry, guest_level, host_level, level)


@kernel
def _log(core, hpa, entry, guest_level, host_level, level):
    used = core.regs[0].logging
    if used < core.log.size:
        record = core.log[used]
        record.guest_level = guest_level
        record.host_level = host_level
        record.address = hpa
        record.entry = entry
        record.cache = level
        core.regs[0].logging = used + 1
