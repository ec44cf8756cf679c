"""What perf stat -x, writes, of three makers of processors."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmulab
from mmulab.mmu.errors import InputError
from mmulab.plots.terminal import validation as terminal
from mmulab.workloads.probes import counters

DATA = Path(__file__).parents[2] / "data"

#: What the files in tests/data add up to.
SUMS = {
    "intel": {"walks": 4_000_000, "l2_tlb_hits": 12_934_811, "walk_cycles": 128_764_512,
              "walk_active": 101_234_567},
    # Parts of L2 misses, without their sum, and of instructions the branch unit's alone.
    "amd": {"walks": 302_000, "l2_tlb_hits": 600_000},
    # Two dies; what missed L1 and did not walk, hit in L2.
    "arm": {"walks": 160_000, "l2_tlb_hits": 590_000},
}  # fmt: skip


@pytest.mark.parametrize("maker", SUMS)
def test_events_are_added_up_by_quantity(maker: str) -> None:
    counted = counters.read(str(DATA / f"perf-stat-{maker}.csv"))
    sums, names = counters.hardware(counted)
    assert sums == SUMS[maker] and set(sums) == set(names)


def test_what_perf_could_not_count_is_none() -> None:
    counted = {each.name: each for each in counters.read(str(DATA / "perf-stat-intel.csv"))}
    assert counted["dtlb_store_misses.stlb_hit"].count is None
    assert counted["dtlb_load_misses.stlb_hit"].share == 50.02
    assert counted["task-clock"].count == 1003.22
    only = [counters.Counted("dtlb_load_misses.stlb_hit", None)]
    assert counters.hardware(only) == ({}, {"l2_tlb_hits": ["dtlb_load_misses.stlb_hit"]})


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("cycles", "cycles"),
        ("DTLB_LOAD_MISSES.STLB_HIT:uk", "dtlb_load_misses.stlb_hit"),
        ("cpu_atom/dtlb_load_misses.walk_completed/u", "dtlb_load_misses.walk_completed"),
        ("armv8_pmuv3_0/dtlb_walk/", "dtlb_walk"),
    ],
)
def test_names_are_without_units_and_modifiers(event: str, name: str) -> None:
    assert counters.plain_name(event) == name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no events; expected the output of perf stat -x,"),
        ("# only a comment\n", "no events"),
        ("12 345 cycles\n", "line 1: '12 345 cycles': expected COUNT,UNIT,EVENT"),
        ("5,,cycles,1,100\nx,y,z\n", "line 2: 'x,y,z'"),
        ("5;;cycles;1;100\n", "line 1"),
    ],
)
def test_what_is_wrong_is_said(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        counters.parse(text, "counts.csv")


def test_hardwares_counts_stand_beside_simulated_ones() -> None:
    simulated = mmulab.compare("gups:size=4M,accesses=20K", techniques="native,nested")
    rows = counters.compare(counters.read(str(DATA / "perf-stat-intel.csv")), simulated)
    by_name = {row.quantity: row for row in rows}
    assert list(by_name) == list(counters.QUANTITIES)
    assert by_name["walks"].hardware == 4_000_000
    assert by_name["walks"].simulated["native"] == simulated["native"].counts["walks"]
    spent = simulated["nested"].cycles
    walking = spent["guest_walk"].likely + spent["nested_walk"].likely
    assert by_name["walk_cycles"].simulated["nested"] == walking > 0
    shown = terminal.counters(rows)
    assert "4,000,000" in shown and "dtlb_load_misses.walk_completed" in shown
    assert counters.to_dict(rows)[1]["quantity"] == "walks"


def test_counts_of_something_else_are_refused() -> None:
    simulated = mmulab.compare("gups:size=1M,accesses=1K", techniques="native")
    with pytest.raises(InputError, match="none of its events is of TLBs or page walks"):
        counters.compare(counters.parse("5,,cycles,1,100"), simulated)
