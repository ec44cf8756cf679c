"""The program's data in the caches: what it costs to simulate, and how near the sample is.

    python benchmarks/caches.py [--tiny]

Three tables. Time of `compare` with caches sampled and exact over that with them off, of traces
in memory, 20 M accesses (real ones repeated), each pair run in turn, the median of several. Then
cycles of walks and of data with caches sampled over those with exact ones, in per cent. Then
steady GUPS with exact caches on every processor: shadow's cycles over native's, nested's over
native's by the size of the table.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
from simulator import load
from tiny import sized

from mmulab import workloads
from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.report.results import TechniqueResult
from mmulab.mmu.simulate import compare
from mmulab.mmu.trace import Chunk

ACCESSES = sized(20_000_000, 20_000)
REPEATS = sized(5, 1)
PRESET = "golden-cove"
TIMED = ("@python", "@xz", "@shell", "gups:size=256M", "graph", "zipf")
BUNDLED = ("@python", "@xz", "@shell")
GENERATED = (
    "gups", "zipf", "graph", "triad", "ycsb", "hashjoin", "btree", "spmv", "matmul", "buildfarm",
    "webserver", "churn",
)  # fmt: skip
SIZES = sized(
    {"64M": 1 << 14, "128M": 1 << 15, "256M": 1 << 16, "512M": 1 << 17, "1G": 1 << 18,
     "2G": 1 << 19},
    {"1M": 256, "2M": 512},
)  # fmt: skip
MEASURED = sized(2_000_000, 2_000)


class Held:
    """A chunk as a trace."""

    def __init__(self, name: str, chunk: Chunk) -> None:
        self.name, self.length, self._chunk = name, chunk.accesses, chunk

    def chunks(self, columns=()):  # type: ignore[no-untyped-def]
        for first in range(0, self._chunk.accesses, 1 << 20):
            yield self._chunk.part(slice(first, first + (1 << 20)), self._chunk.events)


def time_of(spec: str) -> None:
    trace, times = Held(spec, load(spec, ACCESSES)), {"off": [], "sampled": [], "exact": []}
    for again in range(REPEATS + 1):
        for how, taken in times.items():
            started = time.perf_counter()
            compare(trace, presets.load(PRESET), Config(caches=how))
            if again:  # the first compiles
                taken.append(time.perf_counter() - started)
    off = statistics.median(times["off"]) / trace.length * 1e9
    ratios = [
        statistics.median(np.array(times[how]) / times["off"]) for how in ("sampled", "exact")
    ]
    print(f"{spec:20} {off:8.1f} ns an access {ratios[0]:8.2f} {ratios[1]:8.2f}", flush=True)


def cycles(result: TechniqueResult) -> tuple[float, float]:
    """(of walks, of data)."""
    spent = {name: each.likely for name, each in result.cycles.items()}
    return spent["guest_walk"] + spent["nested_walk"], spent["data"]


def error_of(spec: str) -> float:
    """The largest, in per cent."""
    trace, preset = workloads.resolve(spec), presets.load(PRESET)
    exact, sampled = (compare(trace, preset, Config(caches=how)) for how in ("exact", "sampled"))
    errors = [
        100 * (other / one - 1) if one else 0.0
        for pair in zip(exact.results, sampled.results, strict=True)
        for one, other in zip(*map(cycles, pair), strict=True)
    ]
    print(f"{spec:30}" + "".join(f"{error:8.2f}" for error in errors), flush=True)
    return max(map(abs, errors))


def gups(name: str) -> None:
    last, line = 0.0, f"{name:16}"
    for size, pages in SIZES.items():
        warmup = pages + MEASURED
        trace = workloads.resolve(f"gups:size={size},accesses={warmup + MEASURED}")
        found = compare(trace, presets.load(name), Config(caches="exact"), warmup=warmup)
        native, shadow, nested = (each.cycles_per_access for each in found.results)
        ratio = nested / native
        step = f"x{ratio / last:4.2f}" if last else ""
        line += f" {size:>5}: {shadow / native - 1:+7.4f} {ratio:5.2f} {step:5}"
        last = ratio
    print(line, flush=True)


def main() -> None:
    print(f"compare, {PRESET}: off; sampled and exact over off")
    for spec in TIMED:
        time_of(spec)
    print("\nsampled over exact, %: walks and data of native, of shadow, of nested")
    generated = [f"{name}:accesses={MEASURED}" for name in GENERATED]
    worst = max(error_of(spec) for spec in (*BUNDLED, *generated))
    print(f"largest: {worst:.2f} %")
    print(
        "\nsteady GUPS, exact: shadow over native, less 1; nested over native; over the size before"
    )
    for name in presets.names():
        gups(name)


if __name__ == "__main__":
    main()
