"""Knees of curves that simulated TLBs and caches make, with noise."""

from __future__ import annotations

import numpy as np
import pytest
from models.chase_costs import Level, noisy, step

from mmulab.workloads.probes import chase, knees
from mmulab.workloads.probes.memory import PAGE, WORD

SIZES = chase.steps(16, 16384, 4)

#: (sets, ways) of the first and the second TLB: processors of the presets.
TLBS = {
    "haswell": ((16, 4), (128, 8)),
    "skylake": ((16, 4), (128, 12)),
    "golden-cove": ((1, 96), (128, 16)),
    "zen-4": ((1, 72), (256, 12)),
    "zen-5": ((1, 96), (256, 16)),
    "neoverse": ((1, 48), (256, 5)),
}


def page_numbers(count: int) -> np.ndarray:
    return chase.pages(count) * WORD // PAGE


def curve(levels: list[Level]) -> list[float]:
    return [step(5, levels, page_numbers(size)) for size in SIZES]


def within_a_step(found: int, entries: int) -> bool:
    at = SIZES.index(found)
    return SIZES[max(0, at - 1)] <= entries <= SIZES[at + 1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", TLBS)
def test_both_tlbs_are_found_within_a_step(name: str, seed: int) -> None:
    first, second = TLBS[name]
    costs = curve([Level(*first, 7), Level(*second, 30)])
    found = knees.find(SIZES, noisy(costs, seed))
    assert len(found) == 2
    for knee, (sets, ways) in zip(found, (first, second), strict=True):
        assert within_a_step(knee.size, sets * ways)


@pytest.mark.parametrize("seed", range(5))
def test_a_hashed_tlb_is_found_nearly(seed: int) -> None:
    """Its sets fill unevenly: the curve bends before its size, and the knee is half way up."""
    costs = curve([Level(1, 96, 7), Level(128, 16, 30, hashed=True)])
    first, second = knees.find(SIZES, noisy(costs, seed))
    assert first.size == 96 and 2048 / 1.45 <= second.size <= 2048 * 1.45


@pytest.mark.parametrize("walks_grow", [1.5, 4])
def test_a_tlb_is_found_where_walks_cost_ever_more(walks_grow: float) -> None:
    """No plateau follows where the page tables leave one cache after another."""
    costs = curve([Level(1, 96, 7), Level(256, 16, 30)])
    rising = [cost * (size / 4096) ** np.log2(walks_grow) if size > 4096 else cost
              for size, cost in zip(SIZES, costs, strict=True)]  # fmt: skip
    found = knees.find(SIZES, noisy(rising, 1))
    assert [found[0].size, found[1].size] == [96, 4096]


def test_the_levels_on_both_sides_are_those_of_the_structures() -> None:
    found = knees.find(SIZES, curve([Level(1, 96, 7), Level(256, 16, 30)]))
    assert [(round(each.below), round(each.above)) for each in found] == [(5, 12), (12, 42)]
    assert [(each.size, each.after) for each in found] == [(96, 112), (4096, 5120)]


def test_caches_are_found_by_lines() -> None:
    sizes = chase.steps(64, 1 << 21, 4)
    levels = [Level(64, 12, 9), Level(1024, 16, 33), Level(32768, 16, 400)]
    costs = [step(5, levels, np.arange(size)) for size in sizes]
    assert [each.size for each in knees.find(sizes, noisy(costs, 3))] == [768, 16384, 524288]


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_has_no_knee(seed: int) -> None:
    assert knees.find(SIZES, noisy([5.0] * (len(SIZES) - 3), seed).tolist() + [5.0] * 3) == []


def test_a_disturbed_point_moves_a_knee_by_no_more_than_a_step() -> None:
    """All but the last, after which nothing could show that it was disturbed."""
    costs = curve([Level(1, 96, 7)])
    for at in range(len(SIZES) - 1):
        (knee,) = knees.find(SIZES, [*costs[:at], 100 * costs[at], *costs[at + 1 :]])
        assert knee.size == (80 if SIZES[at] == 96 else 96)


def test_the_envelope_never_falls_and_lies_below() -> None:
    values = [5, 9, 5, 7, 12, 8, 13]
    assert knees.envelope(values).tolist() == [5, 5, 5, 7, 8, 8, 13]
