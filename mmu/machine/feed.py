"""A trace while it is read: where it has got to is plain data, so that it can be resumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmulab.mmu.trace import Chunk, Trace


class Feed:
    """Chunks of a trace, one after another, from its beginning.

    taken: chunks of this pass that have been handed out. The pass itself, a generator, is no
    part of the state: where a feed is copied, the copy makes a new pass and skips as many.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.taken = 0
        self._pass: Iterator[Chunk] | None = None

    def next(self) -> Chunk | None:
        """The next chunk; None at the end. Raises InputError for a bad trace."""
        if self._pass is None:
            self._pass = self.trace.chunks()
            for _ in range(self.taken):
                next(self._pass, None)
        chunk = next(self._pass, None)
        self.taken += chunk is not None
        return chunk

    def restart(self) -> None:
        """Begins the trace again."""
        self.taken = 0
        self._pass = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pass": None}
