"""The heap of a managed runtime: a nursery that is copied out of, an old generation of two
halves that is copied between, cards that remember pointers from old to young."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.errors import InputError
from mmu.jit import entry, inlined
from mmu.trace import EVENT, LOAD, MMAP, MUNMAP, PROT_READ, PROT_WRITE, STORE, Chunk
from workloads.generators import parameters as shared
from workloads.generators.parameters import (
    ACCESSES,
    ARENA,
    HEAP,
    LARGEST_ARENA,
    SPARE,
    WORD,
    Parameter,
    mapped,
    size,
)
from workloads.generators.randoms import below, unit

SUMMARY = (
    "a generational copying collector under a program that allocates (Ungar 1984; Appel, "
    "Simple generational garbage collection, 1989; card marking as Hölzle, OOPSLA 1993)"
)
PARAMETERS = {
    "nursery": size(4 << 20, "bytes of the nursery"),
    "old": size(64 << 20, "bytes of each half of the old generation", LARGEST_ARENA // 4),
    "survival": Parameter(0.1, "fraction of objects that a minor collection copies; measured as "
                          "a few to some ten percent (Blackburn et al., DaCapo, OOPSLA 2006)",
                          "fraction", 0.0, 1.0),
    "live": Parameter(0.5, "fraction of the old generation that a major collection copies",
                      "fraction", 0.0, 0.9),
    "reads": Parameter(8, "loads of old objects for each object that is allocated", least=0,
                       most=40),
    "writes": Parameter(0.2, "fraction of allocations followed by a store of a pointer into an "
                        "old object, and to its card", "fraction", 0.0, 1.0),
    "accesses": ACCESSES,
}  # fmt: skip

_CARD = 512  # bytes of heap for a byte of the card table
_LEAST, _MOST = 2, 14  # words of an object; the mean is 8, an assumption
_BLOCK = 512  # bytes that live or die together in the old generation

# Places in the state. FIRST and OBJECT count objects: FIRST is the nursery's first.
_PHASE, _FIRST, _OBJECT, _TOP, _OLD, _HALF, _SCAN, _WORD, _TO = range(9)
_MUTATOR, _MINOR, _CARDS, _MAJOR, _BEGIN_MAJOR, _END_MAJOR = range(6)  # phases


@inlined
def _words(seed, number):
    return _LEAST + below(seed, 4 * number, _MOST - _LEAST + 1)


@entry
def _fill(address, kind, state, seed, nursery, old, survival, live, reads, writes, cards):
    """An object allocated, or a word copied, or a card's word scanned, a turn. Stops
    early where a half of the old generation is to be mapped or unmapped."""
    limit = address.size - SPARE
    count = 0
    while count < limit:
        base = ARENA + state[_HALF] * old
        phase = state[_PHASE]
        if phase == _MUTATOR:
            number = state[_OBJECT]
            words = _words(seed, number)
            if state[_TOP] + words * WORD > nursery:
                state[_PHASE], state[_SCAN] = _CARDS, 0
                continue
            for word in range(words):
                address[count] = HEAP + state[_TOP] + word * WORD
                kind[count] = STORE
                count += 1
            state[_TOP] += words * WORD
            state[_OBJECT] = number + 1
            used = state[_OLD] // WORD
            if used:
                for read in range(reads):
                    address[count] = base + below(seed, 64 * number + read, used) * WORD
                    kind[count] = LOAD
                    count += 1
                if unit(seed, 4 * number + 1) < writes:
                    place = below(seed, 4 * number + 2, used) * WORD
                    address[count] = base + place
                    address[count + 1] = cards + place // _CARD // WORD * WORD
                    kind[count], kind[count + 1] = STORE, STORE
                    count += 2
        elif phase == _CARDS:  # of the old generation in use, a word of eight cards at a time
            if state[_SCAN] * _CARD * WORD >= state[_OLD]:
                state[_PHASE], state[_SCAN], state[_WORD] = _MINOR, state[_FIRST], 0
                state[_TOP] = 0
                continue
            address[count] = cards + state[_SCAN] * WORD
            kind[count] = LOAD
            count += 1
            state[_SCAN] += 1
        elif phase == _MINOR:
            number = state[_SCAN]
            if number == state[_OBJECT]:
                state[_FIRST], state[_TOP], state[_PHASE] = number, 0, _MUTATOR
                if state[_OLD] + nursery > old:
                    state[_PHASE] = _BEGIN_MAJOR
                    return count
                continue
            words = _words(seed, number)
            if unit(seed, 4 * number + 3) < survival:
                address[count] = HEAP + state[_TOP] + state[_WORD] * WORD
                address[count + 1] = base + state[_OLD]
                kind[count], kind[count + 1] = LOAD, STORE
                count += 2
                state[_OLD] += WORD
                state[_WORD] += 1
            else:
                state[_WORD] = words
            if state[_WORD] == words:
                state[_SCAN], state[_WORD] = number + 1, 0
                state[_TOP] += words * WORD
        elif phase == _MAJOR:
            if state[_SCAN] >= state[_OLD]:
                state[_OLD], state[_PHASE] = state[_TO], _END_MAJOR
                return count
            block = state[_SCAN] // _BLOCK
            if unit(seed + 1, state[_OBJECT] + block) < live:
                address[count] = base + state[_SCAN]
                address[count + 1] = ARENA + (1 - state[_HALF]) * old + state[_TO]
                kind[count], kind[count + 1] = LOAD, STORE
                count += 2
                state[_TO] += WORD
                state[_SCAN] += WORD
            else:
                state[_SCAN] = (block + 1) * _BLOCK
        else:
            return count
    return count


def check(parameters: dict[str, int | float]) -> None:
    nursery, old = int(parameters["nursery"]), int(parameters["old"])
    # After a major collection a nursery must fit that is copied whole.
    if old * (1 - float(parameters["live"])) < 2 * nursery:
        raise InputError(f"gcheap: old={old}: too small for a nursery of {nursery} bytes")


def _half(number: int, old: int, kind: int) -> np.ndarray:
    """The event that maps or unmaps a half of the old generation."""
    protection = PROT_READ | PROT_WRITE if kind == MMAP else 0
    return np.array([(0, kind, 1, ARENA + number * old, old, protection)], EVENT)


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    nursery = int(parameters["nursery"]) // WORD * WORD
    old = -(-int(parameters["old"]) // 4096) * 4096
    cards = ARENA + 2 * old
    state = np.zeros(9, np.int64)
    events = mapped((HEAP, nursery), (ARENA, old), (cards, old // _CARD + 4096))
    made, accesses = 0, int(parameters["accesses"])
    while made < accesses:
        address, kind = (np.empty(shared.CHUNK + SPARE, dtype) for dtype in (np.int64, np.uint8))
        count = _fill(
            address, kind, state, seed, nursery, old, float(parameters["survival"]),
            float(parameters["live"]), int(parameters["reads"]), float(parameters["writes"]), cards,
        )  # fmt: skip
        kept = min(count, accesses - made)
        yield Chunk(address[:kept], kind[:kept], np.full(kept, WORD, np.uint16), events)
        made += kept
        events = np.zeros(0, EVENT)
        half = int(state[_HALF])
        if state[_PHASE] == _BEGIN_MAJOR:
            events = _half(1 - half, old, MMAP)
            state[_PHASE], state[_SCAN], state[_TO] = _MAJOR, 0, 0
        elif state[_PHASE] == _END_MAJOR:
            events = _half(half, old, MUNMAP)
            state[_PHASE], state[_HALF] = _MUTATOR, 1 - half
