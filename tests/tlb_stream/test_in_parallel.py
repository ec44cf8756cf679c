"""Long streams on several cores: no count depends on how many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab.mmu.errors import InputError
from mmulab.mmu.tlb_stream import in_parallel
from mmulab.mmu.tlb_stream.constants import LONG, WIDE_WAYS
from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.tlb_stream.stream import TLBStream

LEVELS = st.builds(
    Geometry, st.sampled_from([1, 2, 16]), st.integers(1, 6) | st.sampled_from([WIDE_WAYS])
)


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_parallel, "LONG", 20)
    monkeypatch.setattr(in_parallel, "PIECE", 100)
    monkeypatch.setattr(in_parallel, "LOOK_BACK", (8, 60))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    l1=LEVELS,
    l2=LEVELS,
    pages=st.lists(st.tuples(st.sampled_from([3, 20, 300]), st.integers(1, 900)), min_size=1,
                   max_size=4),
    seed=st.integers(0, 1 << 32),
    cuts=st.lists(st.integers(0, 3000), max_size=4),
)  # fmt: skip
def test_as_one_core_counts(
    l1: Geometry, l2: Geometry, pages: list[tuple[int, int]], seed: int, cuts: list[int]
) -> None:
    """Pieces that fill sets, or not; runs after each other, some too short for several."""
    random = np.random.default_rng(seed)
    addresses = np.concatenate([random.integers(-most, most, n) for most, n in pages]) << 12
    one, several = TLBStream(l1, l2, jobs=1), TLBStream(l1, l2, jobs=3)
    for chunk in np.split(addresses, sorted(cuts)):
        one.run(chunk)
        several.run(chunk)
        assert several.counts == one.counts


def test_who_is_served() -> None:
    lru, fifo, large = Geometry(16, 4), Geometry(16, 4, "fifo"), Geometry(1 << 16, 4)
    assert in_parallel.serves(lru, lru, 40, 2)
    assert not in_parallel.serves(lru, lru, 39, 2)
    assert not in_parallel.serves(lru, fifo, 40, 2)
    assert not in_parallel.serves(lru, large, LONG, 2)


def test_jobs_are_one_or_more() -> None:
    with pytest.raises(InputError, match="jobs 0"):
        TLBStream(Geometry(1, 1), Geometry(1, 1), jobs=0)
