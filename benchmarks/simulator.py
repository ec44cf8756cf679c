"""Speed of whole techniques, in memory, on one core, as ratios within one run.

    python benchmarks/simulator.py [TRACE]...

For each trace (the bundled one unless given; repeated to 20 M accesses) a row for the
memory floor (np.bitwise_xor.reduce over the addresses), the TLB simulator alone and each
technique. Then nested page walks a second on GUPS over 256 MiB.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

import workloads
from mmu import engine, presets
from mmu.config import Config
from mmu.machine import Simulator, build
from mmu.tlb_stream import Geometry, TLBStream
from mmu.trace import NO_EVENTS, Chunk

ACCESSES = 20_000_000
REPEATS = 5


def load(spec: str, accesses: int = ACCESSES) -> Chunk:
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


def best(function: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def prepared(chunk: Chunk) -> np.ndarray:
    kinds = np.empty_like(chunk.kind)
    engine.prepare(chunk.address, chunk.kind, chunk.size, kinds, np.zeros(3, np.int64), 4)
    return kinds


def measure(simulator: Simulator, chunk: Chunk, kinds: np.ndarray) -> float:
    """Seconds of a pass over the chunk, pages touched before."""
    simulator.run(chunk, kinds, 0, chunk.accesses, 0)
    simulator.reset_counters()
    return best(lambda: simulator.run(chunk, kinds, 0, chunk.accesses, 0))


def row(name: str, accesses: int, seconds: float, alone: float) -> None:
    rate = accesses / seconds / 1e6
    print(f"  {name:<22} {rate:8.0f} M accesses/s  {seconds / alone:6.2f} x TLB alone")


def compare(spec: str) -> None:
    chunk = load(spec)
    kinds = prepared(chunk)
    print(f"{spec}: {chunk.accesses:,} accesses")
    floor = best(lambda: np.bitwise_xor.reduce(chunk.address))
    stream = TLBStream(Geometry(16, 4, "lru"), Geometry(128, 12, "lru"))
    stream.run(chunk.address)
    alone = best(lambda: stream.run(chunk.address))
    row("np.bitwise_xor.reduce", chunk.accesses, floor, alone)
    row("TLB simulator alone", chunk.accesses, alone, alone)
    preset = presets.load("skylake-sp")
    for technique in ("native", "shadow", "nested"):
        simulator = build(technique, preset, Config(memory=4 << 30))
        row(technique, chunk.accesses, measure(simulator, chunk, kinds), alone)


def walks() -> None:
    chunk = load("gups:size=256M,accesses=8M", 8_000_000)
    kinds = prepared(chunk)
    print("gups over 256 MiB, 4k pages on 4k, walk caches on")
    for technique in ("native", "nested"):
        simulator = build(technique, presets.load("skylake-sp"), Config(memory=1 << 30))
        seconds = measure(simulator, chunk, kinds)
        walked = simulator.machine.core.stats[0]["walks"].sum() / REPEATS
        print(f"  {technique:<22} {walked / seconds / 1e6:8.1f} M walks/s")


def main() -> None:
    for spec in sys.argv[1:] or [str(workloads.bundled())]:
        compare(spec)
    walks()


if __name__ == "__main__":
    main()
