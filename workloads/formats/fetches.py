"""The address of an access's instruction, in a trace that has the fetches: that of the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mmulab.mmu.trace import FETCH, Chunk


class LastFetch:
    """Follows the fetches of a trace."""

    def __init__(self) -> None:
        self._address = 0

    def ip(self, chunk: Chunk) -> np.ndarray:
        """int64[n], for the trace's next chunk; 0 before the first fetch."""
        fetch = np.where(chunk.kind == FETCH, np.arange(chunk.accesses), -1)
        last = np.maximum.accumulate(fetch)
        ip = np.where(last < 0, self._address, chunk.address[last])
        if chunk.accesses:
            self._address = int(ip[-1])
        return ip


def with_ip(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks of such a trace, with their column ip."""
    fetches = LastFetch()
    for chunk in chunks:
        yield chunk._replace(ip=fetches.ip(chunk))
