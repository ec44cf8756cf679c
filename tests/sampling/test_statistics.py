"""Estimates and their intervals, against tables, by hand and against many draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmulab.mmu.sampling.profile import strata
from mmulab.mmu.sampling.statistics import Sample, student


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045), (99, 1.984), (1e6, 1.960)],
)
def test_student(freedom: float, quantile: float) -> None:
    """As printed tables have it."""
    assert student(freedom) == pytest.approx(quantile, abs=6e-4)


def test_students_quantiles_are_monotonous() -> None:
    found = [student(freedom) for freedom in np.linspace(1, 400, 100)]
    assert all(one > next for one, next in zip(found, found[1:], strict=False))


def nothing(units: int) -> np.ndarray:
    return np.zeros((units, 1))


def test_a_mean_by_hand() -> None:
    """Four of 40 units: the mean 5, s^2 = 20/3, so that the error is sqrt(0.9 * 20/3 / 4)."""
    sample = Sample(np.zeros(4, int), np.array([40]), nothing(4))
    found = sample.ratio(np.array([2.0, 4, 6, 8]), np.ones(4), 10)
    margin = 3.1824 * math.sqrt(0.9 * (20 / 3) / 4)
    assert found.value == pytest.approx(50)
    assert found.margin == pytest.approx(10 * margin, rel=1e-4)
    assert found.low == pytest.approx(50 - 10 * margin, rel=1e-4)


def test_strata_by_hand() -> None:
    """Two of 6 and two of 2: 0.75 * 3 + 0.25 * 15, and the second stratum is known exactly."""
    sample = Sample(np.array([0, 0, 1, 1]), np.array([6, 2]), nothing(4))
    found = sample.ratio(np.array([2.0, 4, 10, 20]), np.ones(4))
    assert found.value == pytest.approx(6)
    assert found.margin == pytest.approx(12.706 * math.sqrt(0.75**2 * (2 / 3) * 2 / 2), rel=1e-3)


def test_a_ratio_has_the_variance_of_what_it_leaves() -> None:
    """Units differ in size alone: misses of an access are known exactly."""
    sizes = np.array([10.0, 30, 20, 70])
    sample = Sample(np.zeros(4, int), np.array([100]), nothing(4))
    found = sample.ratio(0.25 * sizes, sizes)
    assert found.value == pytest.approx(0.25)
    assert found.margin == pytest.approx(0, abs=1e-12)
    assert found.cv == pytest.approx(0, abs=1e-12)


def test_one_of_a_stratum_tells_no_interval() -> None:
    found = Sample(np.array([0, 1, 1]), np.array([3, 5]), nothing(3)).ratio(np.ones(3), np.ones(3))
    assert (found.low, found.high, found.margin) == (None, None, None)


def test_what_is_known_corrects() -> None:
    """What is linear in what is known of all units is known exactly, wherever the sample lies."""
    random = np.random.default_rng(1)
    known = random.random((200, 2)) ** 4
    values = 3 + known @ np.array([5.0, -2.0])
    at = random.choice(200, 20, replace=False)
    sample = Sample(np.zeros(20, int), np.array([200]), (known - known.mean(axis=0))[at])
    found = sample.ratio(values[at], np.ones(20))
    assert found.value == pytest.approx(values.mean())
    assert found.margin == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_intervals_hold_the_mean(noise: float) -> None:
    """A program that touches its memory at first, in 1 of 50 units, and costs what it touches, of
    which an eighth is not linear: 95 % of intervals hold the mean, as they say."""
    random = np.random.default_rng(2)
    touches = np.zeros(500)
    touches[:10] = np.geomspace(2000, 3, 10).round()
    values = 100 + touches + touches**1.2 / 8 + noise * random.exponential(20, 500)
    labels, shares = strata(touches[:, None], 40)
    held = 0
    for _ in range(300):
        at = np.concatenate(
            [
                random.choice(np.flatnonzero(labels == each), share, replace=False)
                for each, share in enumerate(shares)
            ]
        )
        known = (touches - touches.mean())[at, None]
        sample = Sample(labels[at], np.bincount(labels), known)
        found = sample.ratio(values[at], np.ones(len(at)))
        assert found.low is not None and found.high is not None
        held += found.low <= values.mean() <= found.high
    assert held >= 0.92 * 300
