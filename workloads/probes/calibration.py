"""All probes, one after another, within so many seconds and so much memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmulab.mmu.errors import RunError, check_range
from mmulab.workloads.probes import chase, clock, facts, kernel_events, memory, updates
from mmulab.workloads.probes.chase import Curve, Tick
from mmulab.workloads.probes.memory import HUGE, LINE, PAGE
from mmulab.workloads.probes.timing import Sample

#: Seconds that the probes may be given, and are unless told otherwise.
LEAST, SECONDS, MOST = 1, 90, 150

#: Each curve: what its sizes are, and how its list lies.
CURVES = {
    "lines": ("bytes", "all lines of a region of 2 MiB pages, 128 KiB after 128 KiB"),
    "pages_4k": ("pages", "a line in each 4 KiB page"),
    "same_lines": ("pages", "as many lines, side by side in 2 MiB pages"),
    "pages_in_2m": ("pages", "a line in each 4 KiB of 2 MiB pages"),
    "pages_2m": ("pages", "a line in each 2 MiB page"),
}

#: The part of the seconds that each takes.
_SHARES = {"clock": 0.02, "lines": 0.28, "pages_4k": 0.28, "same_lines": 0.14,
           "pages_in_2m": 0.12, "pages_2m": 0.06, "updates": 0.05, "events": 0.05}  # fmt: skip

_QUICK = 20  # seconds below which there are fewer sizes, and smaller
_SMALLEST = 16  # pages, or lines


@dataclass(frozen=True)
class Calibration:
    """What was measured. clock: ns a cycle, of which the
    lowest counts. curves: by the names of CURVES; one that could not be
    measured is missing. huge: part of the memory asked for in 2 MiB pages that came in them.
    updates: (size, ns an independent update) over the lists of
    some of the curves, at a size that those have. events: ns a page, by the names of
    `kernel_events.EVENTS`. problems: what could not be measured, and why."""

    facts: facts.Facts
    seconds: float
    memory: int
    clock: Sample
    curves: dict[str, Curve]
    huge: float
    updates: dict[str, tuple[int, Sample]]
    events: dict[str, Sample]
    problems: tuple[str, ...] = field(default=())

    def cycles(self, name: str, which: str = "low") -> np.ndarray:
        """A curve in cycles a step."""
        return self.curves[name].ns(which) / self.clock.low

    def to_dict(self) -> dict[str, Any]:
        """Plain data, times in ns."""
        return {
            "machine": self.facts.to_dict(),
            "seconds": self.seconds,
            "memory": self.memory,
            "ns_a_cycle": self.clock._asdict(),
            "curves": {name: curve.to_dict() for name, curve in self.curves.items()},
            "huge_part": self.huge,
            "updates": {
                name: {"size": size, "ns": one._asdict()}
                for name, (size, one) in self.updates.items()
            },
            "events": {name: one._asdict() for name, one in self.events.items()},
            "problems": list(self.problems),
        }


def measure(
    seconds: float = SECONDS,
    base: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Runs all probes. seconds: for all of them, about. base: the preset that is nearest to this
    machine, where the user says so. progress: told how many percent are over.

    Raises InputError for seconds out of LEAST to MOST, RunError where the machine is no Linux,
    has too little memory free, or kernels are not compiled.
    """
    check_range("seconds", seconds, LEAST, MOST)
    from mmulab.mmu.kernels.structs import JIT_OFF

    if JIT_OFF:
        raise RunError("NUMBA_DISABLE_JIT is set: plain Python is no measure of a processor")
    allowed = memory.budget()
    return _Probes(seconds, allowed, progress or (lambda _percent: None)).run(facts.read(base))


class _Probes:
    """The probes of one calibration, and the time that they have."""

    def __init__(self, seconds: float, allowed: int, progress: Tick) -> None:
        self._seconds, self._allowed, self._progress = seconds, allowed, progress
        self._begun = time.monotonic()
        self._quick = seconds < _QUICK
        self._octave = 2 if self._quick else 4
        self._problems: list[str] = []
        self._huge = 1.0

    def run(self, found: facts.Facts) -> Calibration:
        ns = clock.measure(self._time("clock"))
        curves: dict[str, Curve] = {}
        for name in CURVES:
            curves[name] = getattr(self, f"_{name}")()
        updated = self._updates()
        events: dict[str, Sample] = {}
        with self._noting():
            events = kernel_events.measure(self._time("events"))
        if self._huge < 0.9:
            self._problems.append(
                f"{100 * self._huge:.0f} % of the memory asked for in 2 MiB pages came in them: "
                "what is said of 2 MiB pages holds for that part"
            )
        return Calibration(
            found, self._seconds, self._allowed, ns, curves, self._huge, updated, events,
            tuple(self._problems),
        )  # fmt: skip

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except RunError as error:
            self._problems.append(str(error))

    def _time(self, what: str) -> float:
        return self._seconds * _SHARES[what]

    def _tick(self, _runs: int) -> None:
        spent = (time.monotonic() - self._begun) / self._seconds
        self._progress(min(99, int(100 * spent)))

    def _limited(self, size: int) -> int:
        """Bytes of a region: less where less is allowed, or there is little time."""
        return min(size, self._allowed // 2, 32 << 20 if self._quick else MOST_BYTES)

    def _over(self, name: str, size: int, pages: str, sizes: list[int], order: Any) -> Curve:
        """A curve in a region of so many bytes. sizes: what `order` takes."""
        # A chase touches only what it links: a region with holes takes less than its size.
        with memory.reserved(size, pages, every=PAGE if pages == "2m" else 0) as words:
            if pages == "2m":
                self._huge = min(self._huge, memory.huge_part(words))
            least = 1 if self._quick else 3
            return chase.curve(words, sizes, order, self._time(name), self._tick, least)

    def _lines(self) -> Curve:
        size = self._limited(256 << 20)
        sizes = chase.steps(64, size // LINE, self._octave)
        order = lambda n, random: chase.by_blocks(chase.dense(n), random)  # noqa: E731
        found = self._over("lines", size, "2m", sizes, order)
        return Curve(tuple(LINE * each for each in found.sizes), found.samples)

    def _page_counts(self, most: int) -> list[int]:
        return chase.steps(_SMALLEST, most, self._octave)

    def _most_pages(self) -> int:
        return self._limited(256 << 20) // PAGE

    def _pages_4k(self) -> Curve:
        most = self._most_pages()
        order = lambda n, random: chase.shuffled(chase.pages(n), random)  # noqa: E731
        return self._over(
            "pages_4k", most * PAGE * chase.SPREAD, "4k", self._page_counts(most), order
        )

    def _same_lines(self) -> Curve:
        most = self._most_pages()
        order = lambda n, random: chase.by_blocks(chase.dense(n), random)  # noqa: E731
        size = max(HUGE, most * LINE)
        return self._over("same_lines", size, "2m", self._page_counts(most), order)

    def _pages_in_2m(self) -> Curve:
        most = self._limited(128 << 20) // PAGE // chase.SPREAD
        order = lambda n, random: chase.shuffled(chase.pages(n), random)  # noqa: E731
        return self._over(
            "pages_in_2m", most * PAGE * chase.SPREAD, "2m", self._page_counts(most), order
        )

    def _pages_2m(self) -> Curve:
        most = self._limited(512 << 20) // HUGE
        sizes = chase.steps(min(8, most), most, self._octave)
        order = lambda n, random: chase.shuffled(chase.huge_pages(n, HUGE), random)  # noqa: E731
        return self._over("pages_2m", most * HUGE, "2m", sizes, order)

    def _updated(self, size: int, pages: str, every: int, words: np.ndarray) -> Sample:
        """ns an independent update of some words of a region."""
        order = chase.by_blocks(words, np.random.default_rng(1)) if every else (
            chase.shuffled(words, np.random.default_rng(1))
        )  # fmt: skip
        with memory.reserved(size, pages, every) as region:
            found = updates.measure(region, order, self._time("updates") / 3)
        self._tick(1)
        return found

    def _updates(self) -> dict[str, tuple[int, Sample]]:
        size = self._limited(128 << 20)
        count = self._limited(64 << 20) // PAGE
        return {
            "lines": (size, self._updated(size, "2m", PAGE, chase.dense(size // LINE))),
            "pages_4k": (
                count, self._updated(count * PAGE * chase.SPREAD, "4k", 0, chase.pages(count)),
            ),
            "same_lines": (
                count, self._updated(max(HUGE, count * LINE), "2m", PAGE, chase.dense(count)),
            ),
        }  # fmt: skip


MOST_BYTES = 512 << 20  #: bytes of one region
