"""LRU beside libCacheSim and pycachesim, on the same streams in one run, counts compared.

    python benchmarks/peers.py [TRACE]... [--tiny]

    pip install 'mmulab[peers]'

1,536 entries, fully associative, LRU, 4 KiB pages, on 10 M accesses (the bundled trace, graph and
gups unless given; short ones repeated). Each runs its own loop in memory: mmulab `TLBStream`;
libCacheSim (Yang et al., NSDI 2020 and its repository 1a1a11a/libCacheSim) `LRU.process_trace`
over a file of oracleGeneral records, in the page cache; pycachesim (Hammer, RRZE-HPC/pycachesim)
one level of caches whose lines are pages, on the first hundredth, since each access costs it time
in proportion to the ways. Misses must be equal. Rates are those of the fastest of three turns, by
the time of the processor. What is not installed is left out; the exit code is 1 where counts
differ.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from simulator import load
from tiny import ARGUMENTS, sized

from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.tlb_stream.stream import TLBStream

ENTRIES = 1536
ACCESSES = sized(10_000_000, 2000)
FEW = sized(100, 1)  # one access in so many, of the first, for pycachesim
TURNS = sized(3, 1)
TRACES = ("@python", "graph", "gups:size=256M")
PAGE_SHIFT = 12

#: Seconds and misses of one pass.
Pass = tuple[float, int]

ORACLE = np.dtype([("time", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")])


def by_mmulab(address: np.ndarray) -> Pass:
    tlb = TLBStream(Geometry(1, ENTRIES), Geometry(1, 1), jobs=1)
    started = time.process_time()
    tlb.run(address)
    return time.process_time() - started, tlb.counts.l1_misses


def by_libcachesim(address: np.ndarray) -> Pass:
    peer = import_module("libcachesim")
    records = np.zeros(len(address), ORACLE)
    records["object"] = address.view(np.uint64) >> PAGE_SHIFT
    records["size"] = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.oracleGeneral"
        records.tofile(path)
        reader = peer.TraceReader(str(path), peer.TraceType.ORACLE_GENERAL_TRACE)
        cache = peer.LRU(cache_size=ENTRIES)
        started = time.process_time()
        ratio, _ = cache.process_trace(reader)
        return time.process_time() - started, round(ratio * len(address))


def by_pycachesim(address: np.ndarray) -> Pass:
    peer = import_module("cachesim")
    memory = peer.MainMemory()
    level = peer.Cache("TLB", 1, ENTRIES, 1 << PAGE_SHIFT, "LRU")
    memory.load_to(level)
    memory.store_from(level)
    simulator = peer.CacheSimulator(level, memory)
    addresses = (address & ((1 << 63) - 1)).tolist()
    started = time.process_time()
    simulator.loadstore(((each,), None) for each in addresses)
    return time.process_time() - started, int(level.stats()["MISS_count"])


PEERS: dict[str, tuple[Callable[[np.ndarray], Pass], int]] = {
    "libcachesim": (by_libcachesim, 1),
    "cachesim": (by_pycachesim, FEW),
}


def compare(spec: str) -> bool:
    """Prints a row for each; False where counts differ."""
    address = load(spec, ACCESSES).address
    equal = True
    for name, (run, part) in PEERS.items():
        if find_spec(name) is None:
            continue
        stream = address[: len(address) // part]
        passes = [(by_mmulab(stream), run(stream)) for _ in range(TURNS)]
        ours, theirs = (min(turn[which] for turn in passes) for which in (0, 1))
        equal &= ours[1] == theirs[1]
        print(
            f"{spec:<16} {name:<12} {len(stream):>11,} {ours[1]:>11,} {theirs[1]:>11,}"
            f" {len(stream) / ours[0] / 1e6:>8.1f} {len(stream) / theirs[0] / 1e6:>8.2f}"
            f" {theirs[0] / ours[0]:>7.1f}",
            flush=True,
        )
    return equal


def main() -> None:
    by_mmulab(np.zeros(1 << 18, np.int64))  # compiles, or loads what was compiled before
    print(
        f"{'trace':<16} {'peer':<12} {'accesses':>11} {'misses':>11} {'its misses':>11}"
        f" {'M/s':>8} {'its M/s':>8} {'ratio':>7}"
    )
    sys.exit(0 if all([compare(spec) for spec in ARGUMENTS or TRACES]) else 1)


if __name__ == "__main__":
    main()
