"""A generator's accesses, made for real: the same loads and stores over memory of this machine.

Where each load's address is the value of the one before (a chase), the accesses are a linked list,
and the loads are its steps. All else goes by arrays of indices, which prefetchers fetch: about an
eighth of a line an access. Where some accesses have addresses that a load has made, each of them
adds that load's value, which is 0, so that it waits for it as in the program (through a ring of
the last RING values; what lies farther back is known by then). Each of the three is a loop of its
own, of as few instructions as it needs: what a reorder window holds of a loop is what it can hide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import (
    INDEPENDENT,
    LOAD,
    MMAP,
    NO_EVENTS,
    STORE,
    UNKNOWN,
    Chunk,
    Trace,
    origin,
)  # fmt: skip
from mmulab.workloads.probes import chase, memory
from mmulab.workloads.probes.memory import HUGE, PAGE, WORD
from mmulab.workloads.probes.timing import Run, Sample, sample, timed

RING = 1024  #: values that are kept for accesses to depend on
_NOTHING = RING  # a place in the ring that stays 0
_PIECES, _PIECE = 500, 1_000_000  # at most so many, each of about so many ns


#: Instructions of an access in each of the loops, counted in the machine code for x86-64 that
#: numba 0.68 makes: a load's, without the loop's own, as it is unrolled.
LOOPS = {"linked": 1, "independent": 4, "dependent": 11}


# Counters are unsigned: a signed one, maybe counted from the end, takes four instructions more at
# each array.
@entry
def _independent(words, index, kind, first, last):
    """Accesses first to last, none of which waits for another. index: words."""
    seen = np.uint64(0)
    at = first
    while at < last:
        if kind[at] == STORE:
            words[index[at]] = np.uint64(0)
        else:
            seen += words[index[at]]
        at += np.uint64(1)
    return seen


@entry
def _dependent(words, index, source, kind, ring, first, last):
    """Accesses first to last. index: words. source: places in the ring, whose values are 0."""
    seen = np.uint64(0)
    at = first
    while at < last:
        zero = ring[source[at]]
        place = index[at] + zero
        if kind[at] == STORE:
            words[place] = zero
        else:
            value = words[place]
            ring[at & np.uint64(RING - 1)] = value
            seen += value
        at += np.uint64(1)
    return seen


@dataclass(frozen=True)
class Accesses:
    """A trace as words of one region: where its mappings lie one after another, at multiples of
    2 MiB. index: uint64, word of each access. kind: uint8. source: uint16, place in the ring.
    loop: the one of LOOPS that makes them. starts: each mapping's (address, length, first word)."""

    name: str
    index: np.ndarray
    kind: np.ndarray
    source: np.ndarray
    loop: str
    starts: tuple[tuple[int, int, int], ...]

    @property
    def size(self) -> int:
        """Bytes of the region."""
        _, length, word = self.starts[-1]
        return word * WORD + -(-length // HUGE) * HUGE


def load(trace: Trace) -> Accesses:
    """The accesses of a trace of one process that maps all of its memory at the start.

    Raises InputError for another, or an access outside of its mappings.
    """
    chunks = list(trace.chunks(("depends",)))
    events = np.concatenate([chunk.events for chunk in chunks])
    if (events["kind"] != MMAP).any() or events["position"].any():
        raise InputError(f"{trace.name}: it maps memory as it runs; that can't be made for real")
    starts, word = [], 0
    for event in events:
        starts.append((int(event["start"]), int(event["length"]), word))
        word += -(-int(event["length"]) // HUGE) * HUGE // WORD
    address = np.concatenate([chunk.address for chunk in chunks])
    kind = np.concatenate([chunk.kind for chunk in chunks])
    depends = np.concatenate(
        [np.zeros(chunk.accesses) if chunk.depends is None else chunk.depends for chunk in chunks]
    ).astype(np.int64)
    index = np.full(address.size, -1, np.int64)
    for start, length, word in starts:
        inside = (address >= start) & (address < start + length)
        index[inside] = word + (address[inside] - start) // WORD
    if (index < 0).any():
        raise InputError(f"{trace.name}: an access lies in none of its mappings")
    position = np.arange(address.size)
    known = (depends != UNKNOWN) & (depends != INDEPENDENT) & (depends < RING)
    source = np.where(known, (position - depends) & (RING - 1), _NOTHING).astype(np.uint16)
    loop = "dependent" if known.any() else "independent"
    if (depends[1:] == 1).all() and (kind == LOAD).all():
        loop = "linked"
    return Accesses(trace.name, index.astype(np.uint64), kind, source, loop, tuple(starts))


def measure(accesses: Accesses, pages: str, seconds: float, least: int = 3) -> Sample:
    """ns an access of the second half, right after the first, in pages of "4k" or "2m"; all memory
    has been touched before. Raises RunError where there is no such memory.

    The second half is timed in pieces. Of each, the runs are judged apart, so that what else runs
    on the machine does not have to keep still for the whole of it.
    """
    with memory.reserved(accesses.size, pages) as words:
        step = _linked(words, accesses) if accesses.loop == "linked" else _indexed(words, accesses)
        half, end = accesses.index.size // 2, accesses.index.size
        step(0, half)  # compiled
        pieces = _pieces(half, end, timed(lambda: step(half, end), end - half).ns)
        runs: list[list[Run]] = [[] for _ in pieces]
        until = time.monotonic() + seconds
        while len(runs[0]) < least or time.monotonic() < until:
            step(0, half)
            for found, (first, last) in zip(runs, pieces, strict=True):
                found.append(timed(lambda: step(first, last), last - first))  # noqa: B023
    samples = [sample(each) for each in runs]
    value, low, median, high = np.mean([each[:4] for each in samples], axis=0).tolist()
    return Sample(value, low, median, high, min(each.runs for each in samples))


def _pieces(first: int, last: int, ns: float) -> list[tuple[int, int]]:
    """(first, last) of each piece of accesses that take so many ns each."""
    count = min(_PIECES, max(1, int((last - first) * ns / _PIECE)))
    edges = np.linspace(first, last, count + 1).astype(int).tolist()
    return list(zip(edges, edges[1:], strict=False))


def work(loop: str, seconds: float) -> Sample:
    """ns an access that takes no more than a loop itself: all of it in the first cache. It is the
    program's, not the processor's: what a simulation has as `work_per_access`."""
    spec = "chase:size=4K" if loop == "linked" else "gups:size=8K,init=0"
    accesses = load(workloads.resolve(f"{spec},accesses=400K"))
    return measure(replace(accesses, loop=loop), "4k", seconds, least=5)


def _linked(words: np.ndarray, accesses: Accesses) -> Callable[[int, int], None]:
    index = accesses.index.astype(np.int64)
    again = np.flatnonzero(index[1:] == index[0])
    order = index[: again[0] + 1] if again.size else index
    chase.link(words, order)
    at = np.uint64(order[0])

    def step(first: int, last: int) -> None:
        nonlocal at
        begin = np.uint64(order[0]) if first == 0 else at
        at = np.uint64(chase.follow(words, begin, np.int64(last - first)))

    return step


def _indexed(words: np.ndarray, accesses: Accesses) -> Callable[[int, int], None]:
    index, source, kind = accesses.index, accesses.source, accesses.kind
    if accesses.loop == "independent":
        return lambda first, last: _independent(
            words, index, kind, np.uint64(first), np.uint64(last)
        )
    ring = np.zeros(RING + 1, np.uint64)
    return lambda first, last: _dependent(
        words, index, source, kind, ring, np.uint64(first), np.uint64(last)
    )


class Touched:
    """A trace with a store to each page of its mappings before all else, as the real memory has
    been touched. The warm-up is that and half of the accesses. loop: see `Accesses`."""

    def __init__(self, trace: Trace, accesses: Accesses) -> None:
        self.name = trace.name
        self.origin = origin(trace)
        self._trace = trace
        self._pages = np.concatenate(
            [np.arange(start, start + length, PAGE) for start, length, _ in accesses.starts]
        )
        self.loop = accesses.loop
        self._half = accesses.index.size // 2
        self._count = accesses.index.size

    @property
    def length(self) -> int:
        return self._pages.size + self._count

    @property
    def warmup(self) -> int:
        """Accesses before those that are measured."""
        return self._pages.size + self._half

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        count = self._pages.size
        size = np.full(count, WORD, np.uint16)
        kind = np.full(count, STORE, np.uint8)
        independent = np.full(count, INDEPENDENT, np.uint16) if "depends" in columns else None
        first = True
        for chunk in self._trace.chunks(columns):
            if first:
                yield Chunk(self._pages, kind, size, chunk.events, depends=independent)
                chunk, first = chunk._replace(events=NO_EVENTS), False
            yield chunk
