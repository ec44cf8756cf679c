"""A study is made once, whatever makes it and however often it is ended; its rows are the same."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from drivers.command_line import check_error
from drivers.small_studies import SCENARIO, load
from drivers.technique_files import BARE

from mmulab.mmu.errors import InputError
from mmulab.mmu.report import long_rows
from mmulab.mmu.report.study_results import load as load_results
from mmulab.studies import engines, store
from mmulab.studies.engines import Inline, Processes, Threads
from mmulab.studies.points import Point, expand
from mmulab.studies.sweep import State, sweep


class Backwards:
    """Makes runs in the reverse order, and notes which."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def outcomes(self, points: Sequence[Point]):  # type: ignore[no-untyped-def]
        for point in reversed(points):
            self.made.append(point.key)
            yield engines.outcome_of(point)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The rows of the small study, made in one go."""
    folder = tmp_path_factory.mktemp("whole")
    sweep(load(folder), folder / "out", Inline())
    return (folder / "out" / "rows.csv").read_bytes()


@pytest.mark.parametrize(
    "engine", [Backwards(), Threads(3), Processes(2)], ids=lambda each: type(each).__name__
)
def test_rows_are_the_same_whatever_makes_them(
    tmp_path: Path, whole: bytes, engine: engines.Engine
) -> None:
    told: list[State] = []
    state = sweep(load(tmp_path), tmp_path / "out", engine, progress=told.append)
    assert (tmp_path / "out" / "rows.csv").read_bytes() == whole
    assert state[:4] == (12, 0, 12, 0)
    assert [each.done for each in told] == list(range(13))
    assert told[0].left is None and told[-1].left == 0
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["rows.csv", "study.json"]


def test_columns_are_always_the_same(tmp_path: Path, whole: bytes) -> None:
    sweep(load(tmp_path, SCENARIO), tmp_path / "run")
    mrc = 'command = "mrc"\ntraces = ["gups:size=1M,accesses=5K"]\nsizes = "64,1024"\n'
    sweep(load(tmp_path, mrc), tmp_path / "mrc")
    headers = {whole.splitlines()[0]}
    for name in ("run", "mrc"):
        headers.add((tmp_path / name / "rows.csv").read_bytes().splitlines()[0])
    assert headers == {",".join(long_rows.COLUMNS).encode()}
    found = load_results(tmp_path / "mrc")
    assert found.chosen() == [f"{size}.miss_ratio.1024" for size in ("4k", "2m", "1g")]
    vms = {row[7] for row in load_results(tmp_path / "run").rows}
    assert vms == {"a-1", "a-2", ""}


def test_rows_are_what_the_command_finds(tmp_path: Path, whole: bytes) -> None:
    from mmulab import api

    (tmp_path / "rows.csv").write_bytes(whole)
    point = expand(load(tmp_path))[3]
    axes = dict(point.axes)
    compared = api.compare(
        axes["trace"], preset="skylake-sp", techniques=["native", "nested"], seed=int(axes["seed"]),
        page_size=axes["page_size"], set=[f"tlb.stlb.entries={axes['tlb.stlb.entries']}"],
    )  # fmt: skip
    found = {(row[3], row[4]): row[5:8] for row in long_rows.read(tmp_path)[point.key]}
    for result in compared.results:
        low, value, high = map(float, found[result.technique, "cycles_per_access"])
        assert (low, value, high) == result.range_per_access
        assert found[result.technique, "counts.walks"][1] == str(result.counts["walks"])
        assert found[result.technique, "total_exits"][1] == str(result.total_exits)


def test_what_is_kept_is_not_made_again(tmp_path: Path, whole: bytes) -> None:
    first = Backwards()

    def end(state: State) -> None:
        if state.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(load(tmp_path), tmp_path / "out", first, progress=end)
    assert load_results(tmp_path / "out").missing == 7
    with open(tmp_path / "out" / "runs.jsonl", "ab") as journal:
        journal.write(b'{"run": "0123", "rows": [["cut in')  # as kill -9 leaves it
    again = Backwards()
    state = sweep(load(tmp_path), tmp_path / "out", again)
    assert state.kept == 5 and not set(first.made) & set(again.made)
    assert (tmp_path / "out" / "rows.csv").read_bytes() == whole
    third = Backwards()
    sweep(load(tmp_path), tmp_path / "out", third)
    assert third.made == []
    assert (tmp_path / "out" / "rows.csv").read_bytes() == whole
    manifest = json.loads((tmp_path / "out" / "study.json").read_text())
    assert len(manifest["made"]) == 3
    assert manifest["rows"]["rows"] == whole.count(b"\n") - 1


def test_more_values_need_only_their_own_runs(tmp_path: Path, whole: bytes) -> None:
    study = load(tmp_path)
    sweep(study.swept({"seed": ("1",)}), tmp_path / "out")
    engine = Backwards()
    assert sweep(study, tmp_path / "out", engine).kept == 8
    assert len(engine.made) == 4
    assert (tmp_path / "out" / "rows.csv").read_bytes() == whole
    with pytest.raises(InputError, match="holds 4 runs that this study does not have"):
        sweep(study.swept({"seed": ("1",)}), tmp_path / "out")


def test_killed_three_times(tmp_path: Path, whole: bytes) -> None:
    load(tmp_path)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mmulab", "sweep", tmp_path / "small.toml", "-o", out]
    kept = 0
    for _ in range(3):
        with subprocess.Popen([*command, "--jobs", "2"], stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and lines(out) <= kept:
                time.sleep(0.01)
            process.kill()
        kept = lines(out)
        assert 0 < kept < 12
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"12 runs, {kept} of them kept from before, 0 failed" in done.stdout
    assert (out / "rows.csv").read_bytes() == whole


def lines(folder: Path) -> int:
    journal = folder / "runs.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def test_a_process_that_is_killed_is_replaced(tmp_path: Path, whole: bytes) -> None:
    killed = []

    def kill(state: State) -> None:
        if state.done in (3, 7):
            child = multiprocessing.active_children()[0]
            os.kill(child.pid or 0, signal.SIGKILL)
            killed.append(child.pid)

    state = sweep(load(tmp_path), tmp_path / "out", Processes(2), progress=kill)
    assert len(set(killed)) == 2 and state.failed == 0
    assert (tmp_path / "out" / "rows.csv").read_bytes() == whole


DOOMED = (
    BARE.replace('"bare"', '"doomed"')
    + """
import multiprocessing, os, signal
if multiprocessing.parent_process():
    os.kill(os.getpid(), signal.SIGKILL)
"""
)


def test_a_run_that_kills_its_process_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "doomed.py").write_text(DOOMED)
    axes = {"technique": ("native", str(tmp_path / "doomed.py"), "nested"), "seed": ("1",)}
    study = load(tmp_path, 'traces = ["gups:size=1M,accesses=5K"]\npreset = "skylake-sp"\n')
    state = sweep(study.swept(axes), tmp_path / "out", Processes(2))
    (reason,) = load_results(tmp_path / "out").failures.values()
    assert state[:4] == (3, 0, 3, 1)
    assert reason == "its process was ended by SIGKILL, 3 times"


FAILS = """
traces = ["gups:size=64M,accesses=50K"]
preset = "skylake-sp"
techniques = "native"
[axes]
memory = ["1G", "8M"]
"tlb.stlb.ways" = [12, 8]
"tlb.stlb.entries" = [1536, 1024]
"""


def test_failures_are_rows_with_their_reason(mmulab, tmp_path: Path) -> None:  # type: ignore
    load(tmp_path, FAILS)
    command = ["sweep", tmp_path / "small.toml", "-o", tmp_path / "out", "--jobs", "1"]
    result = mmulab(*command)
    assert result.code == 1 and "8 runs, 6 failed" in result.out
    reasons = list(load_results(tmp_path / "out").failures.values())
    assert sum("multiple of its 12 ways" in reason for reason in reasons) == 2
    assert sum("needs a power of two" in reason for reason in reasons) == 2
    assert sum("memory" in reason for reason in reasons) == 2
    assert "multiple of its 12 ways" in result.out
    again = mmulab(*command)
    assert again.code == 1 and "8 of them kept" in again.out
    retried = mmulab(*command, "--retry")
    assert retried.code == 1 and "2 of them kept" in retried.out
    listed = mmulab(*command, "--list")
    assert listed.code == 0 and len(listed.out.splitlines()) == 8


def test_what_nobody_foresaw_is_a_failure_too(tmp_path: Path, monkeypatch) -> None:  # type: ignore
    point = expand(load(tmp_path))[0]
    for error, reason in (
        (MemoryError(), "out of memory"),
        (ZeroDivisionError("division\nby zero"), "ZeroDivisionError: division; by zero"),
    ):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        call = engines.CALLS["compare"]._replace(results=fail)  # type: ignore[arg-type]
        monkeypatch.setitem(engines.CALLS, "compare", call)
        outcome = engines.outcome_of(point)
        assert outcome.rows[0][-1] == reason and store.is_failed(outcome.rows)


def test_an_interrupt_ends_threads_and_processes(tmp_path: Path) -> None:
    long = load(tmp_path, 'traces = ["gups:size=1G,accesses=2G"]\npreset = "skylake-sp"\n')
    points = expand(long.swept({"seed": ("1", "2", "3")}))
    for engine in (Threads(2), Processes(2)):
        found = engine.outcomes(points)
        timer = threading.Timer(3, signal.raise_signal, (signal.SIGINT,))
        timer.start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            next(found)
        found.close()
        assert time.monotonic() - begun < 20
        assert not multiprocessing.active_children()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    study = load(tmp_path)
    with store.opened(tmp_path / "out", study, expand(study)):
        with pytest.raises(InputError, match="another process is at work"):
            sweep(study, tmp_path / "out")


def test_folders_that_are_no_study_of_ours(tmp_path: Path) -> None:
    study = load(tmp_path)
    rows = tmp_path / "a" / "rows.csv"
    rows.parent.mkdir()
    rows.write_text("x,y\n")
    with pytest.raises(InputError, match="expected columns run,"):
        sweep(study, rows.parent)
    rows.write_text(",".join(long_rows.COLUMNS) + "\n")
    with pytest.raises(InputError, match="of no study"):
        sweep(study, rows.parent)
    rows.unlink()
    for text, expected in (
        ("[", "no JSON"),
        ("{}", "expected schema mmulab.study"),
        ('{"schema": "mmulab.study", "schema_version": 9}', "schema version 9; expected 1"),
    ):
        (tmp_path / "a" / "study.json").write_text(text)
        with pytest.raises(InputError, match=expected):
            sweep(study, tmp_path / "a")
    (tmp_path / "a" / "study.json").unlink()
    (tmp_path / "a" / "runs.jsonl").write_text('{"rows": []}\n')
    with pytest.raises(InputError, match="line 1: not what was written"):
        sweep(study, tmp_path / "a")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "no folder to keep the study in"),
        (["none.toml", "-o", "x"], "study none.toml: No such file"),
        (["--sweep", "seed=1", "--seeds", "2", "-o", "x"], "expected one of them"),
        (["--sweep", "page_size=4k", "--sweep", "page_size=2m", "-o", "x"], "given twice"),
        (["--sweep", "page-size=4k", "-o", "x"], "did you mean 'page_size'"),
        (["@double", "-o", "x"], "did you mean 'double-paging'"),
    ],
)
def test_mistakes_of_the_command(mmulab, tmp_path: Path, monkeypatch, words, expected) -> None:  # type: ignore
    monkeypatch.chdir(tmp_path)
    check_error(mmulab("sweep", *words), 2, expected)
