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


@given(st.sampled_from(Thresholds().states), st.integers(0, 1000))
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
        for state in t.states:
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


# --- ESXi -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gib", "mib"),
    [(1, 61.44), (4, 245.76), (12, 573.44), (28, 901.12), (100, 901.12 + 737.28)],
)
def test_the_sliding_scale(gib, mib):
    """6 % to 4 GiB, 4 % to 12, 2 % to 28, 1 % of the rest."""
    assert esx.min_free(gib * 1024 * MB) == pytest.approx(mib * MB)


def test_states_of_vsphere_6_are_parts_of_what_the_scale_keeps_free():
    total = 100 * 1024 * MB
    kept = int(esx.min_free(total))
    t = esx.of_esxi(total)
    assert t.states == (State.HIGH, State.CLEAR, State.SOFT, State.HARD, State.LOW)
    walk = [  # percent of minFree, and the state that it leads to
        (500, State.HIGH), (101, State.HIGH), (99, State.CLEAR), (380, State.CLEAR),
        (63, State.SOFT), (99, State.SOFT), (120, State.CLEAR), (31, State.HARD),
        (79, State.HARD), (82, State.SOFT), (15, State.LOW), (47, State.LOW), (50, State.HARD),
        (450, State.HIGH), (0, State.LOW),
    ]  # fmt: skip
    state = State.HIGH
    for percent, expected in walk:
        state = esx.next_state(state, kept * percent // 100, total, t)
        assert state == expected, percent


@given(st.integers(8 * MB, 10**8))
def test_its_goal_ends_reclamation_too(total):
    t = esx.of_esxi(total)
    frames = esx.goal(total, t)
    for state in t.states:
        assert esx.next_state(state, frames, total, t) <= State.CLEAR
    assert esx.next_state(State.SOFT, frames - 1, total, t) == State.SOFT


def test_state_clear_reclaims_nothing():
    r = esx.reclamation(State.CLEAR, [10, 10], [4, 7], [9, 9])
    assert not (r.balloon.any() or r.page.any() or r.blocked.any())
