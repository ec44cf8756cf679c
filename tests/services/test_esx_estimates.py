"""ESX's estimates of working sets from samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmulab.mmu.errors import InputError
from mmulab.mmu.services import esx


def test_averages_have_their_closed_form():
    a = esx.ActiveMemory(1, slow_gain=0.1, fast_gain=0.5)
    a.end_period(0, 80)
    assert a.estimate[0] == a.slow[0] == a.fast[0] == 0.8
    for n in range(1, 20):
        a.end_period(0, 0)
        assert a.slow[0] == pytest.approx(0.8 * 0.9**n) == a.estimate[0]
        assert a.fast[0] == pytest.approx(0.8 * 0.5**n)


def test_an_estimate_rises_faster_than_it_falls():
    """Fig. 6: quick up with the fast average, slow down with the slow one."""
    a = esx.ActiveMemory(2)
    for _ in range(50):
        a.end_period([0, 1], 20)
    a.end_period(0, 100)  # a toucher starts in VM 0 only
    assert a.estimate == pytest.approx([0.6, 0.2])  # half of the way at once
    for _ in range(6):
        a.end_period(0, 100)
    assert a.estimate[0] > 0.98
    before = a.estimate[0]
    for _ in range(3):
        a.end_period(0, 20)
    assert a.fast[0] < 0.35 and a.slow[0] < before
    assert a.estimate[0] == a.slow[0] > 0.45


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30))
def test_an_estimate_stays_within_what_was_seen(touched):
    a = esx.ActiveMemory(1)
    for count in touched:
        a.end_period(0, count)
        assert a.estimate[0] >= a.fast[0] and a.estimate[0] >= a.slow[0]
    assert min(touched) / 100 - 1e-12 <= a.estimate[0] <= max(touched) / 100 + 1e-12


@pytest.mark.parametrize("count", [-1, 101])
def test_more_touched_than_sampled_is_refused(count):
    with pytest.raises(InputError, match="sampled"):
        esx.ActiveMemory(1).end_period(0, count)
    with pytest.raises(InputError, match="gains"):
        esx.ActiveMemory(1, slow_gain=0.6, fast_gain=0.5)
