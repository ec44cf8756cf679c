"""Belady's anomaly, through the command: a miss is counted once an access."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

# Belady, Nelson and Shedler, CACM 12(6), 1969: the pages 1 2 3 4 1 2 5 1 2 3 4 5.
STRING = Path(__file__).parents[1] / "data" / "belady.txt"


def fifo(entries: int) -> list[str]:
    settings = ("sets=1", f"ways={entries}", "policy=fifo")
    return [f"--set=tlb.dtlb-4k.{setting}" for setting in settings]


@pytest.mark.parametrize(("entries", "misses"), [(3, 9), (4, 10)])
def test_more_entries_miss_more(mmulab, entries: int, misses: int) -> None:
    run = ("compare", STRING, "--format", "pages", *fifo(entries))
    result = mmulab(*run, "--json", "-")
    (comparison,) = json.loads(result.out)
    for each in comparison["results"]:
        assert each["counts"]["l1_tlb_misses"] == misses
        assert each["structures"]["TLB dtlb-4k"] == {"hits": 12 - misses, "misses": misses}
    shown = mmulab(*run).out
    line = next(line for line in shown.splitlines() if line.startswith("L1 TLB misses"))
    assert line.split()[3::2] == [f"{100 * misses / 12:.3f}"] * len(comparison["results"])
