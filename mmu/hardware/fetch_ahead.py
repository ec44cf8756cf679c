"""Fetching table entries into the host's caches before the walks that read them.

A simulated walk reads entries at random places of page tables that are larger than
the caches of the machine that simulates; it would wait for memory twice, for the gPT's
leaf and for the nPT's. The trace says which pages come next: while one access walks,
the leaf entries of those that follow are fetched. HINT records tell where a region's
leaf table is, whichever process or VM came to it last. This changes no result: a stale
hint fetches a line in vain.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.kernels.vectors import prefetch
from mmulab.mmu.memory.entries import ENTRIES, INDEX_BITS, PAGE_SHIFT, frame_of
from mmulab.mmu.memory.tables import slot_of

REGION_SHIFT = PAGE_SHIFT + INDEX_BITS  # what one leaf table maps

HINTS = 1024  # a power of two; for regions of 2 MiB, enough for 2 GiB

# Accesses ahead: as many as take about as long as memory does. A read-modify-write
# comes in pairs, of which the first walks.
NEAR, FAR = 6, 10

GUEST, NESTED = 0, HINTS  # where the hints of each dimension begin


@inlined
def _hint(core, first, region):
    return core.hint[np.uint64(first + (region & (HINTS - 1)))]


@inlined
def remember(core, memory, first, address, frame):
    """A walk has come to the leaf table of an address's region, in a frame. first: GUEST or
    NESTED."""
    region = address >> REGION_SHIFT
    hint = _hint(core, first, region)
    hint.region = region
    hint.slot = np.int64(slot_of(memory, frame << PAGE_SHIFT))


@inlined
def _leaf_slot(core, first, address):
    """Slot of the leaf entry of an address, as far as is known; else -1."""
    region = address >> REGION_SHIFT
    hint = _hint(core, first, region)
    if hint.region != region:
        return -1
    return hint.slot | ((address >> PAGE_SHIFT) & (ENTRIES - 1))


@inlined
def fetch_linear(core, memory, address, position, end):
    """After a walk: fetches the leaf entry that the walk of an access to come will read, of the
    guest's table or the only one."""
    core.record[0].walked = 0
    if position + FAR < end:
        slot = _leaf_slot(core, GUEST, address[position + FAR])
        if slot >= 0:
            prefetch(memory.entry, np.uint64(slot))


@inlined
def fetch_nested(core, memory, address, position, end):
    """The same of the nested table, whose address the guest's entry tells: by now it is there."""
    if position + FAR < end:
        slot = _leaf_slot(core, GUEST, address[position + NEAR])
        if slot >= 0:
            gfn = frame_of(memory.entry[np.uint64(slot)])
            slot = _leaf_slot(core, NESTED, gfn << PAGE_SHIFT)
            if slot >= 0:
                prefetch(memory.entry, np.uint64(slot))
