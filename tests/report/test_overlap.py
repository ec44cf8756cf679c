"""Overlap: what of walks is waited for, against chains and formulas worked out by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drivers.traces import Script

import mmulab
from mmulab.mmu import presets
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report import cost
from mmulab.mmu.report.cost import Range
from mmulab.mmu.report.overlap import (
    NOTHING_HIDDEN,
    Independence,
    Overlap,
    in_window,
    independence,
    overlap,
    unknown,
)
from mmulab.mmu.techniques import registry
from mmulab.mmu.trace import FETCH, INDEPENDENT, LOAD, NO_EVENTS, STORE, UNKNOWN, Chunk, Origin

PRESET = presets.load("skylake-sp")


def with_window(accesses: int) -> Preset:
    """A preset with so many data accesses in its window."""
    return replace(PRESET, window=Cited(accesses / 0.4, "test"))


class Told:
    """A trace of chunks of (depends, kind); None: without the column."""

    def __init__(self, *chunks: tuple[list[int] | None, list[int]], spec: str = "told") -> None:
        self.name, self.origin, self.told = spec, Origin(spec), chunks
        self.length = sum(len(kinds) for _, kinds in chunks)

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        assert "depends" in columns
        for depends, kinds in self.told:
            count = len(kinds)
            yield Chunk(
                np.zeros(count, np.int64), np.array(kinds, np.uint8), np.ones(count, np.uint16),
                NO_EVENTS, depends=None if depends is None else np.array(depends, np.uint16),
            )  # fmt: skip


def told(depends: list[int], kinds: list[int] | None = None) -> Told:
    return Told((depends, kinds or [LOAD] * len(depends)))


@pytest.mark.parametrize(
    ("spec", "independent"),
    [("chase:accesses=20K", 1), ("gups:accesses=20K", 90), ("zipf:accesses=20K", 45)],
)
def test_generators_know_their_chains(spec: str, independent: int) -> None:
    """A chase is one chain; GUPS has none; of zipf, a bucket makes the addresses of its lines."""
    known = independence(mmulab.trace(spec), PRESET)
    assert known == Independence(90, independent, independent)


def test_a_chain_is_followed_within_its_window() -> None:
    # Two chains, one access in two of each; and one that is made by what lies before the trace.
    chains = told([INDEPENDENT, 5, *[2] * 6])
    assert independence(chains, with_window(8)) == Independence(8, 2, 2)
    # In a window of two accesses, both begin anew.
    assert independence(chains, with_window(2)) == Independence(2, 2, 2)


def test_fetches_make_no_chain_and_fill_no_window() -> None:
    """Every second access is a fetch, so that the load before lies two back."""
    kinds = [LOAD, FETCH] * 8
    depends = [INDEPENDENT, UNKNOWN, *[2, UNKNOWN] * 7]
    assert independence(told(depends, kinds), with_window(4)) == Independence(4, 1, 1)


def test_what_is_not_known_is_taken_both_ways() -> None:
    # One access of four is known to begin anew; the others are a chain of it, or none.
    known = independence(told([INDEPENDENT, UNKNOWN, UNKNOWN, UNKNOWN]), with_window(4))
    assert known == Independence(4, 1, 4)


def test_the_warm_up_is_left_out() -> None:
    trace = Told(([1] * 4, [LOAD] * 4), ([1, 1, *[INDEPENDENT] * 4], [STORE] * 6))
    assert independence(trace, with_window(4), 6) == Independence(4, 4, 4)
    # One that is longer than two chunks leaves the second.
    assert independence(trace, with_window(6), 99) == Independence(6, 3, 3)


def test_traces_of_which_nothing_is_known(tmp_path: Path) -> None:
    nothing = Independence(90, 1, 90)
    assert in_window(PRESET) == 90
    assert unknown(PRESET) == nothing
    assert independence(Told((None, [LOAD] * 9)), PRESET) == nothing
    assert independence(Told(([INDEPENDENT] * 9, [FETCH] * 9)), PRESET) == nothing
    # What can be read once is not read beforehand; nor is what may not have the argument.
    assert independence(Told(([1] * 9, [LOAD] * 9), spec="-"), PRESET) == nothing
    assert independence(Script((0, LOAD, 1)), PRESET) == nothing
    piped = Told(([1] * 9, [LOAD] * 9))
    piped.origin = Origin("pipe", path=str(tmp_path))
    assert independence(piped, PRESET) == nothing


WORK, LATENCY = 2.0, 40.0
COSTS = {"cost.work_per_access": Cited(WORK, "test"), "memory_latency": Cited(LATENCY, "test")}


def waited(
    known: Independence, accesses: int, walks: int, walkers: int, registers: int = 10
) -> Range:
    preset = replace(
        PRESET, walkers=Cited(walkers, "test"), miss_registers=Cited(registers, "test")
    )
    charged = {
        "guest_walk": {"memory_latency": walks / 2},
        "nested_walk": {"memory_latency": walks / 2},
    }
    found = overlap(known, accesses, walks, charged, COSTS, preset)
    assert found.by_category == dict.fromkeys(("guest_walk", "nested_walk"), found.of("walks"))
    return found.of("walks")


def test_walks_at_once_are_those_of_a_window() -> None:
    """100 accesses in flight, one in 20 walks: n is 5, m is 100."""
    known = Independence(100, 100, 100)
    covered = WORK * 20 / LATENCY  # between two walks
    assert covered == 1
    assert waited(known, 2000, 100, walkers=8) == Range(0, 1 / 5, 1)
    assert waited(known, 2000, 100, walkers=4) == Range(0, 1 / 4, 1)
    assert waited(known, 2000, 100, walkers=4, registers=2) == Range(0, 1 / 2, 1)
    # Each walks: two cycles of work go on during a walk of 40.
    assert waited(known, 100, 100, walkers=4) == Range(1 / 4 - WORK / LATENCY, 1 / 4, 1)


def test_a_window_ends_what_goes_on_meanwhile() -> None:
    """Walks lie 1,000 accesses apart: of 40 cycles, the work of ten accesses is hidden."""
    low, likely, high = waited(Independence(10, 1, 1), 100_000, 100, walkers=4)
    assert (low, likely, high) == (pytest.approx(1 - 10 * WORK / LATENCY), 1, 1)


def test_likely_is_half_way_where_nothing_is_known() -> None:
    assert waited(Independence(100, 1, 100), 100, 100, walkers=4).likely == (1 + 1 / 4) / 2


def test_the_program_s_own_misses_are_hidden_by_miss_registers() -> None:
    preset = replace(PRESET, walkers=Cited(1, "test"), miss_registers=Cited(10, "test"))
    # 50 misses cost what memory takes longer than the first level.
    charged = {"data": {"memory_latency": 50.0, "cache.L1D.latency": -50.0}}
    costs = COSTS | {"cache.L1D.latency": Cited(4, "test")}
    found = overlap(Independence(100, 100, 100), 1000, 0, charged, costs, preset)
    assert found.of("data") == Range(0, 1 / 5, 1)
    assert found.of("walks") == NOTHING_HIDDEN
    assert "data" in found.to_dict() and "walks" not in found.to_dict()


def test_walks_that_nobody_waits_for_keep_walkers() -> None:
    """As many cycles of them as of the others: half the walkers, and one at least."""
    known, charged = Independence(100, 100, 100), {"guest_walk": {"memory_latency": 200.0}}
    for walkers, ahead, left in ((4, 0, 4), (4, 200, 2), (4, 1800, 1), (1, 200, 1)):
        preset = replace(PRESET, walkers=Cited(walkers, "test"))
        found = overlap(known, 2000, 200, charged, COSTS, preset, ahead * LATENCY)
        assert found.of("walks").likely == 1 / left


def test_counts_and_charges_do_not_change() -> None:
    """Only cycles of walks, and at their highest not even those."""
    spec = "gups:size=64M,accesses=50K"
    one, two = (
        mmulab.compare(spec, preset=PRESET, set={"walkers": walkers}, warmup="20K")["nested"]
        for walkers in (1, 2)
    )
    assert (one.counts, one.charges, one.references) == (two.counts, two.charges, two.references)
    assert (one.overlap.of("walks").likely, two.overlap.of("walks").likely) == (1, 0.5)
    for category in one.cycles:
        halved = category in ("guest_walk", "nested_walk")
        assert two.cycles[category].likely == one.cycles[category].likely * (0.5 if halved else 1)
        assert two.cycles[category].high == one.cycles[category].high


def test_repricing_goes_by_the_other_preset() -> None:
    result = mmulab.compare("gups:size=64M,accesses=20K", preset=PRESET)["native"]
    alone = replace(PRESET, walkers=Cited(1, "test"))
    assert result.repriced(PRESET) == result
    assert result.repriced(alone).cycles["guest_walk"].likely == pytest.approx(
        2 * result.cycles["guest_walk"].likely
    )


def test_mmulab_run_hides_nothing() -> None:
    one = mmulab.run("@idle-tax", set={"vm.workload": "gups:size=4M,accesses=20K"})
    priced: Any = one.vms[0].measured
    assert priced.overlap == Overlap()
    costs = cost.costs_of(presets.load(presets.DEFAULT), registry.get(priced.name))
    assert priced.cycles == cost.price(priced.charges, costs)
