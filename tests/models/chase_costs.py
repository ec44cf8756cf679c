"""What a step of a dependent chase costs on a processor of given structures: an exact model.

A ring of pages is walked for ever. With LRU replacement, a set that holds at most as many pages as
it has ways serves each of them; one that holds more serves none. So a step's cost is a sum over
the pages, and no access has to be simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Level(NamedTuple):
    """A TLB or cache. miss: what a step costs more that it does not serve. hashed: whether sets
    are drawn by a hash, instead of the low bits of the number."""

    sets: int
    ways: int
    miss: float
    hashed: bool = False

    def missed(self, numbers: np.ndarray) -> float:
        """The part of the pages that it does not serve."""
        if self.hashed:
            mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            sets = (mixed >> np.uint64(40)) % np.uint64(self.sets)
        else:
            sets = numbers % self.sets
        held = np.bincount(sets.astype(np.int64), minlength=self.sets)
        return float(held[held > self.ways].sum() / numbers.size)


def step(hit: float, levels: Sequence[Level], numbers: np.ndarray) -> float:
    """Cycles of a step over things of these numbers."""
    return hit + sum(level.miss * level.missed(numbers) for level in levels)


def noisy(costs: Sequence[float], seed: int, often: float = 0.3, runs: int = 5) -> np.ndarray:
    """The costs as they are measured, the fastest of some runs: each two percent more or less, and
    one in so many up to four times as much."""
    random = np.random.default_rng(seed)
    shape = (runs, len(costs))
    small = 1 + 0.02 * random.standard_normal(shape)
    much = np.where(random.random(shape) < often, 1 + 3 * random.random(shape), 1)
    return (np.asarray(costs) * small * much).min(axis=0)
