"""Threads that share a mapping which one of them unmaps: what a TLB shootdown costs.

One round follows another:

    the first thread      MMAP of an arena; stores to each page of it; loads of the heap; ...
    each other thread     loads of each page of the arena, then of the heap
    the first thread      MUNMAP of the arena

A page is unmapped while every core has its translation, so that each is told: the microbenchmark of
Latr (Kumar et al., ASPLOS 2018), with other work besides. Threads are those of SWITCH events, so
that `compare --cores` puts them on cores; on one core it is a sequence of mappings.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import (
    EVENT,
    LOAD,
    MMAP,
    MUNMAP,
    PROT_READ,
    PROT_WRITE,
    STORE,
    SWITCH,
    Chunk,
)
from mmulab.workloads.generators.origins import Depends, independent
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    ARENA,
    HEAP,
    WORD,
    Parameter,
    mapped,
    size,
    stream,
)
from mmulab.workloads.generators.randoms import below

SUMMARY = (
    "threads share a mapping that one of them makes, and unmaps when all have used it (the "
    "microbenchmark of Latr, Kumar et al., ASPLOS 2018)"
)
PARAMETERS = {
    "threads": Parameter(16, "that use the mapping", most=1000),
    "pages": Parameter(1, "of the mapping, of 4 KiB", most=1 << 20),
    "heap": size(256 << 10, "bytes of the heap, which all threads load from"),
    "work": Parameter(500, "loads of the heap by each thread, a round", least=0),
    "accesses": ACCESSES,
}  # fmt: skip

_PAGE = 4096


@entry
def _fill(first, address, kind, seed, heap, pages, turn, threads):
    step = first % (turn * threads)
    for position in range(address.size):
        of_turn = step % turn
        if of_turn < pages:
            address[position] = ARENA + of_turn * _PAGE
        else:
            address[position] = HEAP + below(seed, first + position, heap // WORD) * WORD
        kind[position] = STORE if step < pages else LOAD
        step = step + 1 if step + 1 < turn * threads else 0


def _events(first: int, count: int, length: int, turn: int, threads: int) -> np.ndarray:
    """Those of the rounds at accesses first, ..., first + count - 1. length: of the arena."""
    whole = turn * threads
    switches = [(n * turn, SWITCH, 1, 0, 0, n + 1) for n in range(threads)]
    rights = PROT_READ | PROT_WRITE
    template = np.array(
        [
            *switches[: threads > 1],
            (0, MUNMAP, 1, ARENA, length, 0),
            (0, MMAP, 1, ARENA, length, rights),
            *switches[1:],
        ],
        EVENT,
    )
    rounds = np.arange(first // whole, -(-(first + count) // whole))
    events = np.tile(template, (len(rounds), 1))
    events["position"] += (rounds * whole)[:, None] - first
    # There is nothing to unmap before the first round.
    begins = (rounds == 0)[:, None] & (events["kind"] == MUNMAP)
    position = events["position"]
    return events[(position >= 0) & (position < count) & ~begins]


def depends(parameters: dict[str, int | float]) -> Depends:
    """Counters and random numbers make all addresses."""
    return independent


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    heap, pages, threads = (int(parameters[name]) for name in ("heap", "pages", "threads"))
    turn = pages + int(parameters["work"])
    first = 0
    for chunk in stream(
        int(parameters["accesses"]),
        mapped((HEAP, heap)),
        lambda first, address, kind: _fill(first, address, kind, seed, heap, pages, turn, threads),
    ):
        events = _events(first, chunk.accesses, pages * _PAGE, turn, threads)
        yield chunk._replace(events=np.concatenate([chunk.events, events]))
        first += chunk.accesses
