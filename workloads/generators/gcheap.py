"""A managed heap: a bump-pointer nursery, and a generational copying collector behind it.

The program makes records: an object of pointers to `fields` objects of data, which are made
first. It keeps the last of them on its stack; some it puts into a table, where each takes a
random other's place, so that a record in the table lives for an exponentially distributed time
(Clinger and Hansen, Generational garbage collection and the radioactive decay model, PLDI
1997). It then visits records of the table.

    new record      stores of its words, of a stack slot and, for some, of a table slot;
                    the write barrier stores that slot's place in the remembered set
    minor           when the nursery is full: what stack and remembered slots reach in it is
                    copied to the old generation, breadth first (Cheney, CACM 1970)
    major           when the old generation may not have room for the next minor: MMAP of the
                    other semispace, the same from the stack and the whole table, MUNMAP

Survivors are promoted at once, as in Appel 1989; Ungar 1984 lets them age. Which objects live
is found by running the collector on a real heap. Its words of data are never looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.trace import LOAD, PROT_READ, PROT_WRITE, STORE, Chunk
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    ARENA,
    HEAP,
    WORD,
    Parameter,
    mapped,
    size,
)
from mmulab.workloads.generators.randoms import below, unit
from mmulab.workloads.generators.steps import PARENT, Output, full, mmap, munmap, put, stepped

SUMMARY = (
    "a generational copying collector under a program that makes records (Ungar, SDE 1984; "
    "Appel, SP&E 1989; Blackburn, Cheng and McKinley, SIGMETRICS 2004)"
)
PARAMETERS = {
    "live": size(4 << 20, "bytes of the records in the table, once it is full", 1 << 30),
    "nursery": size(4 << 20, "bytes of the nursery; Blackburn et al. 2004 bound theirs at 4M",
                    1 << 30),
    "old": size(12 << 20, "bytes of an old semispace; the generator itself takes nursery and "
                "two of these", 2 << 30),
    "object": Parameter(64, "bytes of an object of data, its header included; an assumption",
                        "bytes", 2 * WORD, 4096),
    "fields": Parameter(4, "such objects that a record points to; an assumption", most=64),
    "survival": Parameter(0.1, "fraction of the records that go into the table: with the "
                          "stack's, what a minor collection finds alive; an assumption",
                          "fraction", 0, 1),
    "reads": Parameter(4, "records visited for each that is made", least=0, most=1000),
    "accesses": ACCESSES,
}  # fmt: skip

_PAGE = 4096
_STACK = 64  # slots of the program's stack; an assumption
_NONE = -1

# Places in the state. The collector moves what is in words [LOW, HIGH) of the heap to FREE.
_STATE = (
    _OPERATION, _PHASE, _BUMP, _FREE, _SCANNED, _AT, _LOW, _HIGH, _REMEMBERED, _FROM, _MAJOR,
) = range(11)  # fmt: skip
_RUN, _ROOTS, _SLOTS, _SCAN = range(4)  # phases

_FORWARDED = 1  # a header's bit 0; the other bits are then the new place
_FIELDS = 7  # bits of the number of pointers in a header, above bit 0


class _Heap(NamedTuple):
    """The heap and its sizes, in words.

    word: nursery, then two semispaces; a header is words << 8 | fields << 1
    root: stack, then table; remembered: numbers of roots
    """

    state: np.ndarray
    word: np.ndarray
    root: np.ndarray
    remembered: np.ndarray
    nursery: int
    old: int
    data: int  # of an object of data
    fields: int
    survival: float
    reads: int
    seed: int


@inlined
def _store_object(out, heap, at, words, fields):
    """A new object: its header and all its words are stored."""
    heap.word[at] = words << (_FIELDS + 1) | fields << 1
    for index in range(words):
        put(out, ARENA + (at + index) * WORD, STORE)


@inlined
def _visit(out, heap, number, table):
    """A random record of the table: its slot, one of its pointers, a word of data there."""
    slot = _STACK + below(heap.seed, 4 * number + 1, table)
    field = 1 + below(heap.seed, 4 * number + 2, heap.fields)
    index = 1 + below(heap.seed, 4 * number + 3, heap.data - 1)
    record = heap.root[slot]
    put(out, HEAP + slot * WORD, LOAD)
    put(out, ARENA + (record + field) * WORD, LOAD)
    put(out, ARENA + (heap.word[record + field] + index) * WORD, LOAD)


@inlined
def _new_record(out, heap, remembered_set):
    """The program makes a record and visits others."""
    state = heap.state
    operation = state[_OPERATION]
    record = state[_BUMP] + heap.fields * heap.data
    for field in range(heap.fields):
        at = state[_BUMP] + field * heap.data
        _store_object(out, heap, at, heap.data, 0)
        heap.word[record + 1 + field] = at
    _store_object(out, heap, record, 1 + heap.fields, heap.fields)
    state[_BUMP] = record + 1 + heap.fields
    slot = operation % _STACK
    heap.root[slot] = record
    put(out, HEAP + slot * WORD, STORE)
    table = heap.root.size - _STACK
    draw = operation * (heap.reads + 1) * 4
    if operation < table or unit(heap.seed, draw) < heap.survival:
        slot = _STACK + (operation if operation < table else below(heap.seed, draw + 1, table))
        heap.root[slot] = record
        heap.remembered[state[_REMEMBERED]] = slot
        put(out, HEAP + slot * WORD, STORE)
        put(out, remembered_set + state[_REMEMBERED] * WORD, STORE)
        state[_REMEMBERED] += 1
    for read in range(heap.reads):
        _visit(out, heap, operation * (heap.reads + 1) + read + 1, min(operation + 1, table))
    state[_OPERATION] += 1


@inlined
def _forward(out, heap, at):
    """Where the object at a word has moved to; it is copied now unless it has been before."""
    put(out, ARENA + at * WORD, LOAD)
    header = heap.word[at]
    if header & _FORWARDED:
        return header >> 1
    state = heap.state
    to = state[_FREE]
    words = header >> (_FIELDS + 1)
    for index in range(words):
        if index:
            put(out, ARENA + (at + index) * WORD, LOAD)
        put(out, ARENA + (to + index) * WORD, STORE)
        heap.word[to + index] = heap.word[at + index]
    heap.word[at] = to << 1 | _FORWARDED
    put(out, ARENA + at * WORD, STORE)
    state[_FREE] = to + words
    return to


@inlined
def _trace_root(out, heap, slot):
    state = heap.state
    put(out, HEAP + slot * WORD, LOAD)
    if state[_LOW] <= heap.root[slot] < state[_HIGH]:
        heap.root[slot] = _forward(out, heap, heap.root[slot])
        put(out, HEAP + slot * WORD, STORE)


@inlined
def _scan(out, heap):
    """Forwards what the next copied object points to."""
    state = heap.state
    at = state[_SCANNED]
    put(out, ARENA + at * WORD, LOAD)
    header = heap.word[at]
    for field in range(header >> 1 & (1 << _FIELDS) - 1):
        place = at + 1 + field
        put(out, ARENA + place * WORD, LOAD)
        if state[_LOW] <= heap.word[place] < state[_HIGH]:
            heap.word[place] = _forward(out, heap, heap.word[place])
            put(out, ARENA + place * WORD, STORE)
    state[_SCANNED] = at + (header >> (_FIELDS + 1))


@inlined
def _begin(heap, low, high, free, major):
    state = heap.state
    state[_LOW], state[_HIGH], state[_FREE], state[_SCANNED] = low, high, free, free
    state[_PHASE], state[_AT], state[_MAJOR] = _ROOTS, 0, major


@inlined
def _end(out, heap):
    """After a minor collection perhaps a major one, then the program again."""
    state = heap.state
    state[_PHASE] = _RUN
    if state[_MAJOR]:
        munmap(out, PARENT, ARENA + state[_FROM] * WORD, heap.old * WORD)
        state[_FROM] = 2 * heap.nursery + heap.old - state[_FROM]
        return
    state[_BUMP] = state[_REMEMBERED] = 0
    if state[_FROM] + heap.old - state[_FREE] < heap.nursery:
        to = 2 * heap.nursery + heap.old - state[_FROM]
        mmap(out, PARENT, ARENA + to * WORD, heap.old * WORD, PROT_READ | PROT_WRITE)
        _begin(heap, state[_FROM], state[_FREE], to, 1)


@entry
def _fill(out, heap, remembered_set):
    """A step is a record made, or a root or an object traced."""
    state = heap.state
    words = heap.fields * heap.data + 1 + heap.fields
    while not full(out):
        phase, at = state[_PHASE], state[_AT]
        state[_AT] = at + 1
        if phase == _RUN:
            if state[_BUMP] + words <= heap.nursery:
                _new_record(out, heap, remembered_set)
            else:
                _begin(heap, 0, heap.nursery, state[_FREE], 0)
        elif phase == _ROOTS:
            _trace_root(out, heap, at)
            if at + 1 == _STACK:
                state[_PHASE], state[_AT] = _SLOTS, 0
        elif phase == _SLOTS:
            if at == (heap.root.size - _STACK if state[_MAJOR] else state[_REMEMBERED]):
                state[_PHASE] = _SCAN
            elif state[_MAJOR]:
                _trace_root(out, heap, _STACK + at)
            else:
                put(out, remembered_set + at * WORD, LOAD)
                _trace_root(out, heap, heap.remembered[at])
        elif state[_SCANNED] < state[_FREE]:
            _scan(out, heap)
        else:
            _end(out, heap)


def _record(parameters: dict[str, int | float]) -> tuple[int, int]:
    """Words of an object of data, and of a record with all that it points to."""
    data, fields = int(parameters["object"]) // WORD, int(parameters["fields"])
    return data, fields * data + 1 + fields


def check(parameters: dict[str, int | float]) -> None:
    record = _record(parameters)[1] * WORD
    for name in ("live", "nursery"):
        if parameters[name] < record:
            raise InputError(
                f"gcheap: {name}={int(parameters[name])}: expected at least a record's "
                f"{record} bytes"
            )
    live = (int(parameters["live"]) // record + _STACK) * record
    least = live + int(parameters["nursery"]) + _PAGE
    if parameters["old"] < least:
        raise InputError(
            f"gcheap: old={int(parameters['old'])}: expected at least {least}, for live "
            "records, those on the stack and a nursery of survivors"
        )


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    nursery, old = (-(-int(parameters[name]) // _PAGE) * _PAGE for name in ("nursery", "old"))
    data, record = _record(parameters)
    table = int(parameters["live"]) // (record * WORD)
    state = np.zeros(len(_STATE), np.int64)
    state[_FROM] = state[_FREE] = nursery // WORD
    heap = _Heap(
        state,
        np.zeros((nursery + 2 * old) // WORD, np.int64),
        np.full(_STACK + table, _NONE),
        np.zeros(nursery // (record * WORD), np.int64),
        nursery // WORD,
        old // WORD,
        data,
        int(parameters["fields"]),
        float(parameters["survival"]),
        int(parameters["reads"]),
        seed,
    )
    roots = -(-len(heap.root) * WORD // _PAGE) * _PAGE
    remembered_set = HEAP + roots

    def fill(out: Output) -> None:
        _fill(out, heap, remembered_set)

    spare = 2 * record + 3 * heap.reads + 8 * heap.fields + 16
    regions = mapped(
        (HEAP, roots),
        (remembered_set, len(heap.remembered) * WORD),
        (ARENA, nursery),
        (ARENA + nursery, old),
    )
    return stepped(int(parameters["accesses"]), regions, fill, spare)
