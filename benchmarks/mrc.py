"""Speed of stack distances, in memory, on one core.

    python benchmarks/mrc.py [TRACE]... [--tiny]

For each trace (the bundled ones unless given), cut or repeated to 20 M accesses, M accesses a
second for each page size, exact, and for 4K pages with a hundredth of the pages sampled.
Beside them the time that mmulab's own TLB simulator takes for one geometry.
"""

from __future__ import annotations

from simulator import ACCESSES, fastest, load
from tiny import ARGUMENTS

from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.tlb_stream.stream import TLBStream
from mmulab.mmu.trace import Chunk
from mmulab.workloads import BUNDLED
from mmulab.workloads.analysis.stack_distance import StackDistances


def seconds(chunk: Chunk, page_size: int, rate: float = 1.0) -> float:
    return fastest(lambda: StackDistances(page_size, rate).add(chunk))


def main() -> None:
    print(f"{'M accesses/s':<24}{'4K':>8}{'2M':>8}{'1G':>8}{'sampled':>9}{'one TLB':>9}")
    for spec in ARGUMENTS or [f"@{name}" for name in BUNDLED]:
        chunk = load(spec, ACCESSES)
        times = [seconds(chunk, size) for size in range(3)]
        times.append(seconds(chunk, 0, 0.01))
        stream = TLBStream(Geometry(16, 4), Geometry(128, 12), jobs=1)
        times.append(fastest(lambda: stream.run(chunk.address)))  # noqa: B023
        rates = [chunk.accesses / taken / 1e6 for taken in times]
        print(f"{spec[-24:]:<24}" + "".join(f"{rate:>8.0f}" for rate in rates))


if __name__ == "__main__":
    main()
