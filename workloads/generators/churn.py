"""fork/mmap churn: what a shell that runs one program after another does to page tables.

After the parent has written its heap, one round follows another:

    FORK, SWITCH to the child
        the child stores to pages of the heap        copy-on-write breaks
    MMAP of an arena
        stores to each line of the arena             first touches
    MPROTECT of the arena, read-only (as a loader or a JIT does with what it has written)
        loads of each page of the arena, then of the heap
    MUNMAP, EXIT, SWITCH to the parent
        the parent stores to part of the heap        copy-on-write breaks again

The defaults are those of the bundled trace @shell, in which dash forks and runs six programs. Of
its 678,682 accesses of data, 1,356 are first touches of a page and 77 break a sharing: for each
fork 113,000 accesses, 226 first touches and 13 breaks. dash has written 30 pages when it forks. The
one arena stands for the 22 mappings that each program makes there; exec is not modelled, since
what it takes from a page table, EXIT takes too. `microchurn` is the same with rounds so short that
almost nothing but page-table changes is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import (
    EVENT,
    EXIT,
    FORK,
    LOAD,
    MMAP,
    MPROTECT,
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
    LARGEST_ARENA,
    WORD,
    Parameter,
    mapped,
    size,
    stream,
)
from mmulab.workloads.generators.randoms import below
from mmulab.workloads.generators.steps import FIRST_CHILD, LAST_PID, PARENT

SUMMARY = (
    "a parent forks children that write part of its heap, map an arena, use, protect and "
    "unmap it, and exit, at the rates of a shell that runs programs (the trace @shell)"
)
PARAMETERS = {
    "heap": size(120 << 10, "bytes of the parent's heap, all resident; what @shell's shell has "
                 "written when it forks"),
    "parent": size(24 << 10, "bytes at the heap's beginning that the parent stores to, no more "
                   "than the heap: with writes, the 13 copy-on-write breaks a fork of @shell"),
    "arena": size(904 << 10, "bytes that each child maps, writes, protects and unmaps; the 226 "
                  "first touches a fork of @shell", LARGEST_ARENA),
    "writes": Parameter(8, "stores of a child to random pages of the heap", least=0),
    "work": Parameter(78_640, "loads of the heap by a child; then a quarter as many stores, "
                      "plus one, by its parent: with writes and arena, the accesses from "
                      "one fork to the next, 113,000 in @shell", least=0),
    "accesses": ACCESSES,
}  # fmt: skip

_PAGE, _LINE = 4096, 64


class _Round(NamedTuple):
    """Where the phases of a round end, in accesses from its FORK."""

    written: int  # the child's stores to the heap
    filled: int  # its stores to the arena
    checked: int  # its loads of the arena
    worked: int  # its loads of the heap
    end: int  # the parent's stores to the heap


def _round(parameters: dict[str, int | float]) -> _Round:
    arena, work = int(parameters["arena"]), int(parameters["work"])
    written = int(parameters["writes"])
    filled = written + (arena - WORD) // _LINE + 1
    checked = filled + (arena - WORD) // _PAGE + 1
    return _Round(written, filled, checked, checked + work, checked + work + work // 4 + 1)


@entry
def _fill(first, address, kind, seed, initial, heap, parent, phases):
    written, filled, checked, worked, end = phases
    pages = (heap - WORD) // _PAGE + 1
    step = (first - initial) % end if first > initial else 0
    for position in range(address.size):
        at = first + position
        if at < initial:
            address[position] = HEAP + at * _LINE
            kind[position] = STORE
            continue
        if step < written:
            address[position] = HEAP + below(seed, at, pages) * _PAGE
        elif step < filled:
            address[position] = ARENA + (step - written) * _LINE
        elif step < checked:
            address[position] = ARENA + (step - filled) * _PAGE
        else:
            length = heap if step < worked else parent
            address[position] = HEAP + below(seed, at, length // WORD) * WORD
        kind[position] = LOAD if filled <= step < worked else STORE
        step = step + 1 if step + 1 < end else 0


def _events(first: int, count: int, initial: int, arena: int, phases: _Round) -> np.ndarray:
    """The rounds' events at accesses first, ..., first + count - 1."""
    child = 0  # stands for the round's child
    template = np.array(
        [
            (0, FORK, PARENT, 0, 0, child),
            (0, SWITCH, child, 0, 0, 0),
            (phases.written, MMAP, child, ARENA, arena, PROT_READ | PROT_WRITE),
            (phases.filled, MPROTECT, child, ARENA, arena, PROT_READ),
            (phases.worked, MUNMAP, child, ARENA, arena, 0),
            (phases.worked, EXIT, child, 0, 0, 0),
            (phases.worked, SWITCH, PARENT, 0, 0, 0),
        ],
        EVENT,
    )
    begin = max(0, (first - initial) // phases.end)
    rounds = np.arange(begin, max(begin, -(-(first + count - initial) // phases.end)))
    events = np.tile(template, (len(rounds), 1))
    pids = (FIRST_CHILD + rounds % (LAST_PID - FIRST_CHILD + 1))[:, None]
    events["position"] += (initial + rounds * phases.end)[:, None] - first
    events["pid"] = np.where(events["pid"] == child, pids, events["pid"])
    events["value"] = np.where(events["kind"] == FORK, pids, events["value"])
    position = events["position"]
    return events[(position >= 0) & (position < count)]


def depends(parameters: dict[str, int | float]) -> Depends:
    """Counters and random numbers make all addresses."""
    return independent


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    heap, arena = int(parameters["heap"]), int(parameters["arena"])
    parent = min(heap, int(parameters["parent"]))
    phases = _round(parameters)
    initial = (heap - WORD) // _LINE + 1
    first = 0
    for chunk in stream(
        int(parameters["accesses"]),
        mapped((HEAP, heap)),
        lambda first, address, kind: _fill(
            first, address, kind, seed, initial, heap, parent, phases
        ),
    ):
        events = _events(first, chunk.accesses, initial, arena, phases)
        yield chunk._replace(events=np.concatenate([chunk.events, events]))
        first += chunk.accesses
