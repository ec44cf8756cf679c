"""Distances to the access that made an address, where a trace is cut or several are merged."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.trace import COLUMNS, FARTHEST, INDEPENDENT, UNKNOWN

_LEFT_OUT = -1


class Distances:
    """Follows one trace into another, in which some accesses are missing or others between."""

    def __init__(self) -> None:
        # Where the trace's last accesses came to lie, the latest last.
        self._lay: np.ndarray | None = None

    def among(self, depends: np.ndarray | None, kept: np.ndarray, first: int) -> np.ndarray | None:
        """`depends` of the trace's next accesses, as it is in the other trace.

        kept: bool, which accesses come there, one after another from number `first` on. What
        depends on an access that is left out, or that now lies too far back, is UNKNOWN; so is
        what depends on accesses of a chunk without the column.
        """
        if depends is None:
            self._lay = None
            return None
        if self._lay is None:
            self._lay = np.full(FARTHEST, _LEFT_OUT, np.int64)
        now = np.where(kept, first - 1 + np.cumsum(kept), _LEFT_OUT)
        lie = np.concatenate([self._lay, now])
        self._lay = lie[-FARTHEST:]
        known = (depends != UNKNOWN) & (depends != INDEPENDENT)
        source = lie[FARTHEST + np.arange(len(depends)) - np.where(known, depends, 0)]
        distance = np.where(known, now - source, depends)
        lost = known & ((source == _LEFT_OUT) | (distance > FARTHEST))
        return np.where(lost | ~kept, UNKNOWN, distance).astype(COLUMNS["depends"])
