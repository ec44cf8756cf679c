"""Every name in the tables of docs/results.md about comparisons is counted by some test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Texts and settings, which are no counts.
NOT_COUNTED = {"technique", "name", "parameters", "counts", "structures", "frames", "cycles"}

#: Where a name is counted; others are in COUNTED.
COUNTED = "tests/report/test_every_key.py"
ELSEWHERE = {
    "first_touch": "tests/report/test_first_touches.py",
    "first_touch_percent": "tests/report/test_first_touches.py",
    **dict.fromkeys(
        "low likely high n m w least most walkers miss_registers depends guest_walk nested_walk "
        "walks data window independent".split(),
        "tests/report/test_overlap.py",
    ),
    "mmulab run": "tests/report/test_overlap.py",
    **dict.fromkeys(
        "verdict of to ratio fewer share everywhere costs cost --set overlap.walks overlap.data "
        "ratio_low ratio_high swing break_even".split(),
        "tests/report/test_verdict.py",
    ),
    **dict.fromkeys(
        "thp_wakes thp_scanned thp_full_scans thp_collapse_alloc thp_collapse_alloc_failed "
        "thp_filled thp_scan_exceed_none_pte thp_scan_unreferenced thp_scan_read_only "
        "thp_split_pmd".split(),
        "tests/guest/test_khugepaged.py",
    ),
    "thp_scan_exceed_share_pte": "tests/guest/test_khugepaged.py",
    "thp_scan_exceed_swap_pte": "tests/host/test_guest_thp.py",
    "thp_recovered": "tests/host/test_guest_thp.py",
    "thp_prezeroed": "tests/guest/test_hawkeye.py",
    **dict.fromkeys(
        ("tlb_prefetches", "tlb_prefetch_fills", "tlb_prefetch_hits", "TLB prefetch buffer"),
        "tests/hardware/test_tlb_prefetch.py",
    ),
    "prefetch": "tests/hardware/test_tlb_prefetch.py",
    # Never in a comparison, but in a crowded host.
    "nested_pwc_hits": "tests/hardware/test_walk_caches.py",
    "repeated_l2_hits": "tests/hardware/test_repeated_lookups.py",
}


def documented() -> list[str]:
    """Names in the tables about results of `mmulab compare`, from the object of a technique on."""
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    text = text.split("# `mmulab compare` with `--intervals`")[0].split("Each object in `results`")[
        1
    ]
    rows = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("name", documented())
def test_every_documented_name_is_counted(name: str) -> None:
    if name in NOT_COUNTED:
        return
    counted = (ROOT / ELSEWHERE.get(name, COUNTED)).read_text(encoding="utf-8")
    if name in ELSEWHERE:
        assert name in counted
        return
    name = name.removesuffix(" ...")
    assert re.search(rf'"{re.escape(name)}|\.{re.escape(name)}\b', counted), name
