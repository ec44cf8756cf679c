"""Parts of chunks."""

from __future__ import annotations

import numpy as np

from mmu.trace import SWITCH, Chunk


def after(chunk: Chunk, skip: int) -> Chunk:
    """A chunk without its first accesses; their events happen at its beginning."""
    skip = min(skip, chunk.accesses)
    if not skip:
        return chunk
    events = chunk.events.copy()
    events["position"] = np.maximum(0, events["position"] - skip)
    return Chunk(chunk.address[skip:], chunk.kind[skip:], chunk.size[skip:], events)


def before(chunk: Chunk, count: int) -> Chunk:
    """The first accesses of a chunk and the events up to them."""
    if count >= chunk.accesses:
        return chunk
    events = chunk.events[chunk.events["position"] <= count]
    return Chunk(chunk.address[:count], chunk.kind[:count], chunk.size[:count], events)


def owners(chunk: Chunk, last: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """(pid of each access, thread of each access, those at the end).

    last: (pid, thread) at the chunk's beginning.
    """
    pid = np.full(chunk.accesses, last[0], np.int64)
    tid = np.full(chunk.accesses, last[1], np.int64)
    for event in chunk.events[chunk.events["kind"] == SWITCH]:
        last = int(event["pid"]), int(event["value"])
        pid[event["position"] :], tid[event["position"] :] = last
    return pid, tid, last
