"""Speed of the TLB simulator alone, in memory, on one core, as ratios within one run.

    python benchmarks/tlb.py [TRACE]... [--tiny]

L1 of 16 sets x 4 ways, L2 of 128 x 12, LRU, 4 KiB pages. For each trace (the bundled one
unless given) a row for all accesses and one for loads and stores; for a .npy file, an int64
array of addresses, one row. The last row is GUPS: random addresses, 8-byte aligned, over
256 MiB. A trace is cut or repeated to 20 M accesses. The floor is np.bitwise_xor.reduce over
the same array: reading it once. Times are the best of several, taken in turns with the floor.

The floor waits for memory, the simulator for the core: another load on the core (or on its
hyperthread sibling) slows the simulator more, so that a ratio is then too high.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from tiny import ARGUMENTS, sized

from mmulab import workloads
from mmulab.mmu.errors import InputError, MMULabError
from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.tlb_stream.stream import Counts, TLBStream
from mmulab.mmu.trace import FETCH

ACCESSES = sized(20_000_000, 20_000)
REPEATS = sized(7, 1)


def new_tlb() -> TLBStream:
    return TLBStream(Geometry(16, 4), Geometry(128, 12), jobs=1)


def to_length(addresses: np.ndarray) -> np.ndarray:
    return np.tile(addresses, -(-ACCESSES // len(addresses)))[:ACCESSES]


def from_array(path: str) -> Iterator[tuple[str, np.ndarray]]:
    try:
        addresses = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not an array of addresses: {error}") from error
    if addresses.ndim != 1 or addresses.dtype != np.int64 or not len(addresses):
        raise InputError(f"{path}: expected a one-dimensional array of int64 that is not empty")
    yield os.path.basename(path), np.array(addresses[:ACCESSES])


def from_trace(spec: str) -> Iterator[tuple[str, np.ndarray]]:
    trace = workloads.resolve(spec)
    addresses, kinds = [], []
    have = 0
    for chunk in trace.chunks():
        addresses.append(chunk.address)
        kinds.append(chunk.kind)
        have += chunk.accesses
        if have >= ACCESSES:
            break
    if not have:
        raise InputError(f"{spec}: expected at least one access")
    address = np.concatenate(addresses)
    is_data = np.concatenate(kinds) != FETCH
    yield f"{trace.name}, all", address
    if is_data.any() and not is_data.all():
        yield f"{trace.name}, data", address[is_data]


def gups() -> Iterator[tuple[str, np.ndarray]]:
    yield "gups 256 MiB", np.random.default_rng(1).integers(0, 256 << 20, ACCESSES) & ~7


def seconds(function: Callable[[np.ndarray], object], addresses: np.ndarray) -> float:
    started = time.perf_counter()
    function(addresses)
    return time.perf_counter() - started


def measure(addresses: np.ndarray) -> tuple[float, float, Counts]:
    """Seconds of the simulator, started empty, and of the floor; what was counted."""
    simulated, floor = [], []
    for _ in range(REPEATS):
        tlb = new_tlb()
        simulated.append(seconds(tlb.run, addresses))
        floor.append(seconds(np.bitwise_xor.reduce, addresses))
    return min(simulated), min(floor), tlb.counts


def table(specs: list[str]) -> None:
    new_tlb().run(np.zeros(1, np.int64))  # compiles, or loads what was compiled before
    print(
        f"{'trace':<24} {'accesses':>11} {'L1 misses':>11} {'L2 misses':>11}"
        f" {'M/s':>6} {'xor M/s':>8} {'ratio':>6}"
    )
    sources = [from_array(spec) if spec.endswith(".npy") else from_trace(spec) for spec in specs]
    for source in [*sources, gups()]:
        for name, addresses in source:
            simulated, floor, counts = measure(to_length(addresses))
            print(
                f"{name:<24} {counts.accesses:>11,} {counts.l1_misses:>11,}"
                f" {counts.l2_misses:>11,} {counts.accesses / simulated / 1e6:>6.0f}"
                f" {counts.accesses / floor / 1e6:>8.0f} {simulated / floor:>6.2f}",
                flush=True,
            )


def main() -> None:
    try:
        table(ARGUMENTS or [str(workloads.bundled())])
    except MMULabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
