"""What accesses are blamed by: regions of memory, ranges of addresses, instructions."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.memory.entries import PAGE_SHIFT
from mmulab.mmu.trace import (
    BRK,
    CONTENT,
    EXEC,
    EXIT,
    FORK,
    MMAP,
    MPROTECT,
    MUNMAP,
    PROT_EXEC,
    PROT_WRITE,
    SWITCH,
    Chunk,
)

KERNEL, HEAP, STACK, FILE, CODE, WRITABLE, READ_ONLY, PROGRAM = range(8)

#: Regions by number. What is in no mapping of the trace is the program's own file: its code, data
#: and bss are mapped before a recording begins.
REGIONS = (
    "kernel", "heap", "stack", "mapped file", "mapped code", "mapped, writable",
    "mapped, read only", "program",
)  # fmt: skip

#: Where a process's first stack lies that is in no mapping: below the top of the address space on
#: Linux, and where Valgrind puts it, below 0x1fff001000 on amd64 (seen in recordings).
_STACKS = ((0x1F_FE00_0000, 0x1F_FF00_1000), (0x7FF0_0000_0000, 0x8000_0000_0000))

_OF_FILES = 1 << 62  # tags of pages of files: see mmu.trace


class Labels(Protocol):
    """Names accesses by number.

    columns: of the trace that it goes by. of: the numbers of a chunk's accesses, int64[n]; chunks
    come in order. name: what a number stands for.
    """

    columns: tuple[str, ...]

    def of(self, chunk: Chunk) -> np.ndarray: ...
    def name(self, label: int) -> str: ...


class Ranges:
    """By address, in ranges of as many bytes: a power of two, a page at least."""

    columns: tuple[str, ...] = ()

    def __init__(self, size: int) -> None:
        if size < 1 << PAGE_SHIFT or size & (size - 1):
            raise InputError(f"--range {size}: expected a power of two from 4K on")
        self._shift = size.bit_length() - 1

    def of(self, chunk: Chunk) -> np.ndarray:
        return np.asarray(chunk.address >> self._shift)

    def name(self, label: int) -> str:
        return f"{(label << self._shift) & (1 << 64) - 1:#x}"


class Instructions:
    """By the instruction that made them."""

    columns: tuple[str, ...] = ("ip",)

    def of(self, chunk: Chunk) -> np.ndarray:
        if chunk.ip is None:
            raise InputError(
                "the trace has no addresses of instructions; expected one with the column ip, as "
                "champsim, drmemtrace, lackey and perf have it"
            )
        return chunk.ip

    def name(self, label: int) -> str:
        return f"{label & (1 << 64) - 1:#x}" if label else "not known"


class Regions:
    """By what the trace's events say of the memory, process by process."""

    columns: tuple[str, ...] = ()

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._maps: dict[int, _Map] = {}

    def of(self, chunk: Chunk) -> np.ndarray:
        found = np.empty(chunk.accesses, np.int64)
        position = 0
        for event in chunk.events:
            stop = int(event["position"])
            found[position:stop] = self._map.of(chunk.address[position:stop])
            position = max(position, stop)
            self._heed(event)
        found[position:] = self._map.of(chunk.address[position:])
        return found

    @property
    def _map(self) -> _Map:
        return self._maps.setdefault(self._pid, _Map())

    def _heed(self, event: np.void) -> None:
        kind, pid, value = int(event["kind"]), int(event["pid"]), int(event["value"])
        start, end = int(event["start"]), int(event["start"] + event["length"])
        if kind == SWITCH:
            self._pid = pid
            return
        owner = self._maps.setdefault(pid, _Map())
        if kind == FORK:
            self._maps[value] = owner.copy()
        elif kind in (EXEC, EXIT):
            self._maps[pid] = _Map()
        elif kind == BRK:
            owner.grow(start)
        elif kind == MUNMAP:
            owner.put(start, end, PROGRAM)
        elif kind in (MMAP, MPROTECT):
            if kind == MMAP or owner.at(start) in (CODE, WRITABLE, READ_ONLY):
                owner.put(start, end, _by_rights(value))
        elif kind == CONTENT and value >= _OF_FILES and owner.at(start) == READ_ONLY:
            owner.put(start, end, FILE)

    def name(self, label: int) -> str:
        return REGIONS[label]


def _by_rights(value: int) -> int:
    if value & PROT_EXEC:
        return CODE
    return WRITABLE if value & PROT_WRITE else READ_ONLY


class _Map:
    """A process's memory: where each region begins, in order, and what it is."""

    def __init__(self) -> None:
        self._starts = [-(1 << 63), 0]
        self._regions = [KERNEL, PROGRAM]
        self._heap: int | None = None
        for start, end in _STACKS:
            self.put(start, end, STACK)

    def copy(self) -> _Map:
        other = _Map()
        other._starts, other._regions = list(self._starts), list(self._regions)
        other._heap = self._heap
        return other

    def of(self, address: np.ndarray) -> np.ndarray:
        places = np.searchsorted(self._starts, address, side="right") - 1
        return np.array(self._regions)[places]

    def at(self, address: int) -> int:
        return int(self.of(np.array([address]))[0])

    def put(self, start: int, end: int, region: int) -> None:
        """Makes [start, end) a region."""
        if start >= end:
            return
        last = min(end, (1 << 63) - 1)
        after = self.at(last)
        kept = [
            pair
            for pair in zip(self._starts, self._regions, strict=True)
            if pair[0] < start or pair[0] > last
        ]
        pairs = sorted([*kept, (start, region), (last, after)])
        self._starts, self._regions = [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def grow(self, end: int) -> None:
        """The heap ends there; the first such event sets where it begins."""
        if self._heap is None:
            self._heap = end
        self.put(self._heap, end, HEAP)
