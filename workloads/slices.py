"""Parts of chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mmulab.mmu.trace import SWITCH, Chunk


def after(chunk: Chunk, skip: int) -> Chunk:
    """A chunk without its first accesses; their events happen at its beginning."""
    skip = min(skip, chunk.accesses)
    if not skip:
        return chunk
    events = chunk.events.copy()
    events["position"] = np.maximum(0, events["position"] - skip)
    return chunk.part(slice(skip, None), events)


def before(chunk: Chunk, count: int) -> Chunk:
    """The first accesses of a chunk and the events up to them."""
    if count >= chunk.accesses:
        return chunk
    events = chunk.events[chunk.events["position"] <= count]
    return chunk.part(slice(count), events)


def parts(chunks: Iterable[Chunk], skip: int, most: int | None) -> Iterator[Chunk]:
    """Chunks without the first accesses of all, and no more than so many accesses after them."""
    taken = 0
    for chunk in chunks:
        part = after(chunk, skip)
        skip -= min(skip, chunk.accesses)
        part = part if most is None else before(part, most - taken)
        taken += part.accesses
        yield part
        if most is not None and taken >= most:
            break


def owners(chunk: Chunk, last: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """(pid of each access, thread of each access, those at the end).

    last: (pid, thread) at the chunk's beginning.
    """
    switches = chunk.events[chunk.events["kind"] == SWITCH]
    bounds = np.concatenate([[0], switches["position"], [chunk.accesses]])
    lengths = np.diff(bounds)
    pids = np.concatenate([[last[0]], switches["pid"]]).astype(np.int64)
    tids = np.concatenate([[last[1]], switches["value"]]).astype(np.int64)
    last = int(pids[-1]), int(tids[-1])
    return np.repeat(pids, lengths), np.repeat(tids, lengths), last


class Owners:
    """Which process makes each access, as a number for above that of its pages: pages of
    different processes are different pages, as under ASIDs."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {1: 0}
        self._owner = 0

    def parts(self, chunk: Chunk) -> list[tuple[int, int, int]]:
        """The next chunk, process by process: (first access, the first after it, owner)."""
        found = []
        start = 0
        for event in chunk.events[chunk.events["kind"] == SWITCH]:
            found.append((start, int(event["position"]), self._owner))
            start = int(event["position"])
            number = self._numbers.setdefault(int(event["pid"]), len(self._numbers))
            self._owner = number << 52
        return [*found, (start, chunk.accesses, self._owner)]
