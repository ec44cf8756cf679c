"""Predicted against measured: the generators' kernels run for real, and simulated.

A point is a workload and a page size. Measured is the time of an access on this machine; predicted
are the cycles of an access by the simulator, over the preset's clock. Where a hypervisor is seen,
what this machine does is simulated natively and with nested paging, and the technique counts whose
predictions are nearest; else natively alone.

The loops take time of their own, as any program does beside its memory. It is measured where all
is in the first cache, and is the simulation's `work_per_access`, whatever the preset. And they are
of fewer or more instructions an access than programs are, so that a reorder window holds more or
fewer of their accesses (`replay.LOOPS`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmulab import workloads
from mmulab.mmu import simulate
from mmulab.mmu.config import Config
from mmulab.mmu.errors import RunError, check_range
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report.cost import Range
from mmulab.mmu.report.overlap import PER_INSTRUCTION
from mmulab.workloads.probes import facts, kernel_events, memory, replay
from mmulab.workloads.probes.timing import Sample

LEAST, SECONDS, MOST = 1, 60, 600

#: What is run, as a TRACE is named, without its accesses.
WORKLOADS = (
    "chase:size=32K",
    "chase:size=512K",
    "chase:size=8M",
    "chase:size=128M",
    "chase:size=64M,node=4K",
    "gups:size=1M,init=0",
    "gups:size=16M,init=0",
    "gups:size=256M,init=0",
    "scan:size=64M",
    "scan:size=128M,stride=4K",
    "triad:size=32M",
    "zipf:keys=64K",
    "hashjoin:build=131072,probe=1M",
    "graph:scale=17",
)
PAGE_SIZES = ("4k", "2m")
TECHNIQUES = ("native", "nested", "nested:host_page_size=2m")

_QUICK = 20  # seconds below which there are fewer accesses
_ACCESSES, _FEW = 1_000_000, 100_000


@dataclass(frozen=True)
class Point:
    """workload: its TRACE. page_size: of its memory. measured: ns an access. predicted: by
    technique (lowest, likely, highest) ns an access."""

    workload: str
    page_size: str
    measured: Sample
    predicted: dict[str, tuple[float, float, float]]

    def error(self, technique: str) -> float:
        """How far the likely prediction is off, a part of the measured."""
        return self.predicted[technique][1] / self.measured.value - 1

    def holds(self, technique: str) -> bool:
        """Whether the predicted range has a measured value from fastest to upper quartile."""
        low, _, high = self.predicted[technique]
        return low <= self.measured.high and self.measured.low <= high


@dataclass(frozen=True)
class Validation:
    """points: all of them. technique: whose predictions count. kernel: for each event of the
    kernel (predicted, measured) ns, where no hypervisor is seen. problems: what could not be
    run, and why."""

    facts: facts.Facts
    preset: str
    clock_ghz: float
    points: tuple[Point, ...]
    technique: str
    kernel: dict[str, tuple[float, Sample]]
    problems: tuple[str, ...] = ()

    @property
    def techniques(self) -> tuple[str, ...]:
        """Those that were simulated."""
        return tuple(self.points[0].predicted)

    def median_error(self, technique: str | None = None) -> float:
        """The median of the absolute errors."""
        return _median_error(self.points, technique or self.technique)

    @property
    def rank_correlation(self) -> float:
        """Spearman's, of the predicted and the measured; nan of fewer than two points."""
        return spearman(
            [point.predicted[self.technique][1] for point in self.points],
            [point.measured.value for point in self.points],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ns."""
        return {
            "machine": self.facts.to_dict(),
            "preset": self.preset,
            "clock_ghz": self.clock_ghz,
            "technique": self.technique,
            "median_error": {each: self.median_error(each) for each in self.techniques},
            "rank_correlation": self.rank_correlation,
            "points": [
                {
                    "workload": point.workload,
                    "page_size": point.page_size,
                    "measured": point.measured._asdict(),
                    "predicted": {
                        name: dict(zip(("low", "likely", "high"), ns, strict=True))
                        for name, ns in point.predicted.items()
                    },
                    "error": point.error(self.technique),
                }
                for point in self.points
            ],
            "kernel": {
                name: {"predicted": predicted, "measured": measured._asdict()}
                for name, (predicted, measured) in self.kernel.items()
            },
            "problems": list(self.problems),
        }


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """The rank correlation of two rows of numbers; equal ones share the mean of their ranks."""
    if len(one) < 2:
        return float("nan")
    first, second = (_ranks(np.asarray(each, float)) for each in (one, other))
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _median_error(points: Sequence[Point], technique: str) -> float:
    return float(np.median([abs(point.error(technique)) for point in points]))


def nearest(points: Sequence[Point], techniques: Sequence[str]) -> str:
    """The technique whose predictions are nearest, by the median error."""
    return min(techniques, key=lambda each: _median_error(points, each))


class Measured:
    """What was measured, to be set against one preset or several.

    Raises InputError for seconds out of LEAST to MOST, RunError where the machine is no Linux or
    has too little memory free.
    """

    def __init__(
        self, seconds: float = SECONDS, progress: Callable[[int], None] | None = None
    ) -> None:
        check_range("seconds", seconds, LEAST, MOST)
        from mmulab.mmu.kernels.structs import JIT_OFF

        if JIT_OFF:
            raise RunError("NUMBA_DISABLE_JIT is set: plain Python is no measure of a processor")
        allowed = memory.budget() // 2
        self.facts = facts.read()
        self.problems: list[str] = []
        self.kernel: dict[str, Sample] = {}
        self._progress = progress or (lambda _percent: None)
        accesses = _ACCESSES if seconds >= _QUICK else _FEW
        self.work = {loop: replay.work(loop, seconds / 30) for loop in replay.LOOPS}
        self.runs: list[tuple[str, str, replay.Touched, Sample]] = []
        for number, workload in enumerate(WORKLOADS):
            trace = workloads.resolve(f"{workload},accesses={accesses}")
            loaded = replay.load(trace)
            if loaded.size > allowed:
                self.problems.append(f"{workload}: takes {loaded.size >> 20} MiB, of which there "
                                     f"are {allowed >> 20}")  # fmt: skip
                continue
            for size in PAGE_SIZES:
                each = seconds / len(WORKLOADS) / len(PAGE_SIZES)
                ns = replay.measure(loaded, size, each, 3 if seconds >= _QUICK else 1)
                self.runs.append((workload, size, replay.Touched(trace, loaded), ns))
                self._progress(50 * (number + 1) // len(WORKLOADS))
        if not self.facts.virtual:
            self.kernel = kernel_events.measure(seconds / 20)

    def _with_loop(self, preset: Preset, loop: str) -> Preset:
        """The preset with what a loop takes by itself, in its own cycles, and with a window that
        holds as many accesses as it holds of the loop."""
        ns = self.work[loop]
        value, low, high = (each * preset.clock_ghz.value for each in (ns.value, ns.low, ns.high))
        cost = Cited(value, "measured: the loops that run for real, in the first cache", low, high)
        held = preset.window.value / replay.LOOPS[loop] / PER_INSTRUCTION
        window = Cited(held, f"{preset.window.source}; of the loops that run for real")
        return replace(preset, window=window, costs={**preset.costs, "work_per_access": cost})

    def against(self, preset: Preset) -> Validation:
        """Simulates with a preset what was measured. Raises what `simulate.compare` raises."""
        specs = TECHNIQUES if self.facts.virtual else TECHNIQUES[:1]
        loops = {loop: self._with_loop(preset, loop) for loop in replay.LOOPS}
        points = []
        for number, (workload, size, trace, ns) in enumerate(self.runs):
            result = simulate.compare(
                trace, loops[trace.loop], Config(page_size=size), list(specs), trace.warmup
            )
            predicted = {
                spec: _ns(one.range_per_access, preset)
                for spec, one in zip(specs, result.results, strict=True)
            }
            points.append(Point(workload, size, ns, predicted))
            self._progress(50 + 50 * (number + 1) // len(self.runs))
        return Validation(
            self.facts,
            preset.name,
            preset.clock_ghz.value,
            tuple(points),
            nearest(points, specs),
            _kernel(self.kernel, preset),
            tuple(self.problems),
        )


def _ns(cycles: Range, preset: Preset) -> tuple[float, float, float]:
    """(lowest, likely, highest) of cycles by the preset's clock."""
    ghz = preset.clock_ghz.value
    return cycles.low / ghz, cycles.likely / ghz, cycles.high / ghz


def _kernel(events: dict[str, Sample], preset: Preset) -> dict[str, tuple[float, Sample]]:
    """What the preset's costs say of the kernel's events, beside what was measured."""
    costs = {name: cost.value / preset.clock_ghz.value for name, cost in preset.costs.items()}
    predicted = {
        "first_touch": costs["guest_fault"] + costs["page_zero"],
        "copy_on_write": costs["guest_fault"] + costs["page_copy"],
        "page_zero": costs["page_zero"],
        "page_copy": costs["page_copy"],
    }
    return {name: (ns, events[name]) for name, ns in predicted.items() if name in events}
