"""The core's clock, by a chain of operations that take a cycle each."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.workloads.probes.timing import Sample, repeated

METHOD = "a chain of dependent additions and exclusive ors, one cycle each"

_LEAST = 15  # runs


@entry
def _chain(steps, mask, value):
    """Additions and XORs in turn: a compiler folds a chain of additions alone into one."""
    for _ in range(steps >> 4):
        value = (value ^ mask) + mask
        value = (value ^ mask) + mask
        value = (value ^ mask) + mask
        value = (value ^ mask) + mask
        value = (value ^ mask) + mask
        value = (value ^ mask) + mask
        value = (value ^ mask) + mask
        value = (value ^ mask) + mask
    return value


def measure(seconds: float) -> Sample:
    """ns a cycle. The fastest run is the clock: an interrupt is never part of a cycle."""
    mask, value = np.uint64(0x5851F42D4C957F2D), np.uint64(1)
    return repeated(lambda steps: _chain(np.int64(steps + 16), mask, value), seconds, _LEAST)
