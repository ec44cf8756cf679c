"""Verdicts: against brute force over the range of the costs, and against runs at break-evens."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest

import mmulab
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.report import cost as model
from mmulab.mmu.report.cost import Range
from mmulab.mmu.report.measured import Measured
from mmulab.mmu.report.overlap import Overlap
from mmulab.mmu.report.verdict import Costs, Pair, verdict
from mmulab.plots.terminal.verdict import label, matter, number, of_two, sensitivity, sentences

#: About as many cycles under shadow as under nested paging: exits of first touches against walks.
CLOSE: dict[str, Any] = {
    "trace": "gups:size=32M,accesses=2M", "preset": "haswell", "techniques": "native,shadow,nested",
}  # fmt: skip


def result(
    name: str, charged: dict[str, float], walks: dict[str, float] | None = None,
    waited: tuple[float, float, float] = (1, 1, 1),
) -> Measured:  # fmt: skip
    """One that is charged so much outside of walks, and for them."""
    charges = {"exit_pte": charged, "guest_walk": walks or {}}
    overlap = Overlap(None, {"walks": Range(*waited)})
    cycles = model.price(charges, COSTS, {"guest_walk": Range(*waited)})
    told = {
        "technique": name,
        "name": name,
        "charges": charges,
        "cycles": cycles,
        "overlap": overlap,
    }
    return Measured(**{each.name: {} for each in fields(Measured)} | told)


COSTS = {
    "cost.both": Cited(1000, "test", 500, 2000),
    "cost.mine": Cited(10, "test", 5, 40),
    "memory_latency": Cited(100, "test", 50, 200),
}


def pair(of: Measured, to: Measured) -> Pair:
    return Costs(COSTS).pair(of, to)


def test_a_cost_that_both_are_charged_decides_nothing() -> None:
    """The ranges overlap, but one is charged what the other is, and more."""
    a = result("a", {"cost.both": 100})
    b = result("b", {"cost.both": 100, "cost.mine": 1})
    assert a.total_cycles.high > b.total_cycles.low
    found = pair(b, a)
    assert (found.fewer, found.more, found.share, found.everywhere) == ("a", "b", 1.0, True)


def test_one_wins_where_a_cost_is_below_its_break_even() -> None:
    """60 times `mine` against once `both`: equal with `both` at 600, `mine` at 16 and 2/3."""
    found = pair(result("a", {"cost.mine": 60}), result("b", {"cost.both": 1}))
    assert found.fewer == "a" and found.ratio.likely == 0.6 and not found.everywhere
    evens = {each.cost: each.break_even for each in found.costs}
    assert evens == {"cost.both": pytest.approx(600), "cost.mine": pytest.approx(1000 / 60)}
    assert all(each.in_range for each in found.costs)
    both, mine = sorted(found.costs, key=lambda each: each.cost)
    assert (both.ratio_low, both.ratio_high) == (600 / 500, 600 / 2000)
    assert (mine.ratio_low, mine.ratio_high) == (300 / 1000, 2400 / 1000)
    assert (both.swing, mine.swing) == (pytest.approx(0.9), pytest.approx(2.1))
    assert found.costs == (mine, both)
    # Of the draws, against as many of another generator.
    drawn = random.Random(7)

    def one(cost: Cited) -> float:
        ends = (cost.low, cost.value) if drawn.random() < 0.5 else (cost.value, cost.high)
        return drawn.uniform(*ends)

    wins = sum(60 * one(COSTS["cost.mine"]) < one(COSTS["cost.both"]) for _ in range(20_000))
    assert found.share == pytest.approx(wins / 20_000, abs=0.02)


def test_a_break_even_far_away_is_not_told() -> None:
    near = pair(result("a", {"cost.mine": 12}), result("b", {"cost.both": 1}))
    (mine,) = (each for each in near.costs if each.cost == "cost.mine")
    assert mine.break_even == pytest.approx(1000 / 12) and not mine.in_range
    far = pair(result("a", {"cost.mine": 9}), result("b", {"cost.both": 1}))
    assert [each.break_even for each in far.costs if each.cost == "cost.mine"] == [None]


def test_overlap_is_the_same_for_both() -> None:
    """Ten walks of 100 cycles against 800 cycles that are no walks, half of which are hidden at
    most; nothing is hidden: 1,000."""
    a = result("a", {}, {"memory_latency": 10}, (0.5, 0.6, 1))
    b = result("b", {"cost.mine": 80})
    found = pair(a, b)
    assert found.fewer == "a" and found.ratio.likely == pytest.approx(0.75)
    (overlap,) = (each for each in found.costs if each.cost == "overlap.walks")
    assert (overlap.low, overlap.likely, overlap.high) == (0, 0.5, 1)
    assert (overlap.ratio_low, overlap.ratio_high) == (500 / 800, 1000 / 800)
    assert overlap.break_even == pytest.approx(0.75)  # halfway from 600 to 1,000
    # Two that wait for the same part of theirs: the one with fewer walks wins, whatever is hidden.
    both = [
        result(name, {}, {"memory_latency": n}, (0.1, 0.6, 1)) for name, n in (("c", 9), ("d", 10))
    ]
    assert pair(*both).everywhere


@pytest.mark.parametrize("seed", range(20))
def test_everywhere_is_what_every_corner_says(seed: int) -> None:
    """And draws never say otherwise."""
    drawn = random.Random(seed)

    def any_result(name: str) -> Measured:
        low, likely = sorted(drawn.random() for _ in range(2))
        charged = {key: float(drawn.randrange(4)) for key in ("cost.both", "cost.mine")}
        walks = {"memory_latency": float(drawn.randrange(8))}
        return result(name, charged, walks, (low, likely, 1))

    a, b = any_result("a"), any_result("b")
    found = pair(a, b)
    apart = [
        _cycles(a, corner, end) - _cycles(b, corner, end)
        for corner in product(*((cost.low, cost.high) for cost in COSTS.values()))
        for end in range(3)
    ]
    assert found.everywhere == (all(x < 0 for x in apart) or all(x > 0 for x in apart))
    assert 0 <= found.share <= 1
    if found.everywhere:
        assert found.share == 1
    ratios = [
        _cycles(a, corner, end) / _cycles(b, corner, end)
        for corner in product(*((cost.low, cost.high) for cost in COSTS.values()))
        for end in range(3)
        if _cycles(b, corner, end)
    ]
    if len(ratios) == 24 and found.fewer:
        assert found.ratio.low == pytest.approx(min(ratios))
        assert found.ratio.high == pytest.approx(max(ratios))
        assert found.to_more.likely < 1


def _cycles(of: Measured, corner: tuple[float, ...], end: int) -> float:
    costs = dict(zip(COSTS, corner, strict=True))
    waited = of.overlap.of("walks")[end]
    rest = sum(number * costs[key] for key, number in of.charges["exit_pte"].items())
    return rest + waited * sum(n * costs[key] for key, n in of.charges["guest_walk"].items())


def test_which_are_compared() -> None:
    """The best two virtual ones, then each with the first; a pair once."""
    results = [
        result(name, {"cost.mine": n}) for name, n in (("n", 1), ("s", 9), ("x", 7), ("t", 8))
    ]
    found = verdict(results, ("s", "t", "x"), COSTS)
    assert [(each.of, each.to) for each in found] == [
        ("x", "t"),
        ("s", "n"),
        ("x", "n"),
        ("t", "n"),
    ]
    found = verdict(results[1:3], ("s", "x"), COSTS)
    assert [(each.of, each.to) for each in found] == [("x", "s")]
    assert verdict(results[:1], (), COSTS) == ()


def test_variants_are_compared_where_there_is_nothing_else() -> None:
    taken = {"n:x": 1.0, "n:y": 2.0, "s": 3.0}
    results = [
        replace(result(name, {"cost.mine": times}), name=name[0]) for name, times in taken.items()
    ]
    assert [(each.of, each.to) for each in verdict(results, taken, COSTS)][0] == ("n:x", "s")
    assert [(each.of, each.to) for each in verdict(results[:2], taken, COSTS)] == [("n:x", "n:y")]


def test_the_same_cycles() -> None:
    found = pair(result("a", {"cost.mine": 5}), result("b", {"cost.mine": 5}))
    assert (found.fewer, found.share, found.everywhere) == ("", 0.0, False)
    assert found.ratio == Range(1, 1, 1)
    assert found.costs == ()


@pytest.fixture(scope="module")
def close() -> mmulab.Comparison:
    return mmulab.compare(**CLOSE)


def test_break_evens_are_those_of_running_again(close: mmulab.Comparison) -> None:
    """With `--set cost.X=value`, both techniques take the same cycles."""
    found = of_two(close)
    assert (found.of, found.to) == ("nested", "shadow")
    told = [each for each in found.costs if each.break_even and not each.cost.startswith("overlap")]
    assert len(told) >= 3
    for each in told:
        again = mmulab.compare(**CLOSE, set={each.cost: each.break_even})
        nested, shadow = (again[name].total_cycles.likely for name in ("nested", "shadow"))
        assert nested == pytest.approx(shadow, rel=1e-9), each.cost
        # And on either side of it another one wins.
        sides = [
            mmulab.compare(**CLOSE, set={each.cost: part * each.break_even}).verdict[0].fewer
            for part in (0.99, 1.01)
        ]
        assert set(sides) == {"nested", "shadow"}


def test_ratios_are_those_of_running_again(close: mmulab.Comparison) -> None:
    found = of_two(close)
    largest = next(each for each in found.costs if each.cost.startswith("cost."))
    for value, ratio in ((largest.low, largest.ratio_low), (largest.high, largest.ratio_high)):
        again = mmulab.compare(**CLOSE, set={largest.cost: value})
        assert of_two(again).ratio.likely == pytest.approx(ratio, rel=1e-9)


def test_what_is_said_is_what_results_hold(close: mmulab.Comparison) -> None:
    first, *others = sentences(close)
    best = close.verdict[0]
    table = sensitivity(of_two(close))
    assert first.startswith(
        f"{best.fewer} takes {best.to_more.likely:.2f} times the cycles of {best.more}"
    )
    share = f"{100 * best.share:.0f} % of the range of the costs"
    assert f"fewer in {share}; {best.more} takes fewer " in first
    assert all(number(each.break_even or 0) in table for each in best.costs if each.in_range)
    assert others == [
        "native takes fewer cycles than shadow and nested in all of the range of the costs"
    ]
    for each in matter(of_two(close)):
        assert label(each.cost) in table
        assert f"{each.ratio_low:.3f}" in table and f"{each.ratio_high:.3f}" in table


def test_the_keys_of_a_verdict(close: mmulab.Comparison) -> None:
    (first, *_) = plain = json.loads(json.dumps(close.to_dict()))["verdict"]
    assert len(plain) == len(close.verdict) == 3
    assert set(first) == {"of", "to", "ratio", "fewer", "share", "everywhere", "costs"}
    for each in first["costs"]:
        assert set(each) == {
            "cost", "low", "likely", "high", "ratio_low", "ratio_high", "swing", "break_even",
        }  # fmt: skip
    swings = [each["swing"] for each in first["costs"]]
    assert swings == sorted(swings, reverse=True)
    likely = {name: close[name].total_cycles.likely for name in (first["of"], first["to"])}
    assert set(first["ratio"]) == {"low", "likely", "high"}
    assert first["ratio"]["likely"] == pytest.approx(likely[first["of"]] / likely[first["to"]])
    assert first["fewer"] == min(likely, key=lambda name: likely[name])
    assert 0 < first["share"] < 1 and first["everywhere"] is False
    costs = {each["cost"] for each in first["costs"]}
    numbers = close.input["preset"]["numbers"]
    assert {cost for cost in costs if cost not in numbers} <= {"overlap.walks", "overlap.data"}
