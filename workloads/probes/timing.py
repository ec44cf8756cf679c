"""How time is taken: the same work again and again, and what of that is believed.

A probe runs for at least WINDOW, so that the clock's own cost does not count. Whatever else runs
on the machine only ever adds time. So a run in which the process lost its core is left out, as
long as others remain; the value is the lower quartile of what is left, its range from the fastest
run to the upper quartile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

try:
    import resource
except ImportError:  # Windows: every run counts
    resource = None  # type: ignore[assignment]

WINDOW = 2_000_000  #: ns
_ENOUGH = 3  # runs without a switch, below which those with one count too


class Sample(NamedTuple):
    """Time of an operation. value: the lower quartile of the runs. low: the fastest. high: the
    upper quartile. runs: how many there are."""

    value: float
    low: float
    median: float
    high: float
    runs: int

    def times(self, factor: float) -> Sample:
        """In another unit."""
        value, low, median, high = (factor * each for each in self[:4])
        return Sample(value, low, median, high, self.runs)


class Run(NamedTuple):
    """One run: ns an operation, and whether the process kept its core."""

    ns: float
    undisturbed: bool


def timed(work: Callable[[], object], operations: int) -> Run:
    """One run of some work of so many operations."""
    before = _switches()
    begun = time.perf_counter_ns()
    work()
    spent = time.perf_counter_ns() - begun
    return Run(spent / operations, _switches() == before)


def _switches() -> int:
    if resource is None:
        return 0
    # Of this thread where the system tells: the others of a process do not take its core away.
    who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
    return resource.getrusage(who).ru_nivcsw


def sample(runs: Sequence[Run]) -> Sample:
    """What several runs of the same work come to."""
    kept = [run.ns for run in runs if run.undisturbed]
    if len(kept) < min(_ENOUGH, len(runs)):
        kept = [run.ns for run in runs]
    low, value, median, high = np.percentile(kept, (0, 25, 50, 75))
    return Sample(float(value), float(low), float(median), float(high), len(kept))


def operations_for(ns: float, window: int = WINDOW) -> int:
    """Operations of so many ns each that fill a window."""
    return max(1, int(window / max(ns, 0.01)))


def repeated(
    work: Callable[[int], object], seconds: float, least: int = 3, window: int = WINDOW
) -> Sample:
    """`work(operations)` for so many seconds, at least `least` times, each at least a window."""
    work(1)  # compiled

    def run(operations: int) -> Run:
        return timed(lambda: work(operations), operations)

    count = 1000
    while (first := run(count)).ns * count < window / 20:
        count *= 4
    count = operations_for(first.ns, window)
    until = time.monotonic() + seconds
    runs: list[Run] = []
    while len(runs) < least or time.monotonic() < until:
        runs.append(run(count))
    return sample(runs)
