"""Where the flags of an entry lie: at other bits for each student.

World and judge know x86-64's entries alone. On their way to a student's program entries change
into the student's layout, and back on their way to the judge.
"""

from __future__ import annotations

import numpy as np

from mmulab.coursework.draws import Draws

NAMES = ("P", "RW", "US", "A", "D", "XD")
X86 = (0, 1, 2, 5, 6, 63)
_AROUND = (*range(12), *range(52, 64))  # the bits that are no part of the frame
_FRAME = np.uint64(((1 << 40) - 1) << 12)


def draw(draws: Draws) -> list[int]:
    """The bit of each of NAMES."""
    return draws.sample(_AROUND, len(NAMES))


def written(layout: list[int]) -> str:
    """The flags as an assignment of Python's."""
    return f"{', '.join(NAMES)} = {', '.join(f'1 << {bit}' for bit in layout)}"


def given(entries: np.ndarray, layout: list[int]) -> np.ndarray:
    """Entries of x86-64 (int64), as the student has them."""
    return _moved(entries, _both_ways(layout))


def taken(entries: np.ndarray, layout: list[int]) -> np.ndarray:
    """A student's entries (int64), as x86-64 has them."""
    return _moved(entries, [(to, source) for source, to in _both_ways(layout)])


def _both_ways(layout: list[int]) -> list[tuple[int, int]]:
    """For each bit around the frame, where it goes: bits that are no flags fill the rest."""
    others = [bit for bit in _AROUND if bit not in X86]
    rest = [bit for bit in _AROUND if bit not in layout]
    return [*zip(X86, layout, strict=True), *zip(others, rest, strict=True)]


def _moved(entries: np.ndarray, ways: list[tuple[int, int]]) -> np.ndarray:
    found = np.ascontiguousarray(entries, np.int64).view(np.uint64)
    moved = found & _FRAME
    for source, to in ways:
        moved |= (found >> np.uint64(source) & np.uint64(1)) << np.uint64(to)
    return moved.view(np.int64)
