"""Which technique the walks of this machine look like: the same chase, simulated with each.

Measured and simulated is what a step over pages costs beyond one over as many lines, at sizes that
the second TLB does not hold: over 4 KiB pages, and over 4 KiB pieces of 2 MiB pages, which need
walks only where the host's pages are of 4 KiB. The best fit is the technique whose logarithms are
nearest, in the mean square. A chase changes no mapping, so that shadow paging walks as bare metal
does: on 2 MiB host pages, the two can't be told apart by it.

What a walk takes beside its references (to start it, to do the access again) is in no maker's
numbers. It is the same for every walk: of each technique, the median of what its references leave
of what was measured. It counts before the best fit is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmulab.mmu import simulate
from mmulab.mmu.config import Config
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.trace import LOAD, NO_EVENTS, Chunk, Origin
from mmulab.workloads.generators.parameters import HEAP, mapped
from mmulab.workloads.probes import chase
from mmulab.workloads.probes.findings import Findings
from mmulab.workloads.probes.memory import HUGE, WORD

CANDIDATES = ("native", "shadow", "nested", "nested:host_page_size=2m")

#: What cannot be told apart is named together.
NAMES = {"native": "native (or shadow on 2 MiB host pages)"}

_MOST, _LEAST = 6, 100_000  # sizes of a curve that are simulated, accesses of each
_WARM = 2  # rounds
_BEYOND = 1.5  # times the reach of the second TLB, from where on walks are most of it
_MOSTLY = 0.5  # walks of a step
_FLOOR = 5.0  # cycles, below which neither side is looked at closely


class Ring:
    """A chase over words in a given order, as a trace: twice to warm up, then again and again. The
    first round makes the pages, and their zeroing leaves little else in the caches."""

    def __init__(self, name: str, order: np.ndarray) -> None:
        self.name = name
        self.origin = Origin(name)
        self._address = HEAP + WORD * order
        self._rounds = _WARM + -(-_LEAST // order.size)

    @property
    def length(self) -> int:
        return self._rounds * self._address.size

    @property
    def warmup(self) -> int:
        """Accesses of the rounds before those that are measured."""
        return _WARM * int(self._address.size)

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        count = self._address.size
        span = int(self._address.max()) + WORD - HEAP
        events = mapped((HEAP, -(-span // HUGE) * HUGE))
        kind, size = np.full(count, LOAD, np.uint8), np.full(count, WORD, np.uint16)
        depends = np.ones(count, np.uint16) if "depends" in columns else None
        for _ in range(self._rounds):
            yield Chunk(self._address, kind, size, events, depends=depends)
            events = NO_EVENTS


@dataclass(frozen=True)
class Fit:
    """points: (size of the pages that memory is in, 4 KiB pieces that the chase goes over).
    measured: cycles a step for translation, a point each. predicted: by technique. beside: by
    technique, what each walk takes beside its references, in what is predicted: cycles, lower
    quartile, median and upper quartile. errors: the root of the mean squared logarithm of
    predicted over measured. best: the technique of the least."""

    points: tuple[tuple[str, int], ...]
    measured: tuple[float, ...]
    predicted: dict[str, tuple[float, ...]]
    beside: dict[str, tuple[float, float, float]]
    errors: dict[str, float]
    best: str

    @property
    def name(self) -> str:
        """The best fit, with what it can't be told from."""
        return NAMES.get(self.best, self.best)

    def of(self, pages: str, cycles: Sequence[float]) -> dict[int, float]:
        """Of some cycles, a point each, those in pages of a size, by 4 KiB pieces."""
        both = zip(self.points, cycles, strict=True)
        return {count: each for (size, count), each in both if size == pages}


def fit(
    found: Findings, preset: Preset, progress: Callable[[int], None] | None = None
) -> Fit | None:
    """The best of CANDIDATES; None where no size of the curves is beyond the second TLB. preset:
    the measured one. progress: told that work goes on."""
    measured: dict[tuple[str, int], float] = {}
    for pages, curve in found.translation.items():
        beyond = [count for count in curve if found.reach and count >= _BEYOND * found.reach]
        for count in beyond[:: max(1, -(-len(beyond) // _MOST))]:
            measured[pages, count] = max(_FLOOR, curve[count])
    if not measured:
        return None
    steps: dict[str, list[Step]] = {spec: [] for spec in CANDIDATES}
    for pages, count in measured:
        for spec, each in translation(count, preset, CANDIDATES, pages).items():
            steps[spec].append(each)
        if progress:
            progress(count)
    wanted = tuple(measured.values())
    beside = {spec: _beside(each, wanted) for spec, each in steps.items()}
    predicted = {
        spec: tuple(max(_FLOOR, cycles + walks * beside[spec][1]) for cycles, walks in each)
        for spec, each in steps.items()
    }
    errors = {
        spec: float(np.sqrt(np.mean(np.log(np.divide(each, wanted)) ** 2)))
        for spec, each in predicted.items()
    }
    best = min(errors, key=lambda spec: (round(errors[spec], 6), CANDIDATES.index(spec)))
    return Fit(tuple(measured), wanted, predicted, beside, errors, best)


class Step(NamedTuple):
    """Simulated, of a step: cycles of translation, and walks."""

    cycles: float
    walks: float


def _beside(steps: Sequence[Step], measured: Sequence[float]) -> tuple[float, float, float]:
    """Quartiles of what is left for a walk of what was measured, where most steps walk."""
    left = [
        (cycles - step.cycles) / step.walks
        for step, cycles in zip(steps, measured, strict=True)
        if step.walks > _MOSTLY
    ]
    if not left:
        return 0.0, 0.0, 0.0
    first, middle, third = np.maximum(0.0, np.percentile(left, (25, 50, 75))).tolist()
    return first, middle, third


def translation(
    count: int, preset: Preset, specs: Sequence[str], pages: str = "4k"
) -> dict[str, Step]:
    """Of a step over so many 4 KiB pieces of memory in "4k" or "2m" pages, less one over as many
    lines, by technique."""
    random = np.random.default_rng(1)
    over_pages = Ring("pages", chase.shuffled(chase.pages(count), random))
    over_lines = Ring("lines", chase.by_blocks(chase.dense(count), random))
    small = Config(page_size=pages)
    cycles = simulate.compare(over_pages, preset, small, list(specs), over_pages.warmup)
    # Lines side by side in 2 MiB pages: hardly any translation, whatever the technique.
    large = Config(page_size="2m", host_page_size="2m")
    data = simulate.compare(over_lines, preset, large, ["native"], over_lines.warmup)
    least = data["native"].cycles_per_access
    found = {}
    for spec in specs:
        one = cycles[spec]
        walks = one.counts["walks"] / one.counts["accesses"]
        found[spec] = Step(one.cycles_per_access - least, walks)
    return found
