"""ESX's shares and idle tax: the paper's examples, closed forms, revocation frame by frame."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmulab.mmu.errors import InputError
from mmulab.mmu.services import esx

MB = 256  # frames of 4 KiB


def frame_by_frame(shares, low, high, held, active, available, tau):
    """Min-funding revocation as 5.1 tells it: one frame at a time, from exact ratios.

    First the VMs' holdings are made to fit; then a frame moves from the VM that pays least
    to the one that would still pay more with it, until there is no such pair.
    """
    k = 1 / (1 - Fraction(tau))
    weight = [Fraction(s) / (Fraction(f) + k * (1 - Fraction(f)))
              for s, f in zip(shares, active, strict=True)]  # fmt: skip
    pages = [min(max(h, lo), hi) for h, lo, hi in zip(held, low, high, strict=True)]
    vms = range(len(pages))

    def victim():
        able = [vm for vm in vms if pages[vm] > low[vm]]
        return min(able, key=lambda vm: weight[vm] / pages[vm], default=None)

    def winner():
        able = [vm for vm in vms if pages[vm] < high[vm]]
        return max(able, key=lambda vm: weight[vm] / (pages[vm] + 1), default=None)

    while sum(pages) > available:
        pages[victim()] -= 1
    while sum(pages) < available and winner() is not None:
        pages[winner()] += 1
    while True:
        loser, gainer = victim(), winner()
        if loser is None or gainer is None or loser == gainer:
            return pages, weight
        if weight[gainer] / (pages[gainer] + 1) <= weight[loser] / pages[loser]:
            return pages, weight
        pages[loser] -= 1
        pages[gainer] += 1


@st.composite
def hosts(draw):
    vms = draw(st.integers(1, 6))

    def each(values):
        return draw(st.lists(values, min_size=vms, max_size=vms))

    low = each(st.integers(0, 12))
    high = [a + b for a, b in zip(low, each(st.integers(0, 25)), strict=True)]
    available = draw(st.integers(sum(low), max(sum(high) + 3, sum(low))))
    # Fractions of 16ths, so that products and comparisons of the oracle stay small and exact.
    active = [n / 16 for n in each(st.integers(0, 16))]
    tau = draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.875]))
    return each(st.integers(1, 40)), low, high, each(st.integers(0, 40)), active, available, tau


@given(hosts())
def test_targets_are_the_end_of_frame_by_frame_revocation(host):
    _, low, high, _, _, available, _ = host
    result = esx.targets(*host)
    assert result.dtype == np.int64
    pages, weight = frame_by_frame(*host)
    assert result.sum() == min(available, sum(high)) == sum(pages)
    assert np.all(result >= low) and np.all(result <= high)
    # Where ratios tie, the paper leaves the frame's owner open: those VMs' ratios then match.
    for vm in np.flatnonzero(result != pages):
        most = max(int(result[vm]), pages[vm])
        tied = [
            weight[other] / max(int(result[other]), pages[other])
            for other in np.flatnonzero(result != pages)
            if other != vm
        ]
        assert weight[vm] / most in tied, (host, result, pages)


@given(hosts(), st.integers(0, 5), st.integers(1, 30))
def test_more_shares_never_mean_less_memory(host, vm, more):
    shares, *rest = host
    vm %= len(shares)
    richer = [s + more * (i == vm) for i, s in enumerate(shares)]
    before, after = esx.targets(shares, *rest), esx.targets(richer, *rest)
    assert after[vm] >= before[vm]
    others = np.arange(len(shares)) != vm
    assert np.all(after[others] <= before[others])


@given(hosts())
def test_targets_are_reached_once_and_stay(host):
    shares, low, high, _, active, available, tau = host
    first = esx.targets(*host)
    again = esx.targets(shares, low, high, first, active, available, tau)
    assert np.array_equal(first, again)


@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=8),
    st.integers(1, 10**12),
    st.sampled_from([0.0, 0.5, 0.75]),
)
def test_without_limits_memory_is_in_proportion(shares, available, tau):
    """P_i = N S_i / sum S when all are equally active, to within a frame, at any size."""
    n = len(shares)
    result = esx.targets(shares, [0] * n, [10**13] * n, [0] * n, [0.25] * n, available, tau)
    exact = [Fraction(available * s, sum(shares)) for s in shares]
    assert result.sum() == available
    # A divisor method gives at least the floor of the exact share and at most n - 1 more.
    for got, want in zip(result.tolist(), exact, strict=True):
        assert math.floor(want) <= got < want + n


def test_two_vms_of_figure_7_share_equally_without_a_tax():
    """Fig. 7: identical shares, 256 MB each, overcommitted: without a tax both get the same."""
    vms = [1, 1], [0, 0], [256 * MB] * 2, [256 * MB, 104 * MB], [0, 1]
    assert esx.targets(*vms, 360 * MB, tau=0).tolist() == [180 * MB, 180 * MB]


def test_the_tax_of_figure_7_moves_idle_memory():
    """With 75 %, an idle page costs four active ones: P1 : P2 = 1 : 4 until a maximum is met."""
    vms = dict(shares=[1, 1], minimum=[0, 0], allocated=[180 * MB] * 2, active_fraction=[0, 1])
    unlimited = esx.targets(**vms, maximum=[400 * MB] * 2, available=360 * MB)
    assert unlimited.tolist() == [72 * MB, 288 * MB]
    limited = esx.targets(**vms, maximum=[256 * MB] * 2, available=360 * MB)
    assert limited.tolist() == [104 * MB, 256 * MB]
    vms["minimum"] = [128 * MB, 0]
    reserved = esx.targets(**vms, maximum=[256 * MB] * 2, available=360 * MB)
    assert reserved.tolist() == [128 * MB, 232 * MB]


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 16), st.integers(0, 16))
def test_two_vms_meet_where_their_ratios_are_equal(s1, s2, sixteenths1, sixteenths2):
    f = np.array([sixteenths1, sixteenths2]) / 16
    p = esx.targets([s1, s2], [0, 0], [10**9] * 2, [0, 0], f, 10**8)
    cost = p * (f + 4 * (1 - f))
    assert cost[0] * s2 == pytest.approx(cost[1] * s1, abs=8 * (s1 + s2))
    rho = esx.shares_per_page([s1, s2], p, f)
    assert rho[0] == pytest.approx(rho[1], rel=1e-5)


@pytest.mark.parametrize(("tau", "k"), [(0, 1), (0.5, 2), (0.75, 4), (0.9, 10)])
def test_the_cost_of_an_idle_page(tau, k):
    assert esx.idle_page_cost(tau) == pytest.approx(k)
    # A VM with half its 10 pages idle pays for 5 + 5 k.
    assert esx.shares_per_page(100, 10, 0.5, tau) == pytest.approx(100 / (5 + 5 * k))


def test_the_largest_tax_takes_up_to_that_fraction_of_idle_memory():
    """5.2: the tax rate is the most of a VM's idle memory that may be reclaimed."""
    # An idle VM against one that takes whatever it gets: 1 - 0.75 of an even share is left.
    p = esx.targets([1, 1], [0, 0], [10**6] * 2, [500, 500], [0, 1], 1000)
    assert p.tolist() == [200, 800]
    # The idle VM keeps a quarter of what an active one with its shares has.
    assert p[0] / p[1] == 1 - 0.75


def test_enough_memory_gives_everyone_the_maximum():
    assert esx.targets([1, 9], [0, 0], [7, 8], [0, 0], [0, 0], 15).tolist() == [7, 8]
    assert esx.targets([1, 9], [0, 0], [7, 8], [0, 0], [0, 0], 10**9).tolist() == [7, 8]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shares": [0, 1]}, "shares"),
        ({"shares": [1]}, "1 shares"),
        ({"active_fraction": [0.5, 1.5]}, "active fractions"),
        ({"active_fraction": [0.5, math.nan]}, "active fractions"),
        ({"minimum": [9, 0], "maximum": [8, 8]}, "VM 0: minimum of 9"),
        ({"minimum": [6, 6]}, "minimums are 12 frames"),
        ({"maximum": [8]}, "differ in length"),
        ({"allocated": [1.5, 2]}, "allocated must be whole"),
        ({"tau": 1.0}, "idle memory tax"),
        ({"tau": -0.1}, "idle memory tax"),
    ],
)
def test_bad_values_are_named(change, said):
    good = dict(shares=[1, 1], minimum=[0, 0], maximum=[8, 8], allocated=[5, 5],
                active_fraction=[0.5, 0.5], available=10)  # fmt: skip
    assert esx.targets(**good).tolist() == [5, 5]
    with pytest.raises(InputError, match=said):
        esx.targets(**(good | change))
