"""Cuckoo walk caches: which tables, and which way, a walk of hashed page tables has to probe.

Entries of cuckoo walk tables, by the address of their region:

    2 MiB (PMD), 1 GiB (PUD)    which page sizes there are in it, and the way of its own large page
    32 KiB (PTE)                the way of its line; of the host's tables only

A missing entry is fetched in the background, while the walk probes all that it may have to. They
are cached where a radix walk's entries of that level would be: `walk_caches` drops them alike, and
software drops those of a region whose tables change (`drop_region`).

What the guest's walk tables would hold, the upper tables of its record tell; the host's is an
array of words in frames of its own: lines of 4 KiB pages in each 2 MiB, then in each 1 GiB, then
lines of 2 MiB pages in each 1 GiB.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.assoc import drop, fill, find, look_up, route_to, tick, touch, unit_of
from mmulab.mmu.hardware.walk_caches import PREFIX_BITS
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import INDEX_BITS, PAGE_SHIFT
from mmulab.mmu.memory.status import NIL

# An entry: page sizes, as bits, and the way of the region's own page above them.
WAY_SHIFT = 3
SIZES = (1 << WAY_SHIFT) - 1

PTE, PMD, PUD = 1, 2, 3  # columns of the routes, as levels of a radix table
_PTE_SHIFT = 15  # of 32 KiB

#: Adaptive use of PTE entries for pages: look-ups of an interval, and the parts of hits, of 100,
#: below which it ends and, of the host's PMD entries, above which it begins again.
INTERVAL, END, BEGIN = 1024, 50, 85


@inlined
def prefix_of(address, level):
    shift = _PTE_SHIFT if level == PTE else PAGE_SHIFT + INDEX_BITS * (level - 1)
    return (address >> shift) & ((1 << PREFIX_BITS) - 1)


@inlined
def find_entry(core, context, row, level, address):
    """The cached entry of a region, NIL where there is none."""
    route = route_to(core, row, level)
    if route.unit == NIL:
        return NIL
    unit = unit_of(core, route)
    prefix = prefix_of(address, level)
    slot = look_up(core, route, prefix, context << PREFIX_BITS | prefix)
    if slot == NIL:
        unit.misses += 1
        return NIL
    unit.hits += 1
    touch(core, unit, slot, tick(unit))
    return core.data[np.uint64(slot)] >> PAGE_SHIFT


@inlined
def is_there(core, row, level):
    return route_to(core, row, level).unit != NIL


@inlined
def remember_entry(core, context, row, level, address, entry):
    """Caches an entry that has been looked for in vain."""
    route = route_to(core, row, level)
    unit = unit_of(core, route)
    prefix = prefix_of(address, level)
    tag = context << PREFIX_BITS | prefix
    look_up(core, route, prefix, tag)  # others have been filled in the meantime
    slot = fill(core, route, unit, tag, tick(unit))
    core.data[np.uint64(slot)] = entry << PAGE_SHIFT


@kernel
def drop_region(core, context, row, level, address):
    """The tables of the region of an address have changed."""
    route = route_to(core, row, level)
    if route.unit != NIL:
        prefix = prefix_of(address, level)
        slot = find(core, route, prefix, context << PREFIX_BITS | prefix)
        if slot != NIL:
            drop(core, slot)


@inlined
def adapt(vcpu, level, was_found):
    """Counts a look-up for a page; at the end of an interval PTE entries go on or out of use for
    pages. level: PTE where they are in use, else PMD."""
    state = vcpu.hashing[0]
    if level != (PMD if state.off else PTE):
        return
    state.looked += 1
    state.found += was_found
    if state.looked == INTERVAL:
        if state.off:
            state.off = np.int64(100 * state.found <= BEGIN * INTERVAL)
        else:
            state.off = np.int64(100 * state.found < END * INTERVAL)
        state.looked = 0
        state.found = 0
