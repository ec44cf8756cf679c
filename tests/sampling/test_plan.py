"""Which units are measured."""

from __future__ import annotations

import numpy as np
import pytest

from mmulab import api
from mmulab.mmu.errors import InputError
from mmulab.mmu.sampling import kmeans, plan, profile
from mmulab.mmu.sampling.intervals import Intervals, parse

PHASES = "phases:of=gups(size=128K)+gups(size=256K),length=20K,accesses=200K"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("smarts", "smarts"),
        ("smarts:units=100", "smarts"),
        ("smarts:units=50,unit=20000", "smarts:unit=20K,units=50"),
        ("simpoint:each=1,warm=pages,draw=3", "simpoint:warm=pages,draw=3,each=1"),
    ],
)
def test_intervals_as_text(text: str, canonical: str) -> None:
    assert parse(text).text == canonical
    assert parse(canonical) == parse(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("smart", "did you mean 'smarts'"),
        ("smarts:unit", "expected KEY=VALUE"),
        ("smarts:each=2", "unknown parameter of smarts 'each'"),
        ("simpoint:units=2", "unknown parameter of simpoint 'units'"),
        ("smarts:unit=1", "expected at least 2"),
        ("smarts:unit=x", "expected a whole number"),
        ("smarts:warm=page", "did you mean 'pages'"),
        ("smarts:unit=2K,unit=2K", "given twice"),
    ],
)
def test_bad_intervals(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse(text)


def test_units_lie_apart_as_evenly_as_can_be() -> None:
    """Where nothing happens but accesses: one stratum, every k-th unit, from a place by chance."""
    trace = api.trace("chase:size=64K,accesses=100K")
    found = [
        plan.make(trace, Intervals(unit=100, units=40, draw=n), 100_000, 20_000) for n in (1, 2)
    ]
    for each in found:
        places = (np.array(each.starts) - 20_000) // 100
        assert len(places) == 40 and places[0] >= 0 and places[-1] < 800
        assert set(np.diff(places).tolist()) <= {20}
        assert each.sizes == (800,) and each.accesses == 80_000
    assert found[0].starts != found[1].starts


def test_the_units_that_touch_most_are_all_measured() -> None:
    trace = api.trace("gups:size=4M,accesses=200K")
    found = plan.make(trace, Intervals(unit=200, units=60), 200_000, 0)
    work = profile.work(trace, 200, 0, 1000)
    assert work[:, 0].sum() == 1024  # pages
    assert set(np.flatnonzero(work[:, 0] > 150) * 200) <= set(found.starts)
    assert len(found.starts) == len(found.work) == 60
    assert sum(found.sizes) == 1000


def test_shares_add_up() -> None:
    random = np.random.default_rng(3)
    for _ in range(200):
        values = random.geometric(random.uniform(0.001, 1), 100) - 1.0
        units = int(random.integers(2, 101))
        labels, shares = profile.strata(values[:, None], units)
        sizes = np.bincount(labels)
        assert shares.sum() == units
        assert len(shares) == len(sizes)
        assert (shares <= sizes).all()


def test_too_few_units() -> None:
    trace = api.trace("gups:size=1M,accesses=5K")
    assert len(plan.make(trace, Intervals(unit=1000, units=6), 5_000, 0).starts) == 5
    with pytest.raises(InputError, match="expected two units of 3,000 at least"):
        plan.make(trace, Intervals(unit=3000), 5_000, 0)


def test_clusters_are_found() -> None:
    """Three heaps of points, far apart: three clusters, each of one heap."""
    random = np.random.default_rng(4)
    heaps = np.repeat([0, 1, 2], [50, 30, 20])
    centres = np.array([[0.0] * 15, [5.0] * 15, [0.0, 9.0] * 7 + [0.0]])
    points = centres[heaps] + random.normal(0, 0.3, (100, 15))
    labels, found = kmeans.clustered(points, 8, random)
    assert labels.tolist() == heaps.tolist()
    assert found == pytest.approx(centres, abs=0.3)


def test_clusters_of_equal_points() -> None:
    labels, _ = kmeans.clustered(np.ones((20, 15)), 5, np.random.default_rng(1))
    assert labels.tolist() == [0] * 20


def test_phases_are_clusters() -> None:
    """A trace of two phases in turns: no cluster has units of both."""
    trace = api.trace(PHASES)
    found = plan.make(trace, Intervals("simpoint", unit=1000, each=8), 200_000, 0)
    assert len(found.sizes) >= 2
    assert sum(found.sizes) == 200
    of_phase = np.array(found.starts) // 20_000 % 2
    first, second = (set(np.array(found.stratum)[of_phase == each].tolist()) for each in (0, 1))
    assert len(first) > 1 and len(second) > 1
    assert first & second <= {len(found.sizes) - 1}  # of units that are measured in any case
    assert np.bincount(found.stratum)[:-1].tolist() == [8] * (len(found.sizes) - 1)
