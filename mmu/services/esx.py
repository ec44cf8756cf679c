"""The arithmetic of ESX's memory management: Waldspurger, Memory Resource Management in
VMware ESX Server, OSDI 2002. Pure functions of arrays; sections are those of the paper."""

from __future__ import annotations

import numpy as np

#: Reclaim states and the part of host memory that is free where each begins (6.3).
THRESHOLDS = {"high": 0.06, "soft": 0.04, "hard": 0.02, "low": 0.01}
STATES = tuple(THRESHOLDS)

#: A state is left upwards only once this much more is free than where it began: the paper
#: wants it "significantly" exceeded; an assumption.
HYSTERESIS = 0.005

#: Weight of the newest sample in the fast and the slow moving average: assumptions; the paper
#: gives none (5.3).
FAST, SLOW = 0.5, 0.125


def state(free: float, before: str) -> str:
    """The reclaim state of a host of which so much is free, 0 to 1 (6.3)."""
    now = "low"
    for name in reversed(STATES):
        upward = STATES.index(name) < STATES.index(before)
        if free >= THRESHOLDS[name] + (HYSTERESIS if upward else 0.0):
            now = name
    return now


def price_of_idle(tax: float) -> float:
    """k = 1 / (1 - tau): an idle page costs this many times a used one (5.2)."""
    return 1.0 / (1.0 - tax)


def shares_per_page(
    shares: np.ndarray, pages: np.ndarray, active: np.ndarray, tax: float
) -> np.ndarray:
    """rho = S / (P (f + k (1 - f))): who has the least loses a page first (5.2)."""
    return shares / (pages * (active + price_of_idle(tax) * (1.0 - active)))


def targets(
    shares: np.ndarray,
    minimum: np.ndarray,
    maximum: np.ndarray,
    active: np.ndarray,
    available: int,
    tax: float,
) -> np.ndarray:
    """Pages for each VM, int64, that sum to what is available, as far as minimum and maximum
    allow: what taking pages from the lowest shares-per-page ratio and giving them to the
    highest comes to (5.1, 5.2). There every VM between its bounds has the same ratio."""
    weight = shares / (active + price_of_idle(tax) * (1.0 - active))
    low, high = minimum.astype(np.float64), np.maximum(minimum, maximum).astype(np.float64)
    wanted = float(min(max(available, low.sum()), high.sum()))
    # The sum of clip(weight * level, low, high) grows piecewise linearly with the level.
    edges = np.unique(np.concatenate([low / weight, high / weight]))
    sums = np.array([np.clip(weight * edge, low, high).sum() for edge in edges])
    level = np.interp(wanted, sums, edges)
    exact = np.clip(weight * level, low, high)
    pages = np.floor(exact + 1e-9).astype(np.int64)
    short = round(wanted) - int(pages.sum())
    room = pages < high
    order = np.argsort(-(exact - pages) + 2.0 * ~room, kind="stable")
    pages[order[:short]] += 1
    return pages


class WorkingSet:
    """Part of a VM's memory that it uses, from samples (5.3): the largest of a slow and a fast
    moving average and the newest sample, so that growth is seen at once and shrinking late."""

    def __init__(self, sample: int) -> None:
        self.sample = sample
        self.slow = self.fast = self.newest = 1.0  # nothing is known: all is in use

    def observe(self, used: float) -> None:
        """A period has ended in which this part of the sampled pages was used."""
        self.newest = used
        self.fast += FAST * (used - self.fast)
        self.slow += SLOW * (used - self.slow)

    @property
    def active(self) -> float:
        return max(self.slow, self.fast, self.newest)
