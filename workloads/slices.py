"""Parts of chunks."""

from __future__ import annotations

import numpy as np

from mmu.trace import Chunk


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
