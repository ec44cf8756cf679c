"""Working-set signatures: what pages an interval touches, as a point in few dimensions.

Accesses are counted by class of page, 4 KiB pages hashed to CLASSES; the counts, as parts of the
interval, are projected at random to DIMENSIONS, as SimPoint does with basic blocks. Working sets
tell phases apart as code does (Dhodapkar and Smith, Managing Multi-Configuration Hardware via
Dynamic Working Set Analysis, ISCA 2002), and are what translation depends on.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.memory.entries import PAGE_SHIFT
from mmulab.mmu.trace import Trace

CLASSES = 1024  # as many bits as Dhodapkar and Smith find enough
DIMENSIONS = 15  # Sherwood et al. 2002
_SEED = 1  # of the projection, which is the same for all traces


def signatures(trace: Trace, unit: int, skip: int, count: int) -> np.ndarray:
    """Of each of `count` units after the first `skip` accesses, float64[count, DIMENSIONS]."""
    projection = np.random.default_rng(_SEED).random((CLASSES, DIMENSIONS))
    found = np.zeros((count, DIMENSIONS))
    classes = np.zeros(CLASSES, np.int64)
    done = -skip
    for chunk in trace.chunks():
        position = max(0, -done)
        while position < chunk.accesses:
            number = (done + position) // unit
            if number >= count:
                return found
            stop = min(chunk.accesses, (number + 1) * unit - done)
            tally(to_read(chunk.address), position, stop, classes)
            if (done + stop) % unit == 0:
                found[number] = classes @ projection / unit
                classes[:] = 0
            position = stop
        done += chunk.accesses
    return found


@entry
def tally(address, position, stop, classes):
    """Counts accesses [position, stop) by class of page."""
    for at in range(position, stop):
        page = address[at] >> PAGE_SHIFT
        mixed = page * 0x9E3779B97F4A7C1
        classes[(mixed ^ (mixed >> 32)) & (CLASSES - 1)] += 1
