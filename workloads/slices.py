"""Parts of chunks."""

from __future__ import annotations

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
