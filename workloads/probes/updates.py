"""Independent updates of random words, as GUPS makes them: what a core hides of its misses."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.workloads.probes.memory import WORD
from mmulab.workloads.probes.timing import Sample, repeated


@entry
def _update(words, steps, state):
    """Words by a multiplicative generator (Knuth's MMIX), upper bits; each is added to."""
    mask = np.uint64(words.size - 1)
    for _ in range(steps):
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        words[(state >> np.uint64(24)) & mask] += np.uint64(1)
    return state


def measure(memory: np.ndarray, size: int, seconds: float) -> Sample:
    """ns an update of the first `size` bytes, a power of two."""
    words = memory[: size // WORD]
    return repeated(lambda steps: _update(words, np.int64(steps), np.uint64(12345)), seconds)
