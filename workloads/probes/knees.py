"""Where a curve of latencies rises: the reach of TLBs, the sizes of caches.

1. A cost never falls as more is touched, and noise only adds: each point becomes the smallest of
   those from it on.
2. A plateau is a stretch of at least half a doubling of sizes over which that grows by no more
   than FLAT. Plateaus that differ by less than STEP are one.
3. Between two plateaus the knee is the last size at which the cost is at most the geometric mean
   of theirs. A structure of n entries with an index that spreads well serves n and not more, so
   that the curve jumps after n; one whose sets fill unevenly is half overrun about there.
4. After the last plateau, if the curve still rises, that of a doubling later stands for the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FLAT, STEP = 1.15, 1.2


class Knee(NamedTuple):
    """size: the last before the rise. after: the first behind it. below, above: what a step costs
    on either side, in the curve's unit."""

    size: int
    after: int
    below: float
    above: float


class Plateau(NamedTuple):
    """Positions of the first and last point, and the level."""

    first: int
    last: int
    level: float


def envelope(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Each point the smallest of those from it on."""
    return np.minimum.accumulate(np.asarray(values, float)[::-1])[::-1]


def plateaus(sizes: Sequence[int], values: Sequence[float] | np.ndarray) -> list[Plateau]:
    """The plateaus of a curve, lowest first. values: positive."""
    costs = envelope(values)
    found: list[Plateau] = []
    first = 0
    while first < len(sizes):
        last = int(np.searchsorted(costs, costs[first] * FLAT, "right")) - 1
        if sizes[last] < sizes[first] * 2**0.5:
            first += 1
            continue
        level = float(np.median(costs[first : last + 1]))
        if found and level < found[-1].level * STEP:
            found[-1] = Plateau(found[-1].first, last, found[-1].level)
        else:
            found.append(Plateau(first, last, level))
        first = last + 1
    return found


def find(sizes: Sequence[int], values: Sequence[float] | np.ndarray) -> list[Knee]:
    """The knees of a curve, lowest first. sizes: growing. values: positive costs."""
    costs = envelope(values)
    flats = plateaus(sizes, values)
    levels = [(each.level, each.last) for each in flats]
    if flats:
        last = flats[-1].last
        later = int(np.searchsorted(sizes, 2 * sizes[last], "left"))
        levels.append((float(costs[min(later, len(sizes) - 1)]), len(sizes) - 1))
    knees = []
    for (below, _), (above, _) in zip(levels, levels[1:], strict=False):
        at = int(np.searchsorted(costs, (below * above) ** 0.5, "right")) - 1
        if above >= below * STEP and at + 1 < len(sizes):
            knees.append(Knee(int(sizes[at]), int(sizes[at + 1]), below, above))
    return knees
