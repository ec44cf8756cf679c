"""What made the addresses of a generator's accesses: its column `depends`.

It says what the program that a generator stands for computes an address from: values that it
has loaded (pointers, indices, keys), or counters and random numbers alone. What only decides
a branch, as a comparison of keys does, makes no address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mmulab.mmu.trace import COLUMNS, FARTHEST, INDEPENDENT, UNKNOWN, Chunk

#: The column of a generator's next chunk.
Depends = Callable[[Chunk], np.ndarray]


def _column(values: np.ndarray) -> np.ndarray:
    return values.astype(COLUMNS["depends"])


def independent(chunk: Chunk) -> np.ndarray:
    """All addresses are made of counters or random numbers."""
    return _column(np.full(chunk.accesses, INDEPENDENT))


def numbered(value: Callable[[np.ndarray], np.ndarray]) -> Depends:
    """What an address is made of follows from the access's number in the trace."""
    made = 0

    def depends(chunk: Chunk) -> np.ndarray:
        nonlocal made
        made += chunk.accesses
        return _column(value(np.arange(made - chunk.accesses, made)))

    return depends


def repeated(pattern: Sequence[int]) -> Depends:
    """The same values over and over."""
    values = np.array(pattern)
    return numbered(lambda number: values[number % len(values)])


class Last:
    """How far back the last access of a class lies."""

    def __init__(self) -> None:
        self._last = -FARTHEST - 1  # where it is, from the next chunk's beginning

    def back(self, mine: np.ndarray, more: int = 0) -> np.ndarray:
        """From each access of the next chunk to the last one before it that is of the class, and
        `more`; UNKNOWN where that is too far.

        mine: bool, which are of the class.
        """
        count = len(mine)
        number = np.arange(count)
        latest = np.maximum.accumulate(
            np.concatenate([[self._last], np.where(mine, number, self._last)])
        )
        self._last = max(int(latest[-1]) - count, -FARTHEST - 1)
        back = number - latest[:-1] + more
        return np.where(back <= FARTHEST, back, UNKNOWN)
