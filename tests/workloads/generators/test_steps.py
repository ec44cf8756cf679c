"""Chunks of generators that take steps: the same length whatever the steps, events in place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import EVENT, LOAD, MMAP, Chunk
from mmulab.workloads.generators import parameters
from mmulab.workloads.generators.steps import LAST_PID, Output, free_pid, full, happen, put, stepped


@entry
def _take(out, state, accesses, events):
    """Step n makes accesses[n] accesses, each with its number for an address, and before the
    last of them events[n] events."""
    while not full(out):
        step = state[0] % accesses.size
        state[0] += 1
        for index in range(accesses[step]):
            if index == accesses[step] - 1:
                for _ in range(events[step]):
                    happen(out, MMAP, 1, state[1], state[2], 0)
                    state[2] += 1
            put(out, state[1], LOAD)
            state[1] += 1


def chunks_of(length: int, steps: list[tuple[int, int]]) -> list[Chunk]:
    state = np.zeros(3, np.int64)
    accesses, events = (np.array(column) for column in zip(*steps, strict=True))

    def fill(out: Output) -> None:
        _take(out, state, accesses, events)

    return list(stepped(length, np.zeros(1, EVENT), fill, int(accesses.max())))


@settings(max_examples=60, deadline=None)
@given(
    cut=st.integers(1, 50),
    length=st.integers(1, 300),
    steps=st.lists(st.tuples(st.integers(1, 70), st.integers(0, 64)), min_size=1, max_size=8),
)
def test_chunks_are_full_and_events_keep_their_place(
    cut: int, length: int, steps: list[tuple[int, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "CHUNK", cut)
        chunks = chunks_of(length, steps)
    assert [c.accesses for c in chunks] == [min(cut, length - at) for at in range(0, length, cut)]
    assert np.array_equal(np.concatenate([c.address for c in chunks]), np.arange(length))
    expected, at = [0], 0
    while at < length:
        for accesses, events in steps:
            at += accesses
            expected += [at - 1] * events
    first = np.cumsum([0] + [c.accesses for c in chunks])
    events_ = [c.events for c in chunks]
    places = np.concatenate([e["position"] + f for e, f in zip(events_, first, strict=False)])
    assert places.tolist() == [place for place in expected if place < length]
    made = np.concatenate(events_)[1:]
    assert np.array_equal(made["start"], places[1:])
    assert np.array_equal(made["length"], np.arange(len(made)))


def test_more_events_than_one_call_has_room_for() -> None:
    (chunk,) = chunks_of(1000, [(1, 64)])
    assert len(chunk.events) == 1 + 64_000


@entry
def _free(pids, last):
    return free_pid(pids, last)


@pytest.mark.parametrize(
    ("pids", "last", "expected"),
    [([], 0, 2), ([2, 3], 2, 4), ([LAST_PID, 2, 4], LAST_PID - 1, 3), ([], LAST_PID, 2)],
)
def test_a_pid_is_the_next_that_no_live_process_has(
    pids: list[int], last: int, expected: int
) -> None:
    assert _free(np.array(pids, np.int64), last) == expected
