"""Speed of trace readers, as MB of file a second and as ratios to a memory pass.

    python benchmarks/parse.py [FORMAT]... [--tiny]

Writes the bundled trace, several times over, in each format into a temporary directory,
and reads it back (files are in the page cache then). The floor is np.bitwise_xor.reduce
over the file's bytes as 64-bit words.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tiny import ARGUMENTS, sized

from mmulab import workloads
from mmulab.mmu.trace import FETCH, LOAD, NO_EVENTS, Chunk
from mmulab.workloads import formats
from mmulab.workloads.formats.columnar import ColumnarWriter
from mmulab.workloads.slices import before

ACCESSES = sized(1 << 30, 2000)  # of each chunk; all
TIMES = sized(5, 1)
REPEATS = sized(5, 1)


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


def write_columnar(path: Path, chunks: list[Chunk]) -> None:
    with ColumnarWriter(path, {}) as writer:
        for chunk in repeated(chunks):
            writer.write(chunk)


def write_drmemtrace(path: Path, chunks: list[Chunk]) -> None:
    record = np.dtype([("type", "<u2"), ("size", "<u2"), ("addr", "<u8")])
    with open(path, "wb") as file:
        file.write(np.array([(25, 0, 7), (22, 0, 1), (24, 0, 1)], record).tobytes())
        for chunk in repeated(chunks):
            rows = np.empty(chunk.accesses, record)
            rows["type"] = np.array([0, 1, 10])[chunk.kind]
            rows["size"], rows["addr"] = chunk.size, chunk.address.view(np.uint64)
            file.write(rows.tobytes())
        file.write(np.array((26, 0, 0), record).tobytes())


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_gem5(path: Path, chunks: list[Chunk]) -> None:
    def message(*fields: int) -> bytes:
        body = b"".join(varint(8 * n + 8) + varint(value) for n, value in enumerate(fields))
        return varint(len(body)) + body

    with open(path, "wb") as file:
        file.write(b"gem5\x07\x0a\x03cpu\x18\x01")
        tick = 0
        for chunk in chunks:
            packets = []
            for a, k, s in zip(*(column.tolist() for column in chunk[:3]), strict=True):
                tick += 500
                packets.append(message(tick, 1 if k in (LOAD, FETCH) else 4, a, s, 0x100 * k // 2))
            file.write(b"".join(packets) * TIMES)


def write_by_itself(path: Path, chunks: list[Chunk]) -> None:
    with open(path, "wb") as file:
        formats.get(path.name).write(file, repeated(chunks))


def repeated(chunks: list[Chunk]) -> Iterator[Chunk]:
    for _ in range(TIMES):
        for chunk in chunks:
            yield chunk._replace(events=NO_EVENTS)


WRITERS: dict[str, Callable[[Path, list[Chunk]], None]] = {
    "lackey": lambda path, chunks: write_text(path, chunks, "{k} {a:08x},{s}\n", " L SI "),
    "plain": lambda path, chunks: write_text(path, chunks, "{a:08x} {k}\n", "R W I "),
    "columnar": write_columnar,
    "npy": write_by_itself,
    "champsim": write_by_itself,
    "cloudsuite": write_by_itself,
    "drmemtrace": write_drmemtrace,
    "gem5": write_gem5,
    "oracle": write_by_itself,
}


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
    chunks = [before(chunk, ACCESSES) for chunk in workloads.resolve("@python").chunks()]
    print(f"{'format':<10} {'MB':>6} {'M accesses':>11} {'MB/s':>8} {'M acc./s':>9} {'x floor':>8}")
    for name in ARGUMENTS or WRITERS:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / name
            WRITERS[name](path, chunks)
            seconds, accesses = best(path, name)
            size = path.stat().st_size / 1e6
            print(
                f"{name:<10} {size:>6.0f} {accesses / 1e6:>11.0f} {size / seconds:>8.0f} "
                f"{accesses / seconds / 1e6:>9.0f} {seconds / floor(path):>8.1f}"
            )


if __name__ == "__main__":
    main()
