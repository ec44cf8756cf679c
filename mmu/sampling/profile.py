"""What each unit of a trace has that is known without simulating it: the work of the guest OS.

First touches and events come in bursts, which a sample of a few units hits or misses: the one unit
in a hundred in which a program starts can cost as much as all others. How many there are in each
unit is known from reading the trace, so that units are sampled by it, in strata (Wunderlich et al.,
An Evaluation of Stratified Sampling of Microarchitecture Simulations, WDDD 2004), and estimates are
corrected by it, with the linear regression estimator (Cochran, Sampling Techniques, 3rd ed., 7).
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.machine.simulator import FIRST_PID
from mmulab.mmu.sampling.skipped import SOMETHING, TOUCH, Skipped
from mmulab.mmu.trace import CONTENT, SWITCH, Trace

#: Strata at most, units that one has at least, and of all units the part that are shared out by the
#: number of units of a stratum, the others by how much they differ (Neyman's): choices.
STRATA = 4
LEAST = 8
BY_NUMBER = 0.5


def work(trace: Trace, unit: int, skip: int, count: int) -> np.ndarray:
    """Of each of `count` units after the first `skip` accesses, float64[count, 3]: first touches of
    pages, first stores and fetches of pages that were touched before, and events."""
    found = np.zeros((count, 3))
    skipped = Skipped(FIRST_PID)
    done = -skip
    for chunk in trace.chunks():
        kept = skipped.keep(chunk)
        events = chunk.events[~np.isin(chunk.events["kind"], (CONTENT, SWITCH))]
        for at, places in enumerate(
            (np.flatnonzero(kept == TOUCH), np.flatnonzero(kept == SOMETHING), events["position"])
        ):
            numbers = (places[places + done >= 0] + done) // unit
            found[:, at] += np.bincount(numbers[numbers < count], minlength=count)
        done += chunk.accesses
    return found


def strata(work: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """(stratum of each unit, how many to measure of each stratum, `units` in all).

    work: float64[unit, n]. Strata are of rising sums of it, cut where the square roots of
    frequencies add up to equal parts (Dalenius and Hodges, JASA 54, 1959), over powers of two. The
    last, where there is one, is of those that are measured in any case.
    """
    values = work.sum(axis=1)
    whole = certain(work, units // 2)
    classes = np.floor(np.log2(values + 1)).astype(np.int64)
    heights = np.sqrt(np.bincount(classes[~whole])).cumsum()
    cut = np.zeros(classes.max() + 1)
    cut[: len(heights)] = np.minimum(
        STRATA - 1, np.floor(STRATA * (heights - heights[0]) / heights[-1])
    )
    _, labels = np.unique(np.where(whole, STRATA, cut[classes]), return_inverse=True)
    labels = labels.reshape(-1)
    left = units - int(whole.sum())
    given = _shares(labels[~whole], values[~whole], left)
    return labels, np.append(given, whole.sum()) if whole.any() else given


def certain(work: np.ndarray, most: int) -> np.ndarray:
    """Which units, `most` at most, are measured in any case, bool[unit]: they have so much of the
    sum of a column of `work` that a sample by that would have each (Cochran, 9A)."""
    found = np.zeros(len(work), bool)
    most = min(most, len(work) - 1) // work.shape[1]
    for values in work.T:
        left = values.sum()
        for number, at in enumerate(np.argsort(-values, kind="stable")[:most]):
            if not values[at] or values[at] * (most - number) < left:
                break
            found[at] = True
            left -= values[at]
    return found


def _shares(labels: np.ndarray, values: np.ndarray, units: int) -> np.ndarray:
    """Units to measure of each stratum."""
    sizes = np.bincount(labels)
    spread = np.array([values[labels == each].std() for each in range(len(sizes))]) * sizes
    by_spread = spread / spread.sum() if spread.any() else sizes / sizes.sum()
    wanted = units * (BY_NUMBER * sizes / sizes.sum() + (1 - BY_NUMBER) * by_spread)
    given = np.minimum(sizes, LEAST)
    while given.sum() > units:
        given[given.argmax()] -= 1
    while given.sum() < min(units, sizes.sum()):
        lacking = np.where(given < sizes, (wanted + 1e-9) / (given + 1), -1)
        given[lacking.argmax()] += 1
    return given
