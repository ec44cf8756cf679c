"""The frame allocator against brute force: named blocks, references, pins, splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.frames import make_frames
from mmulab.mmu.memory.state import FRAME_RECORD, GUEST_PAGE, MAX_ORDER, MERGED_PAGE, Frames
from mmulab.mmu.memory.status import NIL


@entry
def _allocate(allocator: Frames, order):
    return frames.allocate(allocator, order, GUEST_PAGE, 1, 0)


@entry
def _take(allocator: Frames, first, order, owner, reverse):
    return frames.take(allocator, first, order, GUEST_PAGE, owner, reverse)


@entry
def _release(allocator: Frames, first):
    return frames.release(allocator, first)


@entry
def _split(allocator: Frames, first, order):
    frames.split(allocator, first, order)


@entry
def _pin(allocator: Frames, frame):
    return frames.pin(allocator, frame)


@entry
def _unpin(allocator: Frames, frame):
    return frames.unpin(allocator, frame)


@entry
def _look(allocator: Frames, pinned, heads):
    for frame in range(pinned.size):
        pinned[frame] = frames.is_pinned(allocator, frame)
        heads[frame] = frames.head_of(allocator, frame)


def block(first: int, order: int) -> range:
    return range(first, first + (1 << order))


def free_blocks(allocator: Frames) -> set[tuple[int, int]]:
    """(first frame, order) of each block on the free lists, links checked."""
    blocks = set()
    for order in range(MAX_ORDER + 1):
        previous, at = 0, int(allocator.free[order])
        while at:
            record = allocator.frame[at - 1]
            assert int(record["previous"]) == previous
            assert int(record["order"]) == order + 1
            blocks.add((at - 1, order))
            previous, at = at, int(record["next"])
    return blocks


def joined(free: set[int]) -> set[tuple[int, int]]:
    """The blocks that a set of free frames makes where all free buddies are joined."""
    blocks = set()
    at = {frame for frame in free}
    for order in range(MAX_ORDER + 1):
        pairs = {first for first in at if not first & (1 << order) and first + (1 << order) in at}
        halves = pairs | {first + (1 << order) for first in pairs}
        blocks |= {(first, order) for first in at - halves}
        at = pairs
    return blocks


class Allocator(RuleBasedStateMachine):
    """held: first frame -> [order, references, pins] of each block in use."""

    @initialize(total=st.integers(1, 140))
    def begin(self, total: int) -> None:
        self.total = total
        self.allocator = make_frames(total)
        self.at_first = free_blocks(self.allocator)
        self.free = set(range(total))
        self.held: dict[int, list[int]] = {}

    def _any(self, number: int, **wanted: int) -> int | None:
        """A block in use, with so many references or pins where asked; None: there is none."""
        fit = [
            first for first, (_, references, pins) in sorted(self.held.items())
            if references == wanted.get("references", references)
            and pins == wanted.get("pins", pins)
        ]  # fmt: skip
        return fit[number % len(fit)] if fit else None

    def _granted(self, first: int, order: int) -> None:
        assert set(block(first, order)) <= self.free
        self.free -= set(block(first, order))
        self.held[first] = [order, 1, 0]

    def _dropped(self, first: int) -> None:
        order, references, pins = self.held[first]
        if references == pins == 0:
            del self.held[first]
            self.free |= set(block(first, order))

    @rule(order=st.integers(0, 6))
    def allocate(self, order: int) -> None:
        first = int(_allocate(self.allocator, order))
        if first == NIL:
            for start in range(0, self.total - (1 << order) + 1, 1 << order):
                assert not self.free >= set(block(start, order))
        else:
            assert first % (1 << order) == 0
            self._granted(first, order)

    @rule(first=st.integers(-1, 150), order=st.sampled_from([-1, 0, 0, 1, 2, 3, 5, 7, 19, 63]))
    def take(self, first: int, order: int) -> None:
        before = self.allocator.frame.tobytes()
        can = 0 <= order <= 7 and first % (1 << order) == 0
        can = can and self.free >= set(block(first, order))
        assert bool(_take(self.allocator, first, order, 1, 0)) == can
        if can:
            self._granted(first, order)
        else:
            assert self.allocator.frame.tobytes() == before

    @rule(number=st.integers(0, 99))
    def share(self, number: int) -> None:
        first = self._any(number, pins=0)
        if first is not None:
            self.allocator.frame[first]["references"] += 1
            self.held[first][1] += 1

    @rule(number=st.integers(0, 99))
    def release(self, number: int) -> None:
        first = self._any(number)
        if first is not None and self.held[first][1]:
            self.held[first][1] -= 1
            assert int(_release(self.allocator, first)) == self.held[first][1]
            self._dropped(first)

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 99), less=st.integers(1, 4))
    def split(self, number: int, less: int) -> None:
        first = self._any(number, references=1, pins=0)
        if first is not None and self.held[first][0]:
            order = self.held[first][0]
            smaller = max(0, order - less)
            _split(self.allocator, first, smaller)
            for piece in range(first, first + (1 << order), 1 << smaller):
                self.held[piece] = [smaller, 1, 0]

    def _holder(self, frame: int) -> int | None:
        for first, (order, _, _) in self.held.items():
            if frame in block(first, order):
                return first
        return None

    @rule(frame=st.integers(0, 139))
    def pin(self, frame: int) -> None:
        frame %= self.total
        first = self._holder(frame)
        can = first is not None and self.held[first][1] <= 1
        assert bool(_pin(self.allocator, frame)) == can
        if first is not None and can:
            self.held[first][2] += 1

    @rule(frame=st.integers(0, 139))
    def unpin(self, frame: int) -> None:
        frame %= self.total
        first = self._holder(frame)
        if first is not None and self.held[first][2]:
            self.held[first][2] -= 1
            assert int(_unpin(self.allocator, frame)) == self.held[first][2]
            self._dropped(first)

    @invariant()
    def agrees(self) -> None:
        assert free_blocks(self.allocator) == joined(self.free)
        assert int(self.allocator.counts[frames.IN_USE]) == self.total - len(self.free)
        pinned = np.zeros(self.total, np.int64)
        heads = np.zeros(self.total, np.int64)
        _look(self.allocator, pinned, heads)
        for first, (order, references, pins) in self.held.items():
            record = self.allocator.frame[first]
            assert (int(record["references"]), int(record["pins"])) == (references, pins)
            assert (pinned[first : first + (1 << order)] == (pins > 0)).all()
            assert (heads[first : first + (1 << order)] == first).all()
        assert not pinned[sorted(self.free)].any()

    def teardown(self) -> None:
        for first, (_, references, pins) in getattr(self, "held", {}).items():
            for _ in range(pins):
                _unpin(self.allocator, first)
            for _ in range(references):
                _release(self.allocator, first)
        if hasattr(self, "allocator"):
            assert free_blocks(self.allocator) == self.at_first


Allocator.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAllocator = Allocator.TestCase


@pytest.mark.parametrize("total", [1, 7, 16, 37])
@pytest.mark.parametrize("order", range(6))
def test_take_of_every_frame(total: int, order: int) -> None:
    """Of an allocator that nobody has used: what is left is free, and is whole again after."""
    for first in range(total):
        allocator = make_frames(total)
        at_first = free_blocks(allocator)
        can = first % (1 << order) == 0 and first + (1 << order) <= total
        assert bool(_take(allocator, first, order, 1, 0)) == can
        left = set(range(total)) - set(block(first, order) if can else ())
        assert free_blocks(allocator) == joined(left)
        if can:
            _release(allocator, first)
            assert free_blocks(allocator) == at_first


def test_take_of_the_largest_block_and_of_one_frame_in_it() -> None:
    allocator = make_frames((1 << MAX_ORDER) + 5)
    assert _take(allocator, (1 << MAX_ORDER) - 1, 0, 1, 0)
    assert not _take(allocator, 0, MAX_ORDER, 1, 0)
    assert _take(allocator, 1 << MAX_ORDER, 2, 1, 0)
    _release(allocator, (1 << MAX_ORDER) - 1)
    assert _take(allocator, 0, MAX_ORDER, 1, 0)
    assert int(allocator.counts[frames.IN_USE]) == (1 << MAX_ORDER) + 4


def test_what_is_taken_has_an_owner_and_a_reverse_map() -> None:
    """Owners are numbers of 32 bits: more VMs than 16 bits can tell apart."""
    allocator = make_frames(64)
    assert _take(allocator, 8, 3, 70_000, 1 << 40)
    record = allocator.frame[8]
    assert int(record["owner"]) == 70_000 and int(record["reverse"]) == (1 << 40) + 1
    assert int(record["kind"]) == GUEST_PAGE and FRAME_RECORD.itemsize == 32


def test_a_merged_frame_may_not_be_pinned() -> None:
    """Not even one with a single sharer: a store would move it."""
    allocator = make_frames(4)
    first = int(_allocate(allocator, 0))
    allocator.frame[first]["kind"] = MERGED_PAGE
    assert not _pin(allocator, first) and int(allocator.frame[first]["pins"]) == 0
