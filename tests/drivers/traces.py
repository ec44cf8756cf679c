"""Small traces written down by hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.trace import EVENT, Chunk


class Script:
    """A trace of one chunk: accesses (address, kind, size), and events between them, as
    ("event", kind, pid, start, length, value)."""

    def __init__(self, *steps: tuple) -> None:
        accesses = [step for step in steps if step[0] != "event"]
        self.name = "script"
        self.length = len(accesses)
        self._accesses = accesses
        self._events, position = [], 0
        for step in steps:
            if step[0] == "event":
                self._events.append((position, *step[1:]))
            else:
                position += 1

    def chunks(self) -> Iterator[Chunk]:
        columns = zip(*self._accesses, strict=True)
        address, kind, size = (
            np.array(column, dtype)
            for column, dtype in zip(columns, (np.int64, np.uint8, np.uint16), strict=True)
        )
        yield Chunk(address, kind, size, np.array(self._events, EVENT))
