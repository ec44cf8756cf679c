"""Independent updates, as GUPS makes them: no address waits for a load, so that misses overlap.

The words are those of a chase, by an array of their indices. What a step of the chase costs over
what an update of the same words does is how many misses go on at once.
"""

from __future__ import annotations

import time

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.workloads.probes.timing import Run, Sample, operations_for, sample, timed

_ROUNDS = 5  # at least


@entry
def _update(words, order, first, last):
    """Adds to the words of an order from place first to last."""
    for at in range(first, last):
        words[order[at]] += np.uint64(1)


def measure(words: np.ndarray, order: np.ndarray, seconds: float) -> Sample:
    """ns an update of the words in this order, again and again."""
    places = order.astype(np.uint64)
    _update(words, places, 0, places.size)  # compiled, and in the caches as far as it stays there
    count = operations_for(timed(lambda: _update(words, places, 0, places.size), 1).ns)

    def work() -> None:
        for _ in range(count):
            _update(words, places, 0, places.size)

    runs: list[Run] = []
    until = time.monotonic() + seconds
    while len(runs) < _ROUNDS or time.monotonic() < until:
        runs.append(timed(work, count * places.size))
    return sample(runs)
