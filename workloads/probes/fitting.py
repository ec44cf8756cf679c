"""Which technique the walks of this machine look like: the same chase, simulated with each.

Measured and simulated is what a step over pages costs beyond one over as many lines, at sizes that
the second TLB does not hold. The best fit is the technique whose logarithms are nearest, in the
mean square. A chase changes no mapping, so that shadow paging walks as bare metal does: the two
can't be told apart by it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

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
NAMES = {"native": "native or shadow"}

_MOST, _LEAST = 8, 100_000  # sizes that are simulated, accesses of each


class Ring:
    """A chase over words in a given order, as a trace: once to warm up, then again and again."""

    def __init__(self, name: str, order: np.ndarray) -> None:
        self.name = name
        self.origin = Origin(name)
        self._address = HEAP + WORD * order
        self._rounds = 1 + -(-_LEAST // order.size)

    @property
    def length(self) -> int:
        return self._rounds * self._address.size

    @property
    def once(self) -> int:
        """Accesses of one round."""
        return int(self._address.size)

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
    """sizes: pages. measured: cycles a step for translation. predicted: by technique. errors: the
    root of the mean squared logarithm of predicted over measured. best: the technique of the
    least."""

    sizes: tuple[int, ...]
    measured: tuple[float, ...]
    predicted: dict[str, tuple[float, ...]]
    errors: dict[str, float]
    best: str

    @property
    def name(self) -> str:
        """The best fit, with what it can't be told from."""
        return NAMES.get(self.best, self.best)


def fit(
    found: Findings,
    pages: Sequence[int],
    preset: Preset,
    progress: Callable[[int], None] | None = None,
) -> Fit | None:
    """The best of CANDIDATES; None where no size of the curve has walks. pages: the sizes of
    `found.excess`. preset: the measured one. progress: told that work goes on."""
    walked = [n for n in found.walk_sizes if n in pages]
    chosen = walked[:: max(1, -(-len(walked) // _MOST))]
    if not chosen:
        return None
    excess = dict(zip(pages, found.excess, strict=True))
    measured = [max(1.0, excess[n] - found.excess[0]) for n in chosen]
    predicted: dict[str, list[float]] = {spec: [] for spec in CANDIDATES}
    for count in chosen:
        for spec, cycles in translation(count, preset, CANDIDATES).items():
            predicted[spec].append(max(1.0, cycles))
        if progress:
            progress(count)
    errors = {
        spec: float(np.sqrt(np.mean(np.log(np.divide(cycles, measured)) ** 2)))
        for spec, cycles in predicted.items()
    }
    best = min(errors, key=lambda spec: (round(errors[spec], 6), CANDIDATES.index(spec)))
    return Fit(
        tuple(chosen),
        tuple(measured),
        {spec: tuple(cycles) for spec, cycles in predicted.items()},
        errors,
        best,
    )


def translation(count: int, preset: Preset, specs: Sequence[str]) -> dict[str, float]:
    """Simulated cycles a step over so many 4 KiB pages, less a step over as many lines."""
    random = np.random.default_rng(1)
    over_pages = Ring("pages", chase.shuffled(chase.pages(count), random))
    over_lines = Ring("lines", chase.by_blocks(chase.dense(count), random))
    cycles = simulate.compare(over_pages, preset, Config(), list(specs), over_pages.once)
    # Lines side by side in 2 MiB pages: hardly any translation, whatever the technique.
    large = Config(page_size="2m", host_page_size="2m")
    data = simulate.compare(over_lines, preset, large, ["native"], over_lines.once)
    least = data["native"].cycles_per_access
    return {spec: cycles[spec].cycles_per_access - least for spec in specs}
