"""Caches that page tables and a program's data go through, in lists and dictionaries of names.

Nothing is hashed but where a line lies: lines are told apart by their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from mmulab.mmu.presets.preset import Preset

MEMORY = 4  # what serves a line that no cache has

_MASK = (1 << 64) - 1


class Line(NamedTuple):
    """space: whose page: (VM, pid), pid -1 of the VM's own. kind: "data", or ("guest" or
    "nested", level). page, row: which, of all pages of that kind, and which line of it."""

    space: tuple[int, int]
    kind: Hashable
    page: int
    row: int


def _mixed(number: int) -> int:
    x = number & _MASK
    x = ((x ^ (x >> 33)) * 0xFF51AFD7ED558CCD) & _MASK
    x = ((x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53) & _MASK
    return (x ^ (x >> 33)) >> 7


def name_of(line: Line) -> int:
    """The number that a line goes by in the simulator."""
    vm, pid = line.space
    kind = 0
    if line.kind != "data":
        dimension, level = line.kind  # type: ignore[misc]
        kind = level + (8 if dimension == "nested" else 0)
    space = _mixed((vm << 40) ^ (pid + 1))
    return _mixed(line.page ^ space ^ (kind << 58)) << 6 | line.row


def line_of(address: int, pid: int) -> Line:
    """Of a program's address."""
    number = address >> 6
    return Line((1, pid if address >= 0 else -1), "data", number >> 6, number & 63)


#: A line, or one that is known by its number alone.
Any_line = Line | int


class Cache:
    """One level: a list a set, the latest line first."""

    def __init__(self, size: int, ways: int, index: str) -> None:
        sets = max(1, size // (64 * ways))
        self.ways, self.hashed = ways, index == "hashed"
        self.colours = max(1, sets // 64)
        self.rows = 64
        while self.rows > sets:
            self.rows //= 2
        self.sets: dict[tuple[int, int], list[Any_line]] = {}
        self.hits = self.misses = 0

    def _set(self, line: Any_line) -> list[Any_line]:
        number = name_of(line) if isinstance(line, Line) else line
        colour = (number >> 32) * self.colours >> 31
        row = number % 64 ^ (number // 64 % 64 if self.hashed else 0)
        return self.sets.setdefault((colour, row % self.rows), [])

    def has(self, line: Any_line) -> bool:
        return line in self._set(line)

    def use(self, line: Any_line) -> bool:
        """Whether it was there; it is the latest of its set now."""
        lines = self._set(line)
        there = line in lines
        if there:
            lines.remove(line)
        lines.insert(0, line)
        del lines[self.ways :]
        return there


class Caches:
    """All levels. llc: bytes of the last one."""

    def __init__(self, preset: Preset, llc: int) -> None:
        sizes = [cache.size for cache in preset.caches]
        if len(sizes) > 1:
            sizes[-1] = llc
        self.levels = [
            Cache(size, cache.ways, cache.index)
            for size, cache in zip(sizes, preset.caches, strict=True)
        ]
        names = [cache.name for cache in preset.caches]
        self.enter = names.index(preset.walks_enter.names[0]) if names else 0
        self.prefetchers = set(preset.prefetchers.names if len(names) > 1 else ())
        self.data: Counter[int] = Counter()

    def reference(self, line: Any_line) -> int:
        """One of a walk: the level that serves it."""
        return self._take(line, self.enter, True)

    def touch(self, line: Line) -> None:
        """One of the program. Its neighbours are looked for once it is there: one that it took
        the place of, in a cache of fewer sets than a page has lines, has gone."""
        there = self.levels[0].has(line) if self.levels else True
        found = self._take(line, 0, True)
        fetched = not there and self._is_fetched(line)
        self.data[min(found, 1) if fetched else found] += 1

    def zero(self, lines: Iterable[Line]) -> None:
        """A page that the kernel zeroes or copies."""
        for line in lines:
            self._take(line, 0, False)

    def _take(self, line: Any_line, first: int, counted: bool) -> int:
        for number, level in enumerate(self.levels[first:], start=first):
            there = level.use(line)
            level.hits += there and counted
            level.misses += counted and not there
            if there:
                return number
        return MEMORY

    def _is_fetched(self, line: Line) -> bool:
        def has(step: int) -> bool:
            row = line.row + step
            return 0 <= row < 64 and self.levels[0].has(line._replace(row=row))

        pair = 1 if line.row % 2 == 0 else -1
        return (
            ("next-line" in self.prefetchers and has(-1))
            or ("adjacent-line" in self.prefetchers and has(pair))
            or (
                bool(self.prefetchers & {"stream", "stride"})
                and ((has(-1) and has(-2)) or (has(1) and has(2)))
            )
        )
