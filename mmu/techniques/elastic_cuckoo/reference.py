"""Hashed tables read line by line, with no look-up: what should be in them, and where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mmulab.mmu.hardware.state import MOST_WAYS, PAGE_SIZES
from mmulab.mmu.memory.entries import EPT_D, EPT_RWX, EPT_W, EPT_X, FRAME, RW, XD, D
from mmulab.mmu.memory.state import GPT_PAGE, NPT_PAGE
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.elastic_cuckoo.state import HOST, KERNEL, PROCESSES, CuckooState
from mmulab.mmu.techniques.reference import RIGHTS, Entry, Page, Reference, Tables, fail

_LOW = (1 << 52) - 1 | 31 << 58 | 1 << 63  # bits of an entry that are no tag's
_MASK = (1 << 42) - 1


class Line(NamedTuple):
    """A line that is not empty: way, its entries without the tag, as signed numbers."""

    way: int
    entries: list[int]


#: (page size, tag) -> line.
Lines = dict[tuple[int, int], Line]


def hashed(tag: int, way: int, lines: int) -> int:
    """Where a tag belongs in a way of so many lines."""
    x = (tag ^ (way + 1) * 0x9E3779B1 ^ lines * 0x85EBCA6B) & _MASK
    x = (x ^ x >> 21) * 0x5851F & _MASK
    x = (x ^ x >> 19) * 0x6C8E9 & _MASK
    return (x ^ x >> 21) % lines


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


class CuckooReference(nested.NestedReference):
    """The guest's record, and the host's hashed tables, or one segment, below it."""

    def __init__(self, tables: Tables) -> None:
        Reference.__init__(self, tables)
        self.state: CuckooState = tables.vm.private  # type: ignore[assignment]
        self.root = int(self.state.root[0])
        self.native = bool(self.state.record[0]["native"])
        self.of_guest = bool(self.state.record[0]["of_guest"])
        self._lines: dict[int, Lines] = {}

    def nested_entries(self) -> Iterator[Entry]:
        return iter(())

    # --- Lines ----------------------------------------------------------------------------

    def _ways(self, owner: int) -> Iterator[tuple[int, int, Any]]:
        """(page size, way, record) of an owner's tables that there are."""
        for size in range(PAGE_SIZES):
            for number in range(MOST_WAYS):
                way = self.state.way[(owner * PAGE_SIZES + size) * MOST_WAYS + number]
                if way["lines"]:
                    yield size, number, way

    def _frames(self, owner: int) -> Iterator[int]:
        for _, _, way in self._ways(owner):
            yield from range(way["base"], way["base"] + way["lines"] // 64)
            if way["next_lines"]:
                yield from range(way["next_base"], way["next_base"] + way["next_lines"] // 64)

    def _owners(self) -> list[int]:
        """Those of the guest's tables."""
        return [KERNEL, *(PROCESSES + process for process in self.tables.processes())]

    def lines(self, owner: int) -> Lines:
        """All lines of an owner that are not empty. Fails where one is where it does not belong."""
        if owner in self._lines:
            return self._lines[owner]
        found: Lines = {}
        for size, number, way in self._ways(owner):
            here = [(way["base"], way["lines"], int(way["pointer"]))]
            here += [(way["next_base"], way["next_lines"], 0)] * bool(way["next_lines"])
            for is_next, (base, count, start) in enumerate(here):
                for at, words in self._words(owner, int(base), int(count)):
                    tag = sum((word >> 52 & 63) << 6 * i for i, word in enumerate(words))
                    old = hashed(tag, number, int(way["lines"]))
                    moved = old < way["pointer"]
                    belongs = hashed(tag, number, int(count)) == at and moved == bool(is_next)
                    if not belongs or at < start or (size, tag) in found:
                        what = f"line {at} of way {number}, page size {size}: tag {tag:#x}"
                        fail(self.tables.where, "a line is in its place, once", what)
                    entries = [_signed(word & _LOW) for word in words]
                    found[size, tag] = Line(number, entries)
        self._lines[owner] = found
        return found

    def _words(self, owner: int, base: int, count: int) -> Iterator[tuple[int, list[int]]]:
        """(number, words) of the lines that are not empty, from a frame on."""
        for frame in range(base, base + count // 64):
            hfn = frame if owner == HOST else self.tables.hfn_of(frame)
            contents = self.tables.contents(hfn)
            assert contents is not None
            each = contents.reshape(64, 8)
            for line in np.flatnonzero((each & 7).any(axis=1)).tolist():
                words = [int(word) & (1 << 64) - 1 for word in each[line]]
                yield (frame - base) * 64 + line, words

    def _entry(self, owner: int, page: int) -> tuple[int, int, int] | None:
        """(entry, page size, way) of a 4 KiB page."""
        for size in range(PAGE_SIZES):
            number = (page & (1 << 45) - 1) >> 9 * size
            line = self.lines(owner).get((size, number >> 3))
            if line and line.entries[number & 7] & EPT_RWX:
                return line.entries[number & 7], size, line.way
        return None

    # --- What a walk gives ------------------------------------------------------------------

    def below(self, gfn: int) -> tuple[int, int, int] | None:
        found = self._entry(HOST, gfn)
        if found is None:
            return None
        entry, size, _ = found
        return entry, ((entry & FRAME) >> 12) + (gfn & (1 << 9 * size) - 1), size

    def translate(self, process: int, page: int) -> Page | None:
        found = self._guest_page(process, page) if self.of_guest else None
        if not self.of_guest:
            return super().translate(process, page)
        if found and self.native:
            return found._replace(hfn=self.tables.hfn_of(found.hfn))
        below = self.below(found.hfn) if found else None
        if found is None or below is None:
            return None
        entry, hfn, size = below
        rights = found.rights & (~0 if entry & EPT_W else ~RW) | (0 if entry & EPT_X else XD)
        dirty = found.dirty and (not self.tables.regs["root_ad"] or bool(entry & EPT_D))
        return Page(hfn, min(found.size, size), rights, dirty)

    def _guest_page(self, process: int, page: int) -> Page | None:
        found = self._entry(KERNEL if page < 0 else PROCESSES + process, page)
        if found is None:
            return None
        entry, size, _ = found
        gfn = ((entry & FRAME) >> 12) + (page & (1 << 9 * size) - 1)
        return Page(gfn, size, entry & RIGHTS, bool(entry & D))

    # --- What walk caches may hold ------------------------------------------------------------

    def physical_uppers(self) -> dict[tuple[int, int], int]:
        """(level, region) -> entry of the host's walk table, of 2 MiB and 1 GiB."""
        found: dict[tuple[int, int], int] = {}
        for (size, tag), line in self.lines(HOST).items():
            for position, entry in enumerate(line.entries):
                page = (tag << 3 | position) << 9 * size
                for level in (2, 3):
                    key = level, page >> 9 * (level - 1)
                    own = size == level - 1
                    if entry & EPT_RWX and own:
                        found[key] = found.get(key, 0) | 1 << size | line.way << 3
                    elif size < level - 1:
                        found[key] = found.get(key, 0) | 1 << size
        return found

    def uppers(self, process: int) -> dict[tuple[int, int], tuple[int, int]]:
        if not self.of_guest:
            return super().uppers(process)
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for entry in self.entries(process):
            prefix = entry.address >> (12 + 9 * (entry.level - 1))
            if entry.level not in (2, 3):
                continue
            if not entry.is_leaf:
                found[entry.level, prefix] = (1 if entry.level == 2 else 3), 0
                continue
            owner = KERNEL if entry.address < 0 else PROCESSES + process
            there = self._entry(owner, entry.address >> 12)
            if there and there[1] == entry.level - 1:
                found[entry.level, prefix] = 1 << there[1] | there[2] << 3, 0
        return found

    # --- Frames and invariants -----------------------------------------------------------------

    def host_tables(self) -> dict[int, int]:
        if self.native:
            return {}
        regions = -(-len(self.tables.vm.p2m) // 512)
        count = 1 - (-(regions + 2 * -(-regions // 512)) // 512)
        own = [*range(self.root, self.root + count), *self._frames(HOST)]
        return dict.fromkeys((int(hfn) for hfn in own), NPT_PAGE)

    def reserved(self) -> dict[int, int]:
        frames = (int(gfn) for owner in self._owners() for gfn in self._frames(owner))
        return dict.fromkeys(frames, GPT_PAGE)

    def check(self) -> None:
        """Hashed tables hold the leaves of the record, the host's what backs each frame; lines are
        counted."""
        for owner in [HOST, *self._owners()]:
            table = self.state.table[owner * PAGE_SIZES : (owner + 1) * PAGE_SIZES]
            counted = int((table["used"] + table["moved"]).sum())
            if counted != len(self.lines(owner)):
                what = f"owner {owner}: {counted}, there are {len(self.lines(owner))}"
                fail(self.tables.where, "lines in use are counted", what)
        for (size, tag), line in self.lines(HOST).items():
            for position, entry in enumerate(line.entries):
                gfn = (tag << 3 | position) << 9 * size
                if entry & EPT_RWX and self.tables.hfn_of(gfn) != (entry & FRAME) >> 12:
                    fail(self.tables.where, "the host's table holds what backs", f"gfn {gfn:#x}")
        for process in self.tables.processes() if self.of_guest else ():
            self._check_guest(process)

    def _check_guest(self, process: int) -> None:
        for negative, owner in ((False, PROCESSES + process), (True, KERNEL)):
            recorded = {
                (leaf.level - 1, leaf.address >> 12 & (1 << 45) - 1): leaf.value
                for leaf in self.entries(process)
                if leaf.is_leaf and (leaf.address < 0) == negative
            }
            there = {
                (size, (tag << 3 | position) << 9 * size): entry
                for (size, tag), line in self.lines(owner).items()
                for position, entry in enumerate(line.entries)
                if entry & 1
            }
            if recorded != there:
                differ = recorded.items() ^ there.items()
                what = ", ".join(f"{key}: {value:#x}" for key, value in sorted(differ)[:4])
                fail(self.tables.where, "hashed tables hold the record's leaves", what)
