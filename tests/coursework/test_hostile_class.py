"""A class of hostile submissions beside a good one, which has its marks in good time."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from drivers import hostile
from drivers.coursework import SEED
from drivers.sandboxed import LINUX

from mmulab.coursework import assignments, grading
from mmulab.coursework.sandbox import process
from mmulab.coursework.sandbox.inside import landlock

SECRET = "what stands in a file of the grader's"
NO_LANDLOCK = "from inside import landlock; landlock.version = lambda: 0; main.main("


@pytest.fixture
def handed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a class: a directory for each kind, and a good submission first and last."""
    paths = [*assignments.__path__, str(hostile.install(tmp_path))]
    monkeypatch.setattr(assignments, "__path__", paths)
    canary = tmp_path / "canary"
    canary.write_text(SECRET)
    solution = Path(assignments.__file__).parent / "shadow_sync" / "solution.txt"
    assert solution.exists()

    def make(kinds: tuple[str, ...], batch: bool = False) -> list[Path]:
        places = [tmp_path / f"{number} {kind}" for number, kind in enumerate(kinds)]
        good = [tmp_path / "good", tmp_path / "good too"]
        students = [f"student {number}" for number in range(len(places) + 2)]
        everyone = [good[0], *places, good[1]]
        grading.solve("doubling", dict(zip(students, everyone, strict=True)), SEED)
        for kind, place in zip(kinds, places, strict=True):
            text = hostile.program(kind, canary, solution, batch)
            (place / "double.py").write_text(text)
        return everyone

    return make


def check(reports: list[dict[str, Any]], batch: bool = False) -> None:
    for number, report in enumerate(reports):
        good = number in (0, len(reports) - 1)
        assert report.get("earned") == (10 if good else 5 * batch), report
        assert good or report["parts"][1]["feedback"] or report["notes"], json.dumps(report)[:1500]
    text = json.dumps(reports)
    for secret in (SECRET, SEED, "root:", "MMULAB", "/bin/", "def load_cr3"):
        assert secret not in text, secret


def no_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    start = process._START.replace("main.main(", NO_LANDLOCK)
    assert start != process._START
    monkeypatch.setattr(process, "_START", start)


@pytest.mark.skipif(not landlock.version(), reason="no Landlock here")
def test_a_hostile_class(mmulab: Any, handed_in: Any, tmp_path: Path) -> None:
    places = handed_in(hostile.KINDS)
    assert len(places) >= 60 + 2
    report = tmp_path / "report.json"
    began = time.monotonic()
    options = ("--time-limit", 6, "--json", report)
    code, _, err = mmulab("assignment", "grade", *places, *options)
    assert code == 0 and "not graded" not in err
    assert time.monotonic() - began < 180  # some 25 s where nothing else runs
    reports = json.loads(report.read_text())
    check(reports)
    layers = {"privileges", "landlock", "limits", "seccomp", "audit hook"}
    assert all(set(each["sandbox"]["layers"]) == layers for each in reports)
    (slow,) = [r for r in reports if "is slow each time" in r["submission"]]
    assert slow["notes"] == ["grading took longer than 6 s, the most for a submission"]


#: Kinds that a kernel without Landlock might let do more.
EXPOSED = tuple(kind for kind in hostile.KINDS if "read" in kind or "file" in kind)


@LINUX
def test_without_landlock(
    mmulab: Any, handed_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_landlock(monkeypatch)
    places = handed_in((*EXPOSED, "forks", "kills the grader", "sleeps"))
    report = tmp_path / "report.json"
    options = ("--time-limit", 6, "--json", report)
    code, _, err = mmulab("assignment", "grade", *places, *options)
    assert code == 1 and "the sandbox lacks landlock: needs Linux 5.13" in err
    assert all("error" in each for each in json.loads(report.read_text()))
    code, _, err = mmulab("assignment", "grade", *places, *options, "--unsafe")
    assert code == 0 and "not graded" not in err
    reports = json.loads(report.read_text())
    check(reports)
    assert all("run without landlock" in each["notes"][0] for each in reports[:3])
    assert "landlock" in reports[0]["sandbox"]["missing"]


@pytest.mark.long
@pytest.mark.skipif(not landlock.version(), reason="no Landlock here")
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("landlock", [False, True])
def test_every_kind_everywhere(
    mmulab: Any, handed_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    batch: bool, landlock: bool,
) -> None:  # fmt: skip
    if not landlock:
        no_landlock(monkeypatch)
    # What is slow each time is asked once in a batch; it answers three times too much.
    places = handed_in(tuple(k for k in hostile.KINDS if not (batch and "slow" in k)), batch)
    report = tmp_path / "report.json"
    options = ("--time-limit", 4, "--json", report, *([] if landlock else ["--unsafe"]))
    code, _, err = mmulab("assignment", "grade", *places, *options)
    assert code == 0 and "not graded" not in err
    reports = json.loads(report.read_text())
    timed_out = [r for r in reports if any("took longer" in note for note in r["notes"])]
    check([r for r in reports if r not in timed_out] if batch else reports, batch)


def test_an_error_of_the_grader_leaves_the_others(
    mmulab: Any, handed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = handed_in(())
    judged, calls = hostile.Doubling.judged, []

    def fails(self: Any, *given: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise IndexError(SECRET)
        return judged(self, *given)

    monkeypatch.setattr(hostile.Doubling, "judged", fails)
    code, out, err = mmulab("assignment", "grade", *places)
    assert code == 1 and out.startswith("student 1: 10 of 10")
    assert "an error of its own, IndexError in test_hostile_class.py" in err
    assert SECRET not in err and "Traceback" not in err
