"""The buddy allocator against a set of free frames."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.frames import make_frames
from mmulab.mmu.memory.state import GUEST_PAGE, MAX_ORDER, Frames
from mmulab.mmu.memory.status import NIL


@entry
def _allocate(allocator: Frames, order):
    return frames.allocate(allocator, order, GUEST_PAGE, 1, 0)


@entry
def _release(allocator: Frames, first):
    return frames.release(allocator, first)


@entry
def _split(allocator: Frames, first, order):
    frames.split(allocator, first, order)


def free_blocks(allocator: Frames) -> set[tuple[int, int]]:
    """(first frame, order) of each block on the free lists, links checked."""
    blocks = set()
    for order in range(MAX_ORDER + 1):
        previous, at = 0, int(allocator.free[order])
        while at:
            record = allocator.frame[at - 1]
            assert int(record["previous"]) == previous
            assert int(record["order"]) == order + 1
            assert (at - 1) % (1 << order) == 0
            blocks.add((at - 1, order))
            previous, at = at, int(record["next"])
    return blocks


def frames_of(blocks: set[tuple[int, int]]) -> set[int]:
    covered = [f for first, order in blocks for f in range(first, first + (1 << order))]
    assert len(covered) == len(set(covered))
    return set(covered)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 6)),
        st.tuples(st.just("share"), st.integers(0, 99)),
        st.tuples(st.just("give"), st.integers(0, 99)),
        st.tuples(st.just("split"), st.integers(0, 99)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(total=st.integers(1, 300), history=steps)
def test_against_a_set(total: int, history: list[tuple[str, int]]) -> None:
    allocator = make_frames(total)
    at_first = free_blocks(allocator)
    held: dict[int, list[int]] = {}  # first frame -> [order, references]
    free = set(range(total))
    for what, number in history:
        if what == "take":
            first = int(_allocate(allocator, number))
            size = 1 << number
            if first == NIL:
                starts = range(0, total - size + 1, size)
                assert not any(free >= set(range(s, s + size)) for s in starts)
                continue
            block = set(range(first, first + size))
            assert first % size == 0 and block <= free
            free -= block
            held[first] = [number, 1]
        elif held:
            first = sorted(held)[number % len(held)]
            order, references = held[first]
            if what == "share":
                allocator.frame[first]["references"] += 1
                held[first][1] += 1
            elif what == "give":
                assert int(_release(allocator, first)) == references - 1
                held[first][1] -= 1
                if references == 1:
                    del held[first]
                    free |= set(range(first, first + (1 << order)))
            elif references == 1 and order:
                _split(allocator, first, order - 1)
                held[first][0] = order - 1
                held[first + (1 << (order - 1))] = [order - 1, 1]
        assert frames_of(free_blocks(allocator)) == free
        assert int(allocator.counts[frames.IN_USE]) == total - len(free)
    for first, (_, references) in held.items():
        for _ in range(references):
            _release(allocator, first)
    assert free_blocks(allocator) == at_first  # buddies have found each other again


def test_low_frames_are_handed_out_first() -> None:
    allocator = make_frames(1024)
    assert [int(_allocate(allocator, 0)) for _ in range(10)] == list(range(10))


@pytest.mark.parametrize("total", [0, -1, 1 << 31])
def test_impossible_sizes(total: int) -> None:
    with pytest.raises(InputError, match="expected 1 to"):
        make_frames(total)
