"""Traces in text, read into plain tuples."""

from __future__ import annotations

import io

import numpy as np

from mmulab.mmu.trace import SWITCH, Chunk
from mmulab.workloads import formats
from mmulab.workloads.formats import Options
from mmulab.workloads.streams import ByteStream

Row = tuple[int, int, int, int, int]  # address, kind, size, process, thread


def rows(chunks: list[Chunk]) -> list[Row]:
    """Every access with who made it: 1 and 0 before any switch."""
    found: list[Row] = []
    pid, tid = 1, 0
    for chunk in chunks:
        switches = {}
        for position, kind, process, _, _, thread in chunk.events.tolist():
            assert kind == SWITCH
            switches[position] = (process, thread)
        columns = (chunk.address.view(np.uint64), chunk.kind, chunk.size)
        for i, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            pid, tid = switches.get(i, (pid, tid))
            found.append((*row, pid, tid))
    return found


def read(name: str, data: bytes, accesses: int = 1 << 20) -> list[Row]:
    stream = ByteStream(io.BytesIO(data), "text", None)
    return rows(list(formats.get(name).read(stream, Options(48, accesses))))
