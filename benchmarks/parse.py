"""Speed of trace readers, as MB of file a second and as ratios to a memory pass.

    python benchmarks/parse.py

Writes the bundled trace, ten times over, as lackey text, plain text, ChampSim
records and a columnar file into a temporary directory, and reads each back (files are in
the page cache then). The floor is np.bitwise_xor.reduce over the file's bytes as 64-bit words.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

import workloads
from mmu.trace import FETCH, NO_EVENTS, Chunk
from workloads.formats.champsim import RECORD
from workloads.formats.columnar import ColumnarWriter

TIMES = 10
REPEATS = 5


def write_text(path: Path, chunks: list[Chunk], line: str, letters: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        for chunk in chunks:
            columns = zip(
                chunk.address.tolist(), chunk.kind.tolist(), chunk.size.tolist(), strict=True
            )
            file.write(
                "".join(line.format(a=a, k=letters[2 * k : 2 * k + 2], s=s) for a, k, s in columns)
                * TIMES
            )


def write_champsim(path: Path, chunks: list[Chunk]) -> None:
    """An instruction for each pair of data accesses, a load and a store of it."""
    with open(path, "wb") as file:
        for chunk in chunks * TIMES:
            data = chunk.address[chunk.kind != FETCH]
            pairs = data[: len(data) // 2 * 2].reshape(-1, 2)
            records = np.zeros(len(pairs), RECORD)
            records["ip"] = 0x401000 + 4 * (np.arange(len(pairs)) % 4096)
            records["source_memory"][:, 0], records["destination_memory"][:, 0] = pairs.T
            file.write(records.tobytes())


def best(path: Path, name: str) -> tuple[float, int]:
    """(seconds of the fastest of several passes, accesses)"""
    times = []
    accesses = 0
    for _ in range(REPEATS):
        started = time.perf_counter()
        accesses = sum(chunk.accesses for chunk in workloads.open_trace(path, name).chunks())
        times.append(time.perf_counter() - started)
    return min(times), accesses


def floor(path: Path) -> float:
    words = np.fromfile(path, np.int64, path.stat().st_size // 8)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        np.bitwise_xor.reduce(words)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    chunks = list(workloads.open_trace(workloads.bundled()).chunks())
    print(f"{'format':<10} {'MB':>6} {'M accesses':>11} {'MB/s':>8} {'M acc./s':>9} {'x floor':>8}")
    with tempfile.TemporaryDirectory() as directory:
        for name, line, letters in (
            ("lackey", "{k} {a:08x},{s}\n", " L SI "),
            ("plain", "{a:08x} {k}\n", "R W I "),
            ("champsim", "", ""),
            ("columnar", "", ""),
        ):
            path = Path(directory) / name
            if name == "columnar":
                with ColumnarWriter(path, {}) as writer:
                    for _ in range(TIMES):
                        for chunk in chunks:
                            writer.write(chunk._replace(events=NO_EVENTS))
            elif name == "champsim":
                write_champsim(path, chunks)
            else:
                write_text(path, chunks, line, letters)
            seconds, accesses = best(path, name)
            size = path.stat().st_size / 1e6
            print(
                f"{name:<10} {size:>6.0f} {accesses / 1e6:>11.0f} {size / seconds:>8.0f} "
                f"{accesses / seconds / 1e6:>9.0f} {seconds / floor(path):>8.1f}"
            )


if __name__ == "__main__":
    main()
