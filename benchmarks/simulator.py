"""Speed of whole techniques, in memory, on one core, as ratios within one run.

    python benchmarks/simulator.py [TRACE]... [--tiny]

For each trace (the bundled one unless given; repeated to 20 M accesses) a row for the
memory floor (np.bitwise_xor.reduce over the addresses), the TLB simulator alone and each
technique. Then page walks a second on GUPS over 256 MiB, random updates only: filling the
table in order would be easier. Times are the best of many passes, since another load on the
core, or on its hyperthread sibling, slows some of them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from tiny import ARGUMENTS, sized

from mmulab import workloads
from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.errors import MMULabError
from mmulab.mmu.hardware.marks import MARK
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.machine import run as engine
from mmulab.mmu.machine.simulator import Simulator, build
from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.tlb_stream.stream import TLBStream
from mmulab.mmu.trace import NO_EVENTS, Chunk

ACCESSES = sized(20_000_000, 20_000)
REPEATS = sized(25, 1)
TABLE = sized("256M", "16M")
ALONE = "TLB simulator alone"


def load(spec: str, accesses: int) -> Chunk:
    """The first accesses of a trace, repeated to a number, without its events."""
    parts = []
    have = 0
    for chunk in workloads.resolve(spec).chunks():
        parts.append(chunk)
        have += chunk.accesses
        if have >= accesses:
            break
    times = -(-accesses // have)
    columns = [
        np.tile(np.concatenate([getattr(part, name) for part in parts]), times)[:accesses]
        for name in ("address", "kind", "size")
    ]
    return Chunk(*columns, NO_EVENTS)


def best(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of the fastest run of each of several, taken in turns, so that all of them see
    the machine when it is quiet."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(REPEATS):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    return {name: min(each) for name, each in times.items()}


def fastest(function: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""
    return best({"": function})[""]


def prepared(chunk: Chunk) -> np.ndarray:
    marks = np.empty(chunk.accesses, MARK)
    engine.prepare(*map(to_read, chunk[:3]), marks, np.zeros(3, np.int64), 4)
    return marks


def passing(simulator: Simulator, chunk: Chunk, marks: np.ndarray) -> Callable[[], object]:
    """A pass over the chunk, whose pages have been touched before."""

    def once() -> object:
        return simulator.run(chunk, marks, 0, chunk.accesses, 0)

    once()
    simulator.reset_counters()
    return once


def compare(spec: str) -> None:
    chunk = load(spec, ACCESSES)
    marks = prepared(chunk)
    stream = TLBStream(Geometry(16, 4), Geometry(128, 12), jobs=1)
    stream.run(chunk.address)
    preset = presets.load("skylake-sp")
    functions: dict[str, Callable[[], object]] = {
        "np.bitwise_xor.reduce": lambda: np.bitwise_xor.reduce(chunk.address),
        ALONE: lambda: stream.run(chunk.address),
    }
    for technique in ("native", "shadow", "nested"):
        simulator = build(technique, preset, Config(memory=4 << 30))
        functions[technique] = passing(simulator, chunk, marks)
    seconds = best(functions)
    print(f"{spec}: {chunk.accesses:,} accesses")
    for name, each in seconds.items():
        rate = chunk.accesses / each / 1e6
        print(f"  {name:<22} {rate:8.0f} M accesses/s  {each / seconds[ALONE]:6.2f} x TLB alone")


def walks() -> None:
    chunk = load(f"gups:size={TABLE},accesses=1M,init=0", sized(1_000_000, 1000))
    marks = prepared(chunk)
    simulators = {
        technique: build(technique, presets.load("skylake-sp"), Config(memory=1 << 30))
        for technique in ("native", "nested")
    }
    seconds = best({name: passing(each, chunk, marks) for name, each in simulators.items()})
    print(f"gups over {TABLE[:-1]} MiB, 4k pages on 4k, walk caches on")
    for technique, simulator in simulators.items():
        walked = simulator.machine.vcpu.stats[0]["walks"].sum() / REPEATS
        print(f"  {technique:<22} {walked / seconds[technique] / 1e6:8.1f} M walks/s")


def main() -> None:
    try:
        for spec in ARGUMENTS or [str(workloads.bundled())]:
            compare(spec)
        walks()
    except MMULabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
