"""A collected heap, against a copying collector in plain Python."""

from __future__ import annotations

import pytest
from drivers.generated import Access, columns
from models.random_numbers import below, unit

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import LOAD, MMAP, MUNMAP, STORE
from mmulab.workloads import generators
from mmulab.workloads.generators.parameters import ARENA, HEAP


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
