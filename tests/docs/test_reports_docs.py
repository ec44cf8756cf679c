"""The commands of docs/reports.md, one after the other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "reports.md").read_text()

STUDY = """
traces = ["gups:size=1M,accesses=5K"]
preset = "skylake-sp"
techniques = ["native", "nested"]
memory = "64M"
[axes]
page_size = ["4k", "thp"]
"""


def test_the_commands_of_the_page(mmulab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(STUDY)
    assert mmulab("sweep", "study.toml", "-o", "study", "--jobs", "1").code == 0
    for line in re.findall(r"^    (mmulab .*)$", TEXT, re.M):
        words = shlex.split(line.replace("accesses=500K", "accesses=20K"))[1:]
        assert mmulab(*words).code == 0, line
    made = {each.name for each in tmp_path.iterdir()}
    assert {
        "report.html",
        "study.html",
        "report.tex",
        "report-1.pdf",
        "report-2.pdf",
        "walk.html",
    } <= made
    assert "The shell&#x27;s TLB misses" in Path("report.html").read_text()


def test_the_references_that_the_page_speaks_of(mmulab) -> None:  # type: ignore
    walk = ("walk", "0x7f1234567abc", "--preset", "skylake-sp", "--techniques", "nested")
    assert "24 memory references" in mmulab(*walk).out
    assert "12 memory references" in mmulab(*walk, "--walk-caches").out
    said = re.search(r"On this machine 24\s+references become 12, and with all of them 2", TEXT)
    assert said  # the 2 is that of tests/plots/pages/test_walk_page.py
