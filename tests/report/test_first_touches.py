"""First touches of memory stand apart from what goes on, and are warned of."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from drivers.traces import Script

import mmulab
from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.techniques import registry
from mmulab.mmu.trace import MMAP, MUNMAP, STORE
from mmulab.mmu.warmup import LEFT, automatic

PAGE = 4096
HEAP = 0x4000_0000
READ_WRITE, SMALL = 3, 1 << 8  # PROT_*, and pages of 4 KiB
TOUCHED = 5
USED = TOUCHED + 4  # and the tables
SHADOWS = ("shadow", "shadow:policy=trap")  # the first with unsync
TECHNIQUES = ("native", *SHADOWS, "nested")


def page(number: int) -> tuple[int, int, int]:
    return HEAP + number * PAGE, STORE, 1


def event(kind: int, value: int = 0) -> tuple:
    return ("event", kind, 1, HEAP, 16 * PAGE, value)


def test_first_touches_are_told_apart() -> None:
    """Pages are touched, freed, and touched again at the same place: frames are used again."""
    pages = [page(number) for number in range(TOUCHED)]
    mapped = event(MMAP, READ_WRITE | SMALL)
    steps = (mapped, *pages, *pages, event(MUNMAP), mapped, *pages)
    comparison = mmulab.compare(
        Script(*steps), techniques=list(TECHNIQUES), memory="256M", check=True
    )
    for technique in TECHNIQUES:
        result = comparison[technique]
        assert result.counts["demand_fills"] == 2 * TOUCHED
        found = {name: spent for name, spent in result.first_touch.items() if spent.likely}
        costs = presets.load("skylake-sp").costs
        kernel = TOUCHED * (costs["guest_fault"].value + costs["page_zero"].value)
        assert found["guest_kernel"].likely == kernel
        if technique == "native":
            assert set(found) == {"guest_kernel"}
        if technique != "native":
            # All but the root, which the boot made, is backed for the first pass.
            times = {"nested.ept_violation": USED - 1}
            if technique in SHADOWS:
                times = {"shadow.backing": USED - 1, "shadow.reflected_fault": TOUCHED,
                         "shadow.shadow_fill": TOUCHED}  # fmt: skip
            own = {each.name: each.costs for each in registry.built_in()}
            spent = 0.0
            for key, number in times.items():
                name, _, reason = key.partition(".")
                spent += number * (costs["vm_exit"].value + own[name][reason].value)
            assert found["exit_fault"].likely == spent
        whole = sum(spent.likely for spent in found.values())
        percent = result.to_dict()["first_touch_percent"]
        assert percent == pytest.approx(100 * whole / result.total_cycles.likely)
    assert comparison.warnings[0].startswith("first touches of memory are")


@pytest.mark.parametrize(
    ("trace", "options", "said"),
    [
        ("gups:size=16M,accesses=50K", {}, ["nested", "--warmup auto"]),
        ("scan:size=16M,accesses=400K", {"warmup": "100K"}, ["after the warm-up"]),
        ("gups:size=1M,accesses=200K", {"warmup": "auto"}, []),
        (
            "microchurn:accesses=200K",
            {"warmup": "auto"},
            [],
        ),  # faults to its end, none of them first
    ],
)
def test_warnings(trace: str, options: dict[str, Any], said: list[str]) -> None:
    compared = mmulab.compare(trace, techniques="native,nested", memory="64M", **options)
    assert (compared["nested"].first_touch_percent > 20) == bool(said)
    assert all(part in " ".join(compared.warnings) for part in said)
    assert bool(compared.warnings) == bool(said)
    printed = mmulab.table(compared)
    assert all(f"warning: {each}" in printed for each in compared.warnings)
    assert compared.to_dict()["warnings"] == list(compared.warnings)


def test_pages_smaller_than_asked_for() -> None:
    """A mapping of sixteen pages holds none of 2 MiB."""
    steps = (event(MMAP, READ_WRITE), *(page(number) for number in range(3)), (HEAP * 8, STORE, 1))
    for size, smaller in (("4k", 0), ("2m", 3), ("thp", 4)):
        compared = mmulab.compare(
            Script(*steps), techniques="native", memory="256M", page_size=size
        )
        sentence = f"guest pages {size}: of 4 first touches {smaller} got 4k"
        assert any(each.startswith(sentence) for each in compared.warnings) == bool(smaller)


def test_an_automatic_warm_up_ends_when_memory_was_touched() -> None:
    preset = presets.load("skylake-sp")

    config = Config(memory=256 << 20)
    # A hundred pages in turn, first each a thousand times, then all of them again.
    steps = [page(number) for number in range(100) for _ in range(1000)]
    more = [page(number) for number in range(100)] * 2000
    warmup = automatic(Script(*steps, *more), preset, config)
    assert (1 - LEFT) * len(steps) <= warmup <= len(steps)
    # Where they never end, half of the trace is measured.
    assert automatic(Script(*steps), preset, config) == len(steps) // 2
    found = mmulab.compare(
        Script(*steps, *more), techniques="native", memory=256 << 20, warmup="auto"
    )
    assert found.warmup == warmup


def test_standard_input_cannot_be_read_twice() -> None:

    line = [sys.executable, "-m", "mmulab", "compare", "-", "--warmup", "auto"]
    done = subprocess.run(line, input=b" L 1000,8\n L 2000,8\n", capture_output=True)
    assert done.returncode == 2 and b"reads the trace twice" in done.stderr
