"""Generators that compute, against plain Python that does the same at a small size."""

from __future__ import annotations

import numpy as np
import pytest
from test_generators import columns, splitmix64

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import LOAD, MMAP, MUNMAP, STORE  # fmt: skip
from mmulab.workloads import generators
from mmulab.workloads.generators.parameters import ARENA, HEAP

Access = tuple[int, int]  # address, kind


def unit(seed: int, position: int) -> float:
    return (splitmix64(seed, position) >> 11) / 2**53


def below(seed: int, position: int, bound: int) -> int:
    return int((splitmix64(seed, position) >> 11) * (bound / 2**53))


def accesses_of(spec: str, seed: int = 1) -> list[Access]:
    address, kind, _ = columns(spec, seed)
    return list(zip(address.tolist(), kind.tolist(), strict=True))


def sorting(words: int, cutoff: int, seed: int, number: int) -> list[Access]:
    """The accesses of a pass of quicksort, which here recurs."""
    made: list[Access] = []
    data = [splitmix64(seed, number * words + at) >> 1 for at in range(words)]

    def touch(at: int, kind: int) -> None:
        made.append((HEAP + 8 * at, kind))

    def insertion(low: int, high: int) -> None:
        for i in range(low + 1, high + 1):
            touch(i, LOAD)
            word, j = data[i], i - 1
            while j >= low:
                touch(j, LOAD)
                if data[j] <= word:
                    break
                data[j + 1] = data[j]
                touch(j + 1, STORE)
                j -= 1
            data[j + 1] = word
            touch(j + 1, STORE)

    def sort(low: int, high: int) -> None:
        if high - low < cutoff:
            insertion(low, high)
            return
        three = (low, (low + high) // 2, high)
        for at in three:
            touch(at, LOAD)
        pivot = sorted(data[at] for at in three)[1]
        i, j = low, high
        while i <= j:
            if data[i] < pivot:
                touch(i, LOAD)
                i += 1
            elif data[j] > pivot:
                touch(j, LOAD)
                j -= 1
            else:
                made.extend((HEAP + 8 * at, kind) for kind in (LOAD, STORE) for at in (i, j))
                data[i], data[j] = data[j], data[i]
                i, j = i + 1, j - 1
        for part in sorted([(low, j), (i, high)], key=lambda part: part[1] - part[0]):
            sort(*part)

    for at in range(words):
        touch(at, STORE)
    sort(0, words - 1)
    assert data == sorted(data)
    return made


@pytest.mark.parametrize(("cutoff", "seed"), [(3, 1), (10, 2), (100, 3)])
def test_quicksort_sorts_and_makes_the_accesses_of_it(cutoff: int, seed: int) -> None:
    words = 512
    expected = sum((sorting(words, cutoff, seed, number) for number in range(3)), [])
    spec = f"quicksort:size=4K,cutoff={cutoff},accesses={len(expected)}"
    assert accesses_of(spec, seed) == expected


@pytest.mark.parametrize("matrix", ["stencil", "random"])
def test_spmv_is_a_product_in_compressed_rows(matrix: str) -> None:
    grid, seed = 3, 5
    rows = grid**3
    bases = HEAP + 8 * np.cumsum([0, rows, 27 * rows, 27 * rows, rows])
    starts, columns_, values, x, y = bases.tolist()
    expected = []
    for row in [*range(rows), *range(rows)]:
        expected.append((starts + 8 * row, LOAD))
        for entry in range(27):
            at = 27 * row + entry
            if matrix == "random":
                column = below(seed, at, rows)
            else:
                dz, dy, dx = np.unravel_index(entry, (3, 3, 3))
                column = (row + (dz - 1) * grid**2 + (dy - 1) * grid + dx - 1) % rows
            expected += [(columns_ + 8 * at, LOAD), (values + 8 * at, LOAD)]
            expected.append((x + 8 * int(column), LOAD))
        expected.append((y + 8 * row, STORE))
    spec = f"spmv:grid={grid},matrix={matrix},accesses={len(expected)}"
    assert accesses_of(spec, seed) == expected


@pytest.mark.parametrize("bits", [2, 3, 7])
def test_fft_begins_again_after_n_log_n(bits: int) -> None:
    n = 1 << bits
    around = 2 * n + 5 * (n // 2) * bits
    trace = accesses_of(f"fft:log2n={bits},accesses={3 * around}")
    assert trace[:around] == trace[around : 2 * around] == trace[2 * around :]
    assert sum(kind == STORE for _, kind in trace) == 3 * (n + n * bits)
    copied = [(address - HEAP - 16 * n) // 16 for address, _ in trace[1 : 2 * n : 2]]
    assert copied == [int(f"{i:0{bits}b}"[::-1], 2) for i in range(n)]


def test_matmul_counts() -> None:
    for n, block in ((6, 0), (6, 3), (8, 2)):
        each = 2 * n**3 + n**2 if not block else 2 * n**3 + 2 * n**3 // block
        trace = accesses_of(f"matmul:n={n},block={block},accesses={2 * each}")
        assert trace[:each] == trace[each:]
        assert sum(kind == STORE for _, kind in trace) == 2 * n**3 // (block or n)


# --- The collected heap ------------------------------------------------------------


class Thing:
    """An object: its place, its bytes in words, and the objects that it points to."""

    def __init__(self, at: int, words: int, fields: list[Thing]) -> None:
        self.at, self.words, self.fields = at, words, fields


class Runtime:
    """The program and its collector, on Python objects. Its trace should be gcheap's."""

    STACK = 64

    def __init__(self, seed: int, live: int, nursery: int, old: int, data: int, fields: int,
                 survival: float, reads: int) -> None:  # fmt: skip
        self.seed, self.nursery, self.old = seed, nursery, old
        self.data, self.fields, self.survival, self.reads = data // 8, fields, survival, reads
        self.record = fields * self.data + 1 + fields
        self.table = live // (8 * self.record)
        self.roots: list[Thing | None] = [None] * (self.STACK + self.table)
        self.buffer = HEAP + -(-len(self.roots) * 8 // 4096) * 4096
        self.halves = [ARENA + nursery, ARENA + nursery + old]
        self.bump, self.free = ARENA, self.halves[0]
        self.remembered: list[int] = []
        self.trace: list[Access] = []
        self.events: list[tuple[int, int, int]] = []
        self.minor = self.major = 0

    def touch(self, address: int, kind: int) -> None:
        self.trace.append((address, kind))

    def new(self, words: int, fields: list[Thing]) -> Thing:
        thing = Thing(self.bump, words, fields)
        for word in range(words):
            self.touch(self.bump + 8 * word, STORE)
        self.bump += 8 * words
        return thing

    def operation(self, number: int) -> None:
        if self.bump + 8 * self.record > ARENA + self.nursery:
            self.collect()
        parts = [self.new(self.data, []) for _ in range(self.fields)]
        record = self.new(1 + self.fields, parts)
        self.roots[number % self.STACK] = record
        self.touch(HEAP + 8 * (number % self.STACK), STORE)
        draw = 4 * number * (self.reads + 1)
        if number < self.table or unit(self.seed, draw) < self.survival:
            slot = number if number < self.table else below(self.seed, draw + 1, self.table)
            self.roots[self.STACK + slot] = record
            self.touch(HEAP + 8 * (self.STACK + slot), STORE)
            self.touch(self.buffer + 8 * len(self.remembered), STORE)
            self.remembered.append(self.STACK + slot)
        for _ in range(self.reads):
            draw += 4
            slot = self.STACK + below(self.seed, draw + 1, min(number + 1, self.table))
            field = below(self.seed, draw + 2, self.fields)
            word = 1 + below(self.seed, draw + 3, self.data - 1)
            visited = self.roots[slot]
            assert visited
            self.touch(HEAP + 8 * slot, LOAD)
            self.touch(visited.at + 8 * (1 + field), LOAD)
            self.touch(visited.fields[field].at + 8 * word, LOAD)

    def evacuate(self, roots: list[tuple[int, int | None]], begin: int, end: int) -> None:
        """Copies what the roots reach in [begin, end) to `free`, breadth first. roots: their
        numbers, with the address of the remembered set's entry where there is one."""
        moved: list[Thing] = []  # and grows while it is gone through, as Cheney's queue
        # What a root's word holds: it may be the old place of what has moved already.
        held = {number: root.at for number, root in enumerate(self.roots) if root}

        def copy(thing: Thing) -> None:
            old = thing.at
            self.touch(old, LOAD)
            for word in range(thing.words):
                if word:
                    self.touch(old + 8 * word, LOAD)
                self.touch(self.free + 8 * word, STORE)
            self.touch(old, STORE)
            thing.at = self.free
            self.free += 8 * thing.words
            moved.append(thing)

        for number, entry in roots:
            if entry is not None:
                self.touch(entry, LOAD)
            self.touch(HEAP + 8 * number, LOAD)
            thing = self.roots[number]
            if thing is None or not begin <= held[number] < end:
                continue
            if thing.at == held[number]:
                copy(thing)
            else:
                self.touch(held[number], LOAD)  # its header says where it is now
            self.touch(HEAP + 8 * number, STORE)
            held[number] = thing.at
        for thing in moved:
            self.touch(thing.at, LOAD)
            for index, child in enumerate(thing.fields):
                self.touch(thing.at + 8 * (1 + index), LOAD)
                if begin <= child.at < end:
                    copy(child)
                    self.touch(thing.at + 8 * (1 + index), STORE)

    def collect(self) -> None:
        self.minor += 1
        stack: list[tuple[int, int | None]] = [(slot, None) for slot in range(self.STACK)]
        slots = [(slot, self.buffer + 8 * at) for at, slot in enumerate(self.remembered)]
        self.evacuate(stack + slots, ARENA, ARENA + self.nursery)
        self.bump, self.remembered = ARENA, []
        if self.halves[0] + self.old - self.free >= self.nursery:
            return
        self.major += 1
        begin, end = self.halves[0], self.free
        self.halves.reverse()
        self.free = self.halves[0]
        self.events.append((len(self.trace), MMAP, self.free))
        self.evacuate(stack + [(self.STACK + n, None) for n in range(self.table)], begin, end)
        self.events.append((len(self.trace), MUNMAP, begin))


@pytest.mark.parametrize(
    ("seed", "data", "fields", "survival", "reads", "majors"),
    [(1, 64, 4, 0.3, 2, 1), (2, 16, 1, 0.1, 0, 1), (3, 200, 2, 1, 1, 2), (4, 40, 7, 0, 5, 0)],
)
def test_gcheap_is_a_copying_collector(
    seed: int, data: int, fields: int, survival: float, reads: int, majors: int
) -> None:
    live, nursery, old = 16 << 10, 8 << 10, 64 << 10
    runtime = Runtime(seed, live, nursery, old, data, fields, survival, reads)
    number = 0
    while len(runtime.trace) < 100_000:
        runtime.operation(number)
        number += 1
    count = len(runtime.trace)
    spec = (
        f"gcheap:live=16K,nursery=8K,old=64K,object={data},fields={fields},survival={survival},"
        f"reads={reads},accesses={count}"
    )
    address, kind, events = columns(spec, seed)
    assert list(zip(address.tolist(), kind.tolist(), strict=True)) == runtime.trace
    assert [(event[0], event[1], event[3]) for event in events[4:]] == runtime.events
    assert runtime.minor >= 15 and runtime.major >= majors


def test_gcheap_says_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="old=4096: expected at least"):
        generators.create("gcheap:old=4K")
    with pytest.raises(InputError, match="live=4096: expected at least a record's"):
        generators.create("gcheap:live=4K,object=4K")
