"""The study of docs/studies.md is made, and its commands do what the page says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "studies.md").read_text()


def commands(name: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in re.findall(rf"^    (mmulab {name} .*)$", TEXT, re.M)]


def test_the_study_of_the_page(mmulab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore
    monkeypatch.chdir(tmp_path)
    block = re.search(r"with `study.toml`\n\n((?:    .*\n|\n)+)", TEXT)
    assert block
    small = re.sub(r"^    ", "", block[1], flags=re.M).replace("256M,accesses=5M", "1M,accesses=5K")
    small = small.replace(', "@python", "@xz"', ', "zipf:keys=1k,accesses=5k"')
    Path("study.toml").write_text(small.replace('"@xz"', '"zipf:keys=1k,accesses=5k"'))
    sweep, on_a_cluster = commands("sweep")
    assert "--scheduler" in on_a_cluster
    made = mmulab(*sweep, "--jobs", "1")
    assert made.code == 0 and "27 runs, 0 failed" in made.out
    shutil.copytree("results", "old")
    shutil.copytree("results", "others")
    every = commands("results")
    assert [words[1] for words in every] == ["show", "list", "show", "show", "diff", "merge"]
    for words in every:
        result = mmulab(*words)
        assert result.code == 0, result.err
        assert result.out or "--csv" in words
    assert Path("bars.pdf").read_bytes().startswith(b"%PDF")
    assert Path("exits.csv").stat().st_size > 1000
    assert Path("all/rows.csv").read_bytes() == Path("results/rows.csv").read_bytes()
