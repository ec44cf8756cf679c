"""What a second core brings to one trace, as ratios within one run.

    python benchmarks/cores.py [TRACE]... [--jobs N] [--tiny]

For each trace (the bundled one, gups, graph, triad and zipf unless given), cut or repeated to
20 M accesses that are in memory: seconds of stack distances of 4K pages (what `mmulab mrc` does)
and of the TLB simulator alone (16 sets x 4 ways and 128 x 12; then 1 x 1,536 alone), on one core
and on N, 2 unless given. Counts are compared. Times are the best of several, taken in turns, of
the wall: on a machine with other work a second core brings less.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterator
from math import prod
from typing import Any

import simulator
from simulator import load
from tiny import ARGUMENTS, sized

from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.tlb_stream.stream import TLBStream
from mmulab.mmu.trace import Chunk
from mmulab.workloads.analysis.miss_ratio import measure

ACCESSES = sized(20_000_000, 20_000)
CHUNK = sized(1 << 20, 5000)
TRACES = ("@python", "gups:size=256M", "graph", "triad", "zipf")
simulator.REPEATS = sized(5, 1)


class InMemory:
    """A trace whose chunks have been made."""

    length = None

    def __init__(self, name: str, chunk: Chunk) -> None:
        self.name = name
        starts = range(0, chunk.accesses, CHUNK)
        self._chunks = [chunk.part(slice(at, at + CHUNK), chunk.events) for at in starts]

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        return iter(self._chunks)


def distances(trace: InMemory, jobs: int) -> Any:
    curve = measure(trace, ("4k",), jobs=jobs).curves[0]
    return curve.cold, curve.hits.tolist()


def stream(chunk: Chunk, levels: tuple[Geometry, Geometry], jobs: int) -> Any:
    tlb = TLBStream(*levels, jobs=jobs)
    tlb.run(chunk.address)
    return tlb.counts


def row(name: str, work: Callable[[int], Any], jobs: int) -> float:
    """Prints how long it takes on one core and on several; returns the ratio."""
    found: dict[int, Any] = {}
    seconds = simulator.best(
        {str(each): lambda each=each: found.update({each: work(each)}) for each in (1, jobs)}
    )
    if found[1] != found[jobs]:
        raise SystemExit(f"{name}: counts differ")
    one, several = seconds["1"], seconds[str(jobs)]
    print(
        f"{name:<44}{1e3 * one:>9.1f} ms{1e3 * several:>9.1f} ms{one / several:>7.2f}", flush=True
    )
    return one / several


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("traces", nargs="*", default=TRACES)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(ARGUMENTS)
    tlb, full = (Geometry(16, 4), Geometry(128, 12)), (Geometry(1, 1536), Geometry(1, 1))
    ratios: dict[str, list[float]] = {"stack distances": [], "TLB": [], "full TLB": []}
    print(f"{'':<44}{'one core':>12}{f'{options.jobs} cores':>12}{'ratio':>7}")
    for spec in options.traces or TRACES:
        chunk = load(spec, ACCESSES)
        trace = InMemory(spec, chunk)
        works: dict[str, Callable[[int], Any]] = {
            "stack distances": lambda jobs, trace=trace: distances(trace, jobs),
            "TLB": lambda jobs, chunk=chunk: stream(chunk, tlb, jobs),
            "full TLB": lambda jobs, chunk=chunk: stream(chunk, full, jobs),
        }
        for name, work in works.items():
            ratios[name].append(row(f"{spec[:26]}: {name}", work, options.jobs))
    for name, each in ratios.items():
        print(f"{name}: geometric mean {prod(each) ** (1 / len(each)):.2f}")


if __name__ == "__main__":
    sys.exit(main())
