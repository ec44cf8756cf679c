"""From curves to a preset: curves that a model makes, of a machine whose numbers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from models.chase_costs import Level, step

import mmulab
from mmulab.mmu import presets
from mmulab.workloads.probes import chase, findings, fitting, kernel_events, measured_preset
from mmulab.workloads.probes.calibration import Calibration
from mmulab.workloads.probes.chase import Curve
from mmulab.workloads.probes.facts import Facts
from mmulab.workloads.probes.memory import PAGE, WORD
from mmulab.workloads.probes.timing import Sample

GHZ = 4.0
PAGES = chase.steps(16, 16384, 4)
LINES = chase.steps(64, 1 << 22, 4)

#: Unlike zen-5: an L2 TLB of half the entries, 8 cycles of a hit, 400 cycles of memory.
CACHES = [Level(64, 12, 9), Level(1024, 16, 36), Level(32768, 16, 350)]
TLBS = [Level(1, 96, 8), Level(128, 16, 40)]


def sample(ns: float) -> Sample:
    return Sample(ns, 0.99 * ns, 1.05 * ns, 1.1 * ns, 9)


def curve(sizes: list[int], costs: list[float], unit: int = 1) -> Curve:
    return Curve(tuple(unit * s for s in sizes), tuple(sample(cost / GHZ) for cost in costs))


def calibration(virtual: str = "", splinters: bool = False) -> Calibration:
    numbers = {size: chase.pages(size) * WORD // PAGE for size in PAGES}
    lines = {size: step(5, CACHES, np.arange(size)) for size in {*PAGES, *LINES}}
    pages = [lines[size] - 5 + step(5, TLBS, numbers[size]) for size in PAGES]
    huge = chase.steps(8, 256, 4)
    return Calibration(
        facts=Facts("A processor", "zen-5", True, virtual, True),
        seconds=90,
        memory=1 << 30,
        clock=Sample(1 / GHZ, 1 / GHZ, 1.01 / GHZ, 1.02 / GHZ, 30),
        curves={
            "lines": curve(LINES, [lines[size] for size in LINES], 64),
            "pages_4k": curve(PAGES, pages),
            "same_lines": curve(PAGES, [lines[size] for size in PAGES]),
            "pages_in_2m": curve(PAGES, pages if splinters else [lines[size] for size in PAGES]),
            "pages_2m": curve(huge, [step(5, TLBS[:1], np.arange(size)) for size in huge]),
        },
        huge=1.0,
        updates={
            "lines": (128 << 20, sample(lines[1 << 21] / GHZ / 20)),
            "pages_4k": (8192, sample((lines[8192] + 10) / GHZ)),
            "same_lines": (8192, sample(lines[8192] / GHZ)),
        },
        events={name: sample(100 + 50 * n) for n, name in enumerate(kernel_events.EVENTS)},
    )


def preset_of(measured: Calibration, tmp_path: Path) -> tuple[str, mmulab.Preset]:
    """The file of a calibration, and what it loads as."""
    base = presets.load(measured.facts.base)
    found = findings.find(measured, base)
    made = measured_preset.preset(measured, found, base)
    path = tmp_path / "mine.toml"
    path.write_text(measured_preset.text(measured, found, made))
    return path.read_text(), mmulab.preset(path)


def test_what_was_measured_is_in_the_preset(tmp_path: Path) -> None:
    _, preset = preset_of(calibration(), tmp_path)
    assert (preset.name, preset.base, preset.clock_ghz.value) == ("mine", "zen-5", GHZ)
    sizes = {tlb.name: tlb.sets * tlb.ways for tlb in preset.tlbs}
    assert sizes["dtlb"] == 96 and sizes["l2-dtlb"] == 2048
    assert preset.costs["l2_tlb_hit"].value == pytest.approx(8, abs=0.3)
    latencies = [cache.latency.value for cache in preset.caches]
    assert latencies == pytest.approx([5, 14, 50], rel=0.03)
    assert preset.memory_latency.value == pytest.approx(400, rel=0.03)
    assert preset.llc_size.value == 32 << 20
    assert preset.miss_registers.value == pytest.approx(20, rel=0.05)
    # A walk of 40 cycles and a hit of 8, in 10 cycles more.
    assert preset.walkers.value == pytest.approx(4.8, rel=0.3)
    assert preset.memory_latency.low < preset.memory_latency.value < preset.memory_latency.high
    assert preset.memory_latency.source.startswith("measured, median ")


def test_what_was_not_is_the_bases_and_says_so(tmp_path: Path) -> None:
    _, preset = preset_of(calibration(), tmp_path)
    base = presets.load("zen-5")
    for mine, its in ((preset.costs["vm_exit"], base.costs["vm_exit"]),
                      (preset.window, base.window)):  # fmt: skip
        assert mine.value == its.value and (mine.low, mine.high) == (its.low, its.high)
        assert mine.source == f"not measured, as zen-5: {its.source}"
    for unit in (*preset.tlbs, *preset.walk_caches, *preset.caches):
        assert "all else not measured, as zen-5: " in unit.source


def test_a_confirmed_size_says_so(tmp_path: Path) -> None:
    _, preset = preset_of(calibration(), tmp_path)
    (first,) = (tlb for tlb in preset.tlbs if tlb.name == "dtlb")
    assert first.source.startswith("entries: measured from 80 to 112, in which the base's own lies")


def test_the_kernels_work_is_a_cost_on_bare_metal(tmp_path: Path) -> None:
    text, preset = preset_of(calibration(), tmp_path)
    events = calibration().events
    zero = round(events["page_zero"].value * GHZ)
    assert preset.costs["page_zero"].value == zero
    assert preset.costs["invlpg"].value == round(events["mprotect"].value * GHZ)
    assert "in_vm" not in text


def test_in_a_virtual_machine_it_is_never_one(tmp_path: Path) -> None:
    text, preset = preset_of(calibration(virtual="CPUID says so"), tmp_path)
    base = presets.load("zen-5")
    names = ("guest_fault", "page_zero", "page_copy", "invlpg", "cr3_load", "vm_exit")
    assert all(preset.costs[name].value == base.costs[name].value for name in names)
    comments = [line for line in text.splitlines() if line.startswith("# guest_")]
    assert [line.split()[1] for line in comments] == [
        f"guest_{name}_in_vm" for name in kernel_events.EVENTS
    ]
    assert all("value = " in line and "low = " in line for line in comments)
    assert "Measured in a virtual machine: CPUID says so" in " ".join(preset.notes)


@pytest.mark.parametrize("splinters", [False, True])
def test_host_pages_of_4_kib_are_seen(splinters: bool) -> None:
    measured = calibration("CPUID says so", splinters)
    base = presets.load("zen-5")
    found = findings.find(measured, base)
    assert found.splinters is splinters
    said = " ".join(measured_preset.notes(measured, found, None))
    assert ("host pages of 4 KiB" in said) is splinters


def test_ways_are_such_that_sets_are_a_power_of_two() -> None:
    one = findings.Finding(1792, 1792, 2048, 1792, "a test")
    settings = dict(measured_preset._settings(presets.load("zen-5"), "tlb.l2-dtlb.entries", one))
    assert settings["tlb.l2-dtlb.ways"]["value"] == 14
    assert settings["tlb.l2-dtlb.sets"]["value"] == 128
    for entries, ways, wanted in ((1536, 12, 12), (1 << 12, 16, 16), (24576, 16, 12), (7, 8, 7)):
        assert measured_preset.ways_for(entries, ways) == wanted


@pytest.mark.parametrize("technique", fitting.CANDIDATES)
def test_the_technique_that_made_the_walks_fits_them_best(technique: str) -> None:
    """Each walk takes 40 cycles beside its references, which are found."""
    preset = presets.load("zen-5")
    costs: dict[str, dict[int, float]] = {"4k": {}, "2m": {}}
    for pages, of_pages in costs.items():
        for count in (6144, 12288):
            step = fitting.translation(count, preset, [technique], pages)[technique]
            of_pages[count] = step.cycles + 40 * step.walks
    fit = fitting.fit(findings.Findings({}, {}, costs, 4096), preset)
    assert fit and fit.errors[technique] < 0.01
    assert fit.best == technique and fit.name.startswith(technique)
    assert fit.points == (("4k", 6144), ("4k", 12288), ("2m", 6144), ("2m", 12288))
    assert fit.beside[technique] == pytest.approx((40, 40, 40))
    measured = calibration("CPUID says so")
    made = measured_preset.preset(measured, findings.find(measured, preset), preset, fit)
    assert made.costs["walk"].value == pytest.approx(40)
    assert "cost.walk" in " ".join(made.notes)


def test_what_a_walk_takes_beside_its_references_is_charged_for_each() -> None:
    trace = "gups:size=16M,accesses=20K"
    plain = mmulab.compare(trace, preset="skylake-sp", techniques=["nested"])["nested"]
    slower = mmulab.compare(
        trace, preset="skylake-sp", techniques=["nested"], set={"cost.walk": 30}
    )["nested"]
    assert slower.charges["guest_walk"]["cost.walk"] == plain.counts["walks"] > 0
    assert "cost.walk" not in plain.charges["guest_walk"]
    assert slower.total_cycles.high - plain.total_cycles.high == 30 * plain.counts["walks"]


def test_latencies_are_in_order_whatever_disturbed_them() -> None:
    first, second = "cache.L1D.latency", "cache.L2.latency"
    numbers = {
        first: findings.Finding(5, 5, 60, 20, "a test"),
        second: findings.Finding(15, 14, 90, 30, "a test"),
    }
    found = findings._in_order(numbers, presets.load("zen-5"))
    assert (found[first].low, found[first].value, found[first].high) == (5, 5, 14)
    assert (found[second].value, found[second].high) == (15, 42)  # the base's lowest of L3


def test_no_fit_without_walks() -> None:
    for costs, reach in (({}, 4096), ({"4k": {4096: 20.0}}, 4096), ({"4k": {8192: 20.0}}, 0)):
        found = findings.Findings({}, {}, costs, reach)
        assert fitting.fit(found, presets.load("zen-5")) is None
