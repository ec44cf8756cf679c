"""One pass for every LRU geometry against the runs that it replaces, in processor time.

    python benchmarks/geometries.py [TRACE]... [--tiny]

For each trace (the bundled ones unless given), cut or repeated to 2 M accesses: seconds of the pass
for all powers of two up to 4,096 sets with 1 to 16 ways, of a run of each of these 208 with
mmulab's fastest simulator of one, and how many times as long those take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from simulator import load
from tiny import ARGUMENTS, TINY, sized

from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.tlb_stream.stream import TLBStream
from mmulab.mmu.trace import NO_EVENTS, Chunk
from mmulab.workloads import BUNDLED
from mmulab.workloads.analysis import geometries

ACCESSES = sized(2_000_000, 20_000)
SETS = [1 << level for level in range(sized(13, 3))]
WAYS = range(1, sized(17, 3))


class OneChunk:
    """A trace of one chunk."""

    name = "trace"

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.length = chunk.accesses

    def chunks(self, columns: object = ()) -> Iterator[Chunk]:
        yield self.chunk


def seconds(run: Callable[[], object]) -> float:
    """Of processor time."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


def all_at_once(trace: OneChunk) -> None:
    geometries.measure(trace, ["4k"], SETS[-1], WAYS[-1])


def one_by_one(trace: OneChunk) -> None:
    for sets in SETS:
        for ways in WAYS:
            TLBStream(Geometry(sets, ways), Geometry(1, 1), jobs=1).run(trace.chunk.address)


def main() -> None:
    print(f"{'seconds':<24}{'one pass':>10}{'runs':>10}{'times':>8}")
    for spec in ARGUMENTS or [f"@{name}" for name in BUNDLED][: sized(3, 1)]:
        trace = OneChunk(load(spec, ACCESSES)._replace(events=NO_EVENTS))
        if not TINY:
            all_at_once(trace)  # compiled
        once, runs = seconds(lambda: all_at_once(trace)), seconds(lambda: one_by_one(trace))  # noqa: B023
        print(f"{spec[-24:]:<24}{once:>10.2f}{runs:>10.2f}{runs / once:>8.1f}")


if __name__ == "__main__":
    main()
