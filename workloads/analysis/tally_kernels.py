"""Counts of accesses by page, compiled."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory.entries import PAGE_SHIFT
from mmulab.workloads.analysis.stack_kernels import EMPTY, place_of

# Columns of the counts of a page: accesses by kind, and the last interval that touched it.
INTERVAL = 3
COLUMNS = 4

PAGES, TOUCHED = 0, 1  # places in `state`


@entry
def tally(address, size, kind, first, end, owner, interval, state, keys, counts):
    """Counts accesses [first, end) by 4 KiB page.

    owner: what distinguishes the pages of a process. counts: int64[places, COLUMNS].
    state[TOUCHED] counts pages not touched in this interval before. Returns the next
    access: less than end where the table must grow first.
    """
    for position in range(first, end):
        if 2 * (state[PAGES] + 2) >= keys.size:
            return position
        gva = address[position]
        page = gva >> PAGE_SHIFT
        last = (gva + size[position] - 1) >> PAGE_SHIFT
        while page <= last:
            key = owner ^ (page & ((1 << 52) - 1))
            place = place_of(keys, key)
            if keys[place] == EMPTY:
                keys[place] = key
                counts[place, INTERVAL] = -1
                state[PAGES] += 1
            if counts[place, INTERVAL] != interval:
                counts[place, INTERVAL] = interval
                state[TOUCHED] += 1
            counts[place, kind[position]] += 1
            page += 1
    return end


@entry
def rehash(keys, counts, new_keys, new_counts):
    """Moves a table's entries to a larger one."""
    for place in range(keys.size):
        if keys[place] != EMPTY:
            new = place_of(new_keys, keys[place])
            new_keys[new] = keys[place]
            for column in range(COLUMNS):
                new_counts[new, column] = counts[place, column]
