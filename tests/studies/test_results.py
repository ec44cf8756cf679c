"""What studies found, listed, shown, compared and merged; `--sweep` on other commands."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from drivers.command_line import check_error
from drivers.small_studies import load

from mmulab.mmu.errors import InputError
from mmulab.mmu.report.long_rows import COLUMNS
from mmulab.mmu.report.study_results import load as load_results
from mmulab.studies.diff import diff
from mmulab.studies.sweep import sweep


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made study."""
    folder = tmp_path_factory.mktemp("studies")
    sweep(load(folder), folder / "first")
    return folder


def changed(folder: Path, to: Path, metric: str, by: float) -> Path:
    """A copy of a study with a metric of one technique changed."""
    to.mkdir()
    (to / "study.json").write_text((folder / "study.json").read_text())
    rows = list(csv.reader(StringIO((folder / "rows.csv").read_text())))
    for row in rows[1:]:
        if row[8:10] == ["nested", metric]:
            row[11] = repr(float(row[11]) * by)
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    (to / "rows.csv").write_text(text.getvalue())
    return to


def test_list(mmulab, folder: Path) -> None:  # type: ignore
    result = mmulab("results", "list", folder)
    assert "first: 12 runs of compare: 2 trace x 2 page_size x 2 tlb.stlb.entries x 2" in result.out
    (one,) = json.loads(mmulab("results", "list", folder, "--json", "-").out)
    assert one["runs"] == one["done"] == 12 and one["failed"] == 0 and one["axes"]["seed"] == 2
    assert mmulab("results", "list", folder / "first").out == result.out
    assert mmulab("results", "list", folder / "first" / "none").out == "no studies\n"


def test_show(mmulab, folder: Path, tmp_path: Path) -> None:  # type: ignore
    first = folder / "first"
    result = mmulab("results", "show", first)
    head, _, columns, *rows = result.out.splitlines()
    assert head == ("small: cycles_per_access of 12 runs; means of 2 seeds, ± half of their range")
    assert columns.split() == ["trace", "page_size", "tlb.stlb.entries", "native", "nested"]
    assert len(rows) == 8
    cell = load_results(first).cells(["cycles_per_access"], ["trace", "page_size"])
    for at, of in cell.items():
        values = [one.value for one in of.values()]
        assert len(values) == 2 and values[0] < values[1], at
    some = mmulab("results", "show", first, "--where", "page_size=4k", "--metric", "counts.w*",
                  "--metric", "total_exits")  # fmt: skip
    assert "3 metrics of 8 runs" in some.out or "2 metrics of 8 runs" in some.out
    assert "native counts.walks" in some.out and "nested total_exits" in some.out
    out = tmp_path / "rows.csv"
    mmulab("results", "show", first, "--csv", out)
    assert out.read_bytes() == (first / "rows.csv").read_bytes()
    plain = json.loads(mmulab("results", "show", first, "--metric", "exits.*", "--json", "-").out)
    assert plain["schema"] == "mmulab.rows" and set(plain["rows"][0]) == set(COLUMNS)
    assert {row["metric"] for row in plain["rows"]} == {"exits.ept_violation", "exits.pml_full"}
    names = mmulab("results", "show", first, "--metrics").out.splitlines()
    assert "cycles.nested_walk" in names and len(names) == len(set(names)) > 80


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--metric", "cycles_per_acess"], "did you mean 'cycles_per_access'"),
        (["--where", "pagesize=4k"], "did you mean 'page_size'"),
        (["--where", "page_size=2m"], "unknown value of page_size '2m'"),
        (["--where", "page_size=thp", "--where", "seed=2"], "no run is of these values"),
    ],
)
def test_mistakes_in_showing(mmulab, folder: Path, words: list[str], expected: str) -> None:  # type: ignore
    check_error(mmulab("results", "show", folder / "first", *words), 2, expected)
    check_error(mmulab("results", "show", folder), 2, "expected the folder of a study")


def test_diff(mmulab, folder: Path, tmp_path: Path) -> None:  # type: ignore
    first = folder / "first"
    same = mmulab("results", "diff", first, first, "--metric", "*")
    assert same.code == 0 and same.out.startswith("0 of ")
    other = changed(first, tmp_path / "other", "cycles_per_access", 1.02)
    found = mmulab("results", "diff", first, other)
    assert found.code == 1 and found.out.startswith("8 of 16 numbers changed")
    assert "nested cycles_per_access: was" in found.out and "(+2 %)" in found.out
    assert mmulab("results", "diff", first, other, "--threshold", "2.1").code == 0
    assert mmulab("results", "diff", first, other, "--metric", "counts.*").code == 0
    plain = json.loads(mmulab("results", "diff", first, other, "--json", "-").out)
    assert len(plain["changes"]) == 8 and plain["changes"][0]["beyond_seeds"]
    check_error(mmulab("results", "diff", first, other, "--threshold", "-1"), 2, "from 0")


def test_a_change_within_the_seeds_is_none(folder: Path, tmp_path: Path) -> None:
    """Of page walks, which vary by seed: by a tenth of their range, and by twice it."""
    some = {"page_size": ["4k"], "trace": ["zipf:keys=1k,accesses=5k"]}
    first = load_results(folder / "first").where(some)
    metrics = ["counts.walks"]
    (of,) = first.cells(metrics, ["trace"]).values()
    cell = next(cell for series, cell in of.items() if series.subject == "nested")
    assert cell.half > 0
    for ranges, expected in ((0.1, 0), (2.0, 2)):
        by = 1 + ranges * 2 * cell.half / cell.value
        other = changed(folder / "first", tmp_path / str(ranges), "counts.walks", by)
        assert (
            len(diff(first, load_results(other).where(some), ["counts.walks"]).changes) == expected
        )


def test_runs_that_only_one_has(folder: Path, tmp_path: Path) -> None:
    study = load(tmp_path)
    sweep(study.swept({"page_size": ("4k",)}), tmp_path / "some")
    found = diff(load_results(folder / "first"), load_results(tmp_path / "some"))
    assert not found.changes and len(found.only_old) == 8 and not found.only_new
    assert not found.is_same
    sweep(study.swept({"page_size": ("4k",), "memory": ("8G",)}), tmp_path / "apart")
    with pytest.raises(InputError, match="no number of the same axes"):
        diff(load_results(folder / "first"), load_results(tmp_path / "apart"))


def test_merge(mmulab, folder: Path, tmp_path: Path) -> None:  # type: ignore
    study = load(tmp_path)
    for size in ("4k", "thp"):
        sweep(study.swept({"page_size": (size,)}), tmp_path / size)
    parts = [tmp_path / "4k", tmp_path / "thp"]
    result = mmulab("results", "merge", *parts, parts[0], "-o", tmp_path / "all")
    assert result.out == f"{tmp_path / 'all'}: 12 runs\n"
    whole = set((folder / "first" / "rows.csv").read_text().splitlines())
    assert set((tmp_path / "all" / "rows.csv").read_text().splitlines()) == whole
    assert mmulab("results", "diff", folder / "first", tmp_path / "all").code == 0
    check_error(mmulab("results", "merge", *parts, "-o", tmp_path / "all"), 2, "is there already")
    other = changed(parts[0], tmp_path / "other", "cycles_per_access", 1.02)
    check_error(
        mmulab("results", "merge", *parts, other, "-o", tmp_path / "new"), 2, "other rows elsewhere"
    )
    assert not (tmp_path / "new").exists()


def test_compare_with_a_sweep(mmulab, tmp_path: Path) -> None:  # type: ignore
    words = ["compare", "gups:size=1M,accesses=5K", "--techniques", "native,nested", "--preset",
             "skylake-sp", "--sweep", "trace.size=1M..4M*2", "--seeds", "2", "--set",
             "cost.vm_exit=9"]  # fmt: skip
    result = mmulab(*words, "--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json",
                    "--plot", tmp_path / "a.svg")  # fmt: skip
    assert result.code == 0 and "cycles_per_access of 6 runs" in result.out
    compared = json.loads((tmp_path / "a.json").read_text())
    traces = [f"gups:{size}accesses=5K" for size in ("size=1M,", "size=2M,", "size=4M,")]
    assert [one["trace"] for one in compared] == [each for each in traces for _ in (1, 2)]
    assert [one["input"]["settings"]["seed"] for one in compared] == [1, 2] * 3
    assert {one["input"]["preset"]["set"]["cost.vm_exit"] for one in compared} == {9}
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert len(rows) == 12
    assert len({(row["trace"], row["seed"], row["technique"]) for row in rows}) == 12
    picture = (tmp_path / "a.svg").read_text()
    for label in ("trace.size", "cycles per access", "native", "nested", "1M", "4M", "means of 2"):
        assert f">{label}" in picture or label in picture
    check_error(mmulab(*words, "--check"), 2, "--check and a sweep")


def test_mrc_with_a_sweep(mmulab) -> None:  # type: ignore
    words = ["mrc", "gups:accesses=5K", "--page-sizes", "4k", "--sizes", "64"]
    swept = json.loads(mmulab(*words, "--sweep", "trace.size=1M,2M", "--json", "-").out)
    for one, size in zip(swept, ("1M", "2M"), strict=True):
        alone = mmulab("mrc", f"gups:size={size},accesses=5K", *words[2:], "--json", "-")
        assert one["curves"] == json.loads(alone.out)[0]["curves"]
    printed = mmulab(*words, "--sweep", "trace.size=1M,2M").out
    assert "trace=gups:accesses=5K trace.size=2M\ngups:size=2M" in printed


def test_run_with_two_axes_and_seeds(mmulab, tmp_path: Path) -> None:  # type: ignore
    words = ["run", "@double-paging", "--set", "vm.workload=zipf:keys=2k,accesses=20K"]
    swept = ["--sweep", "vm.memory=48M,64M", "--sweep", "host.memory=40M,48M", "--seeds", "2"]
    result = mmulab(*words, *swept, "--json", tmp_path / "a.json", "--plot", tmp_path / "a.svg")
    assert result.code == 0 and "vm.memory,host.memory,seed" in result.out
    found = json.loads((tmp_path / "a.json").read_text())
    assert len(found) == 8
    assert [one["input"]["scenario"]["vms"][0]["seed"] for one in found] == [1, 2] * 4
