"""What a guest OS would let a trace do: live processes, their mappings and the protection."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

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
    PROT_READ,
    PROT_WRITE,
    SWITCH,
    Chunk,
)

Region = tuple[int, int]  # first byte, one past the last

NEEDED = np.array([PROT_READ, PROT_WRITE, PROT_EXEC])  # by kind of access


class ProcessModel:
    """Runs chunks. AssertionError where a trace is not one that processes could have made:

    an access or an event of a process that is not alive, or not running; a mapping over
    another, or half unmapped; an access that no mapping allows.

    unborn: a switch to a pid that is not known begins a process without memory, as vfork does.
    """

    def __init__(self, *pids: int, unborn: bool = False) -> None:
        self.maps: dict[int, dict[Region, int]] = {pid: {} for pid in pids}
        self.heap: dict[int, Region] = {}
        self.current = 1
        self.unborn = unborn
        self.most = len(pids)  # processes that were alive at a time

    def run(self, chunk: Chunk) -> None:
        position = chunk.events["position"]
        assert (np.diff(position) >= 0).all()
        assert ((position >= 0) & (position <= chunk.accesses)).all()
        for start, end, event in pieces(chunk):
            self._access(chunk.address[start:end], chunk.kind[start:end], chunk.size[start:end])
            if event is not None:
                self._happen(*event[1:])

    def _access(self, address: np.ndarray, kind: np.ndarray, size: np.ndarray) -> None:
        if not len(address):
            return
        assert self.current in self.maps
        allowed = np.zeros(len(address), bool)
        for (low, high), protection in self.maps[self.current].items():
            allowed |= (address >= low) & (address + size <= high) & (NEEDED[kind] & protection > 0)
        assert allowed.all(), hex(address[~allowed][0])

    def _happen(self, kind: int, pid: int, start: int, length: int, value: int) -> None:
        if kind == SWITCH and self.unborn and pid not in self.maps:
            self.maps[pid] = {}
        assert pid in self.maps
        regions = self.maps[pid]
        region = (start, start + length)
        if kind == MMAP:
            assert length > 0
            assert all(region[1] <= low or high <= start for low, high in regions)
            regions[region] = value
        elif kind == MPROTECT:
            assert region in regions
            regions[region] = value
        elif kind == MUNMAP:
            del regions[region]
        elif kind == BRK:
            self._move_break(pid, start)
        elif kind == FORK:
            assert value not in self.maps
            self.maps[value] = dict(regions)
            if pid in self.heap:
                self.heap[value] = self.heap[pid]
            self.most = max(self.most, len(self.maps))
        elif kind == EXEC:
            self.maps[pid] = {}
            self.heap.pop(pid, None)
        elif kind == EXIT:
            del self.maps[pid]
            self.heap.pop(pid, None)
        elif kind == CONTENT:
            assert value >= 0
            assert any(low <= start and start + length <= high for low, high in regions)
        else:
            assert kind == SWITCH
            self.current = pid

    def _move_break(self, pid: int, end: int) -> None:
        if pid not in self.heap:
            self.heap[pid] = (end, end)
            return
        base, old = self.heap[pid]
        assert end >= base
        self.maps[pid].pop((base, old), None)
        assert all(end <= low or high <= base for low, high in self.maps[pid])
        self.heap[pid] = (base, end)
        self.maps[pid][base, end] = PROT_READ | PROT_WRITE


def pieces(chunk: Chunk) -> Iterator[tuple[int, int, tuple[int, ...] | None]]:
    """(start, end, event that follows) of the accesses between events."""
    start = 0
    for event in chunk.events.tolist():
        yield start, event[0], event
        start = event[0]
    yield start, chunk.accesses, None
