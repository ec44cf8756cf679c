"""A chunk of a trace, made ready for simulators."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.hardware.marks import MARK
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.machine import run as engine
from mmulab.mmu.machine.data import NO_LINES, Lines
from mmulab.mmu.machine.events import check_events
from mmulab.mmu.trace import Chunk, Trace


class Work:
    """A chunk with its accesses marked, and where in it measuring begins."""

    def __init__(
        self,
        chunk: Chunk,
        marks: np.ndarray,
        measured_from: int,
        lines: tuple[np.ndarray, np.ndarray] = NO_LINES,
    ) -> None:
        self.chunk = chunk
        self.marks = marks  # see hardware.marks
        self.measured_from = measured_from  # number of accesses: not in this chunk
        self.lines = lines  # that the program touches, and when: see machine.data


def prepare(
    trace: Trace, chunk: Chunk, done: int, warmup: int, levels: int, lines: Lines | None = None
) -> tuple[Work, np.ndarray]:
    """A chunk as work; its measured accesses by kind, and the lines that they touched.

    lines: finds them, after those of the chunks before it; None: they are not followed.
    done: accesses before it. warmup: accesses that are not measured, from the trace's start.
    Raises InputError for an address that is not canonical, or an impossible event.
    """
    marks = np.empty(chunk.accesses, MARK)
    counts = np.zeros(4, np.int64)
    start = min(max(0, warmup - done), chunk.accesses)
    for first, last in ((0, start), (start, chunk.accesses)):
        counts[:] = 0
        part = slice(first, last)
        bad = engine.prepare(
            to_read(chunk.address[part]),
            to_read(chunk.kind[part]),
            to_read(chunk.size[part]),
            marks[part],
            counts,
            levels,
        )
        if bad >= 0:
            address = int(chunk.address[first + bad]) & (1 << 64) - 1
            raise InputError(
                f"{trace.name}: access {done + first + bad + 1:,}: address {address:#x} is not "
                f"canonical for {levels} levels of page table ({12 + 9 * levels} bits)"
            )
    check_events(trace.name, chunk.events, levels)
    # A warm-up that ends where this chunk does ends at the start of the next.
    at, line, counts[3] = lines.find(chunk, start) if lines else (*NO_LINES, 0)
    return Work(chunk, marks, start, (at, line)), counts
