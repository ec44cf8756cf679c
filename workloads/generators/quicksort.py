"""Quicksort of random words: the real algorithm, on real data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.kernels.compiling import entry, inlined, kernel
from mmulab.mmu.trace import LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, independent
from mmulab.workloads.generators.parameters import ACCESSES, HEAP, WORD, Parameter, mapped, resumed
from mmulab.workloads.generators.randoms import hashed

SUMMARY = (
    "quicksort of random words, over and over (Hoare 1962; median of three and insertion sort "
    "of small parts as Sedgewick, Implementing quicksort programs, CACM 1978)"
)
PARAMETERS = {
    "size": Parameter(8 << 20, "bytes that are sorted; the generator itself takes as many",
                      "bytes", 4096, 1 << 31),
    "cutoff": Parameter(10, "words that insertion sort takes over at", least=3, most=100),
    "accesses": ACCESSES,
}  # fmt: skip

# Places in the state. LOW and HIGH are the part in work, I and J its ends as they close in.
_PASS, _PHASE, _DEPTH, _LOW, _HIGH, _I, _J, _PIVOT = range(8)
_FILL, _PICK, _PARTITION, _INSERT = range(4)  # phases
_STACK = 128  # parts that wait, two entries each: the larger is put off, so 64 are enough


@inlined
def _note(address, kind, count, at, what):
    """Notes an access to a word. Returns how many there are now."""
    address[count] = HEAP + at * WORD
    kind[count] = what
    return count + 1


@kernel
def _fill_word(address, kind, count, state, data, seed):
    at = state[_I]
    data[at] = np.int64(hashed(seed, state[_PASS] * data.size + at) >> np.uint64(1))
    state[_I] = at + 1
    if at + 1 == data.size:
        state[_LOW], state[_HIGH], state[_PHASE], state[_DEPTH] = 0, data.size - 1, _PICK, 0
    return _note(address, kind, count, at, STORE)


@kernel
def _pick(address, kind, count, state, data, cutoff):
    """The pivot is the median of a part's first, middle and last word; a small part is sorted
    by insertion."""
    low, high = state[_LOW], state[_HIGH]
    if high - low < cutoff:
        state[_I], state[_J], state[_PHASE] = low + 1, low, _INSERT
        state[_PIVOT] = data[min(low + 1, high)]
        return count
    middle = (low + high) >> 1
    a, b, c = data[low], data[middle], data[high]
    for at in (low, middle, high):
        count = _note(address, kind, count, at, LOAD)
    state[_PIVOT] = max(min(a, b), min(max(a, b), c))
    state[_I], state[_J], state[_PHASE] = low, high, _PARTITION
    return count


@kernel
def _put_off_larger(state, stack):
    """A part has been partitioned: the larger side waits, the other is next."""
    low, high, i, j = state[_LOW], state[_HIGH], state[_I], state[_J]
    depth = state[_DEPTH]
    left_larger = j - low > high - i
    stack[2 * depth] = low if left_larger else i
    stack[2 * depth + 1] = j if left_larger else high
    state[_DEPTH] = depth + 1
    state[_LOW] = i if left_larger else low
    state[_HIGH] = high if left_larger else j
    state[_PHASE] = _PICK


@kernel
def _partition(address, kind, count, state, stack, data):
    """One comparison, or one exchange."""
    i, j, pivot = state[_I], state[_J], state[_PIVOT]
    if data[i] < pivot:
        count = _note(address, kind, count, i, LOAD)
        state[_I] = i + 1
    elif data[j] > pivot:
        count = _note(address, kind, count, j, LOAD)
        state[_J] = j - 1
    elif i <= j:
        for step in range(4):  # both are loaded and stored
            at = i if step % 2 == 0 else j
            count = _note(address, kind, count, at, LOAD if step < 2 else STORE)
        data[i], data[j] = data[j], data[i]
        state[_I], state[_J] = i + 1, j - 1
    if state[_I] > state[_J]:
        _put_off_larger(state, stack)
    return count


@kernel
def _next_part(state, stack):
    """A part is sorted: the last that waits is next, or all is filled anew."""
    if state[_DEPTH] == 0:
        state[_PASS] += 1
        state[_I], state[_PHASE] = 0, _FILL
        return
    state[_DEPTH] -= 1
    state[_LOW] = stack[2 * state[_DEPTH]]
    state[_HIGH] = stack[2 * state[_DEPTH] + 1]
    state[_PHASE] = _PICK


@kernel
def _insert(address, kind, count, state, data):
    """Insertion sort: word I, now in PIVOT, goes down from place J."""
    i, j = state[_I], state[_J]
    if j == i - 1:
        count = _note(address, kind, count, i, LOAD)
    if j >= state[_LOW]:
        count = _note(address, kind, count, j, LOAD)
    if j >= state[_LOW] and data[j] > state[_PIVOT]:
        data[j + 1] = data[j]
        state[_J] = j - 1
        return _note(address, kind, count, j + 1, STORE)
    data[j + 1] = state[_PIVOT]
    state[_I], state[_J] = i + 1, i
    if i + 1 <= state[_HIGH]:
        state[_PIVOT] = data[i + 1]
    return _note(address, kind, count, j + 1, STORE)


@entry
def _fill(address, kind, state, stack, data, seed, cutoff):
    """One step a turn: a word filled, a pivot picked, one comparison of a partition, or one
    word inserted."""
    limit = address.size - 64
    count = 0
    while count < limit:
        phase = state[_PHASE]
        if phase == _FILL:
            count = _fill_word(address, kind, count, state, data, seed)
        elif phase == _PICK:
            count = _pick(address, kind, count, state, data, cutoff)
        elif phase == _PARTITION:
            count = _partition(address, kind, count, state, stack, data)
        elif state[_I] > state[_HIGH]:
            _next_part(state, stack)
        else:
            count = _insert(address, kind, count, state, data)
    return count


def depends(parameters: dict[str, int | float]) -> Depends:
    """Ends that close in make all addresses: words only decide which end does."""
    return independent


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    words, cutoff = int(parameters["size"]) // WORD, int(parameters["cutoff"])
    data = np.zeros(words, np.int64)
    state, stack = np.zeros(8, np.int64), np.zeros(2 * _STACK, np.int64)
    return resumed(
        int(parameters["accesses"]),
        mapped((HEAP, words * WORD)),
        lambda address, kind: _fill(address, kind, state, stack, data, seed, cutoff),
    )
