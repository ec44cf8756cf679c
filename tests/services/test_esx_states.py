"""ESX's reclamation states and admission, as the paper has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmulab.mmu.errors import InputError
from mmulab.mmu.services import esx
from mmulab.mmu.services.esx import State, Thresholds

MB = 256  # frames of 4 KiB


def test_states_go_down_at_the_papers_thresholds_and_up_past_the_next_higher():
    t = Thresholds()
    assert (t.high, t.soft, t.hard, t.low) == (0.06, 0.04, 0.02, 0.01)
    walk = [  # free frames of 10,000, and the state they lead to
        (900, State.HIGH), (500, State.HIGH), (400, State.HIGH), (399, State.SOFT),
        (601, State.SOFT), (700, State.SOFT), (701, State.HIGH), (399, State.SOFT),
        (200, State.SOFT), (199, State.HARD), (450, State.HARD), (501, State.SOFT),
        (99, State.LOW), (150, State.LOW), (250, State.LOW), (301, State.HARD),
        (50, State.LOW), (9000, State.HIGH), (0, State.LOW),
    ]  # fmt: skip
    state = State.HIGH
    for free, expected in walk:
        state = esx.next_state(state, free, 10_000, t)
        assert state == expected, free


@given(st.sampled_from(State), st.integers(0, 1000))
def test_a_state_is_settled_and_never_milder_than_free_memory_allows(state, free):
    t = Thresholds()
    after = esx.next_state(state, free, 1000, t)
    assert esx.next_state(after, free, 1000, t) == after
    for lower in (State.SOFT, State.HARD, State.LOW):
        assert after >= lower or free >= t.fraction(lower) * 1000
    # Falling into a state and rising out of it never happen at the same amount of free memory.
    assert esx.next_state(State.HIGH, free, 1000, t) <= esx.next_state(State.LOW, free, 1000, t)


@given(st.integers(1, 10**7))
def test_the_goal_is_the_least_that_ends_reclamation(total):
    t = Thresholds()
    frames = esx.goal(total, t)
    if frames <= total:
        for state in State:
            assert esx.next_state(state, frames, total, t) == State.HIGH
    assert esx.next_state(State.SOFT, frames - 1, total, t) != State.HIGH


def test_what_each_state_does():
    held, target, room = [10, 10, 5], [4, 7, 9], [2, 9, 9]

    def plan(state):
        r = esx.reclamation(state, held, target, room)
        return r.balloon.tolist(), r.page.tolist(), r.blocked.tolist()

    nobody = [False] * 3
    assert plan(State.HIGH) == ([0, 0, 0], [0, 0, 0], nobody)
    assert plan(State.SOFT) == ([2, 3, 0], [4, 0, 0], nobody)  # VM 0's balloon is short
    assert plan(State.HARD) == ([0, 0, 0], [6, 3, 0], nobody)
    assert plan(State.LOW) == ([0, 0, 0], [6, 3, 0], [True, True, False])


@pytest.mark.parametrize("bad", [{"soft": 0.07}, {"low": -0.1}, {"high": 1.0}, {"margin": -0.01}])
def test_thresholds_must_fall(bad):
    with pytest.raises(InputError, match="thresholds"):
        Thresholds(**bad)
