"""A build farm: make forks compilers, which exec, read sources, fill a heap, and exit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.errors import InputError
from mmu.jit import entry
from mmu.trace import (
    EVENT,
    EXEC,
    EXIT,
    FETCH,
    FORK,
    LOAD,
    MMAP,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    STORE,
    SWITCH,
    Chunk,
)
from workloads.generators.parameters import (
    ACCESSES,
    ARENA,
    HEAP,
    WORD,
    Parameter,
    mapped,
    size,
    stream,
)
from workloads.generators.randoms import unit

SUMMARY = (
    "make -j: compilers forked and exec'd side by side, each with text, sources and a growing "
    "heap (kernel compiles, the usual load for shadow paging: Adams and Agesen, ASPLOS 2006)"
)
PARAMETERS = {
    "jobs": Parameter(4, "compilers at a time, as make -j", least=1, most=1000),
    "job": Parameter(200_000, "accesses of a compiler, from its exec to its exit"),
    "quantum": Parameter(10_000, "accesses from one context switch to the next, a divisor of job"),
    "text": size(4 << 20, "bytes of the compiler's text"),
    "sources": size(1 << 20, "bytes of the sources that it maps and reads"),
    "heap": size(4 << 20, "bytes of heap that it fills as it goes"),
    "accesses": ACCESSES,
}

_MAKE, _FIRST, _PIDS = 1, 2, 32_000
_TEXT, _SOURCES = ARENA + (1 << 38), ARENA
_OWN = 1 << 20  # bytes of make's heap

# Of a compiler's accesses: fetches, loads of sources, loads of its heap; the rest are
# stores to the heap's growing end. Assumptions, near to what cc1 does under Valgrind.
_FETCHES, _READS, _LOADS = 0.6, 0.05, 0.2
_HOT = 0.9  # of fetches, to a sixteenth of the text


@entry
def _fill(first, address, kind, seed, jobs, job, quantum, text, sources, heap):
    """A compiler's next access, by how far it has come."""
    for position in range(address.size):
        at = first + position
        slice_, offset = divmod(at, quantum)
        progress = (slice_ // jobs * quantum + offset) % job
        drawn, place = unit(seed, 2 * at), unit(seed, 2 * at + 1)
        grown = WORD * (1 + progress * (heap // WORD - 1) // job)
        what = LOAD
        if drawn < _FETCHES:
            what = FETCH
            length = text >> 4 if drawn < _FETCHES * _HOT else text
            where = _TEXT + np.int64(place * (length // WORD)) * WORD
        elif drawn < _FETCHES + _READS:
            where = _SOURCES + progress * (sources // WORD) // job * WORD
        elif drawn < _FETCHES + _READS + _LOADS:
            where = HEAP + np.int64(place * (grown // WORD)) * WORD
        else:
            where = HEAP + grown - WORD
            what = STORE
        address[position] = where
        kind[position] = what


def _events(first: int, count: int, parameters: dict[str, int | float]) -> np.ndarray:
    """What happens at the beginnings of time slices."""
    jobs, job, quantum = (int(parameters[name]) for name in ("jobs", "job", "quantum"))
    lengths = {name: int(parameters[name]) for name in ("text", "sources", "heap")}
    rows: list[tuple[int, ...]] = []
    for slice_ in range(-(-first // quantum), -(-(first + count) // quantum)):
        turn, slot = divmod(slice_, jobs)
        number, progress = divmod(turn * quantum, job)
        pid = _FIRST + (number * jobs + slot) % _PIDS
        at = slice_ * quantum - first
        if progress == 0:
            rows.append((at, SWITCH, _MAKE, 0, 0, 0))
            if number:
                rows.append((at, EXIT, _FIRST + ((number - 1) * jobs + slot) % _PIDS, 0, 0, 0))
            rows.append((at, FORK, _MAKE, 0, 0, pid))
            rows.append((at, SWITCH, pid, 0, 0, 0))
            rows.append((at, EXEC, pid, 0, 0, 0))
            for start, name, rights in (
                (_TEXT, "text", PROT_READ | PROT_EXEC),
                (_SOURCES, "sources", PROT_READ),
                (HEAP, "heap", PROT_READ | PROT_WRITE),
            ):
                rows.append((at, MMAP, pid, start, lengths[name], rights))
        else:
            rows.append((at, SWITCH, pid, 0, 0, 0))
    return np.array(rows, EVENT)


def check(parameters: dict[str, int | float]) -> None:
    if int(parameters["job"]) % int(parameters["quantum"]):
        raise InputError(
            f"buildfarm: quantum={parameters['quantum']}: expected a divisor of "
            f"job={parameters['job']}"
        )


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    numbers = [int(parameters[name])
               for name in ("jobs", "job", "quantum", "text", "sources", "heap")]  # fmt: skip
    first = 0
    for chunk in stream(
        int(parameters["accesses"]),
        mapped((HEAP, _OWN)),
        lambda first, address, kind: _fill(first, address, kind, seed, *numbers),
    ):
        events = _events(first, chunk.accesses, parameters)
        yield chunk._replace(events=np.concatenate([chunk.events, events]))
        first += chunk.accesses
