"""fork/mmap churn: what build farms, shells and pre-forking servers do to page tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.trace import (
    EVENT,
    EXIT,
    FORK,
    LOAD,
    MMAP,
    MUNMAP,
    PROT_READ,
    PROT_WRITE,
    STORE,
    SWITCH,
    Chunk,
)
from workloads.generators.parameters import ACCESSES, ARENA, CHUNK, HEAP, WORD, Parameter, size

SUMMARY = (
    "a parent forks children that write part of its heap, map an arena, use and unmap it, "
    "and exit (lmbench lat_proc, McVoy and Staelin, USENIX ATC 1996; the worst case of "
    "shadow paging, Adams and Agesen, ASPLOS 2006)"
)
PARAMETERS = {
    "heap": size(1 << 20, "bytes of the parent's heap, all resident"),
    "arena": size(256 << 10, "bytes that each child maps, writes and unmaps"),
    "writes": Parameter(64, "pages of the heap that a child writes (copy-on-write breaks)",
                        least=0),
    "work": Parameter(5000, "loads of the heap by a child, a quarter as many by the parent",
                      least=0),
    "accesses": ACCESSES,
}  # fmt: skip

_PAGE, _LINE = 4096, 64
_PARENT, _FIRST_CHILD, _LAST_PID = 1, 2, 32768  # Linux's default pid_max


class _Builder:
    """Collects accesses and events, and cuts them into chunks."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self._start_over()

    def _start_over(self) -> None:
        self.count = 0
        self._address: list[np.ndarray] = []
        self._kind: list[np.ndarray] = []
        self._events: list[tuple[int, int, int, int, int, int]] = []

    def access(self, address: np.ndarray, kind: int) -> None:
        address = address[: self.left].astype(np.int64)
        self._address.append(address)
        self._kind.append(np.full(len(address), kind, np.uint8))
        self.count += len(address)
        self.left -= len(address)

    def event(self, kind: int, pid: int, start: int = 0, length: int = 0, value: int = 0) -> None:
        if self.left:
            self._events.append((self.count, kind, pid, start, length, value))

    def take(self) -> Chunk:
        chunk = Chunk(
            np.concatenate(self._address),
            np.concatenate(self._kind),
            np.full(self.count, WORD, np.uint16),
            np.array(self._events, EVENT),
        )
        self._start_over()
        return chunk


def _one_child(build: _Builder, pid: int, random: np.random.Generator, values: dict) -> None:
    heap, arena = int(values["heap"]), int(values["arena"])
    work = int(values["work"])
    build.event(FORK, _PARENT, value=pid)
    build.event(SWITCH, pid)
    pages = random.integers(0, heap // _PAGE, int(values["writes"]))
    build.access(HEAP + pages * _PAGE, STORE)
    build.event(MMAP, pid, ARENA, arena, PROT_READ | PROT_WRITE)
    build.access(ARENA + np.arange(0, arena, _LINE), STORE)
    build.access(HEAP + random.integers(0, heap // WORD, work) * WORD, LOAD)
    build.event(MUNMAP, pid, ARENA, arena)
    build.event(EXIT, pid)
    build.event(SWITCH, _PARENT)
    build.access(HEAP + random.integers(0, heap // WORD, work // 4 + 1) * WORD, STORE)


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    build = _Builder(int(parameters["accesses"]))
    random = np.random.default_rng(seed)
    heap = int(parameters["heap"])
    build.event(MMAP, _PARENT, HEAP, heap, PROT_READ | PROT_WRITE)
    for start in range(0, heap, CHUNK * _LINE):
        build.access(HEAP + np.arange(start, min(heap, start + CHUNK * _LINE), _LINE), STORE)
        if build.count >= CHUNK:
            yield build.take()
    pid = _FIRST_CHILD
    while build.left:
        _one_child(build, pid, random, parameters)
        pid = pid + 1 if pid < _LAST_PID else _FIRST_CHILD
        if build.count >= CHUNK:
            yield build.take()
    if build.count:
        yield build.take()
