"""How assignments are set and graded, from the command line and for Gradescope."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from mmulab.commands import main as cli
from mmulab.coursework import answers, assignments, gradescope, grading, identity, intake
from mmulab.mmu.errors import InputError

SEED = "correct horse battery staple"


@pytest.fixture
def mmulab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Any:
    """Runs a command line; (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmulab", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        captured = capsys.readouterr()
        return int(exit.value.code or 0), captured.out, captured.err

    monkeypatch.setenv("MMULAB_SEED", SEED)
    return run


# --- setting --------------------------------------------------------------------------


def test_a_roster_gets_a_directory_each(mmulab: Any, tmp_path: Path) -> None:
    ids = ["alice@example.org", "José Ñandú", "a/b", "../up", "a b", "a_b", "-o", "日本"]
    roster = tmp_path / "students.txt"
    roster.write_text("\ufeff# ids\n\n" + "\n".join(ids) + "\n", encoding="utf-8")
    code, out, _ = mmulab("assignment", "new", "effective-access", "--roster", roster,
                          "-o", tmp_path / "out" / "spring")  # fmt: skip
    assert code == 0 and "8 students" in out
    made = sorted((tmp_path / "out" / "spring").iterdir())
    assert len(made) == len(ids) and (tmp_path / "out" / "spring" / ids[0]).is_dir()
    assert sorted(grading.grade(place, SEED).student for place in made) == sorted(ids)
    assert not list(tmp_path.rglob(".mmulab-*"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no student in it"),
        ("# only\n", "no student in it"),
        ("ann\nbob\nann\n", "line 3: 'ann' stands on line 1 too"),
        ("ann\nb\x07b\n", "line 2: student 'b\\x07b': expected 1 to 200 printable"),
        ("x" * 201, "line 1: student"),
    ],
)
def test_bad_rosters(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "roster").write_text(text)
    with pytest.raises(InputError) as refused:
        intake.read_roster(tmp_path / "roster")
    assert says in str(refused.value)


def test_one_student_however_it_is_typed() -> None:
    assert identity.checked_student(" Jose\u0301 ") == "José" == identity.checked_student("José")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--student", "a"], "is not empty"),
        (["--student", "a", "--roster", "r"], "either --student or --roster"),
        ([], "either --student or --roster"),
        (["--student", " "], "printable characters"),
        (["--roster", "/nonexistent/r"], "no such file"),
    ],
)
def test_new_refuses(mmulab: Any, tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "there").write_text("mine")
    code, _, err = mmulab("assignment", "new", "page-walk", *arguments, "-o", tmp_path)
    assert code == 2 and says in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_new_fills_an_empty_directory_and_is_atomic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    grading.make("page-walk", {"ada": tmp_path / "empty"}, SEED)
    assert (tmp_path / "empty" / "handout.md").is_file()
    broken = type(assignments.get("page-walk"))
    monkeypatch.setattr(broken, "template", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        grading.make("page-walk", {"ada": tmp_path / "a", "bob": tmp_path / "b"}, SEED)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_seed_is_asked_for_and_a_short_one_noted(
    mmulab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = ("assignment", "new", "page-walk", "--student", "ada", "-o", tmp_path / "a")
    code, _, err = mmulab(*make, "--seed", "short")
    assert code == 0 and "might be guessed" in err
    monkeypatch.delenv("MMULAB_SEED")
    code, _, err = mmulab(*make)
    assert code == 2 and "--seed" in err
    code, _, err = mmulab(*make, "--seed", "a\udcffb")
    assert code == 2 and "printable" in err


# --- grading --------------------------------------------------------------------------


def solved(place: Path, student: str = "ada", name: str = "effective-access") -> Path:
    grading.solve(name, {student: place}, SEED)
    return place


def test_grade_prints_parts_marks_and_feedback(mmulab: Any, tmp_path: Path) -> None:
    place = solved(tmp_path / "s")
    file = place / answers.FILE
    file.write_text(re.sub(r"^fit = .*", "fit = 99", file.read_text(), flags=re.M))
    code, out, _ = mmulab("assignment", "grade", place)
    assert code == 0
    assert re.search(r"Sets and conflicts +10 of +15\n +fit: wrong\. How many entries", out)
    assert re.search(r"total +95 of 100", out)


def test_many_submissions_get_a_line_each(mmulab: Any, tmp_path: Path) -> None:
    good = solved(tmp_path / "good")
    bad = solved(tmp_path / "bad", "bob")
    (bad / answers.FILE).unlink()
    marks, report = tmp_path / "marks.csv", tmp_path / "report.json"
    code, out, err = mmulab("assignment", "grade", good, bad, tmp_path / "absent",
                            "--csv", marks, "--json", report)  # fmt: skip
    assert code == 1 and "1 of 3 submissions were not graded" in err
    assert out.splitlines()[0].startswith("ada: 100 of 100")
    assert out.splitlines()[1].startswith("bob: 0 of 100")
    rows = list(csv.DictReader(marks.open()))
    assert [row["earned"] for row in rows] == ["100", "0", ""]
    assert [row["scan"] for row in rows] == ["25", "0", ""]
    assert "not a directory" in rows[2]["notes"]
    data = json.loads(report.read_text())
    assert [each.get("earned") for each in data] == [100, 0, None]
    assert data[0]["schema"] == "mmulab.grade" and data[0]["parts"][4]["points"] == 25


def test_identity_is_checked(tmp_path: Path) -> None:
    place = solved(tmp_path / "s")

    def refused(says: str, seed: str = SEED, **of: str) -> None:
        with pytest.raises(InputError, match=says):
            grading.grade(place, seed, **of)

    refused("set with another seed", seed="some other secret")
    refused("is of student 'ada'; expected 'bob'", student="bob")
    refused("is of assignment 'effective-access'; expected 'page-walk'", name="page-walk")
    file = place / identity.FILE
    original = file.read_text()
    file.write_text(original.replace('"ada"', '"bob"'))
    refused("is not as it was handed out")
    file.write_text(original.replace('"ada"', "7"))
    refused("is not as it was handed out")
    file.write_text("not toml")
    refused("is not TOML")
    file.unlink()
    refused("no assignment.toml; give the student and the assignment")
    assert grading.grade(place, SEED, "ada", "effective-access").earned == 100


def test_another_version_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = solved(tmp_path / "s")
    monkeypatch.setattr(grading, "__version__", "9.9")
    assert "the numbers may differ" in grading.grade(place, SEED).notes[0]


def _device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _secret(file: Path) -> None:
    file.symlink_to("/etc/passwd")


def _pipe(file: Path) -> None:
    os.mkfifo(file)


def _huge(file: Path) -> None:
    with file.open("wb") as handle:
        handle.truncate(100 << 20)


def _binary(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 10)


HOSTILE = {
    _device: "is a symbolic link",
    _secret: "is a symbolic link",
    _pipe: "is not a regular file",
    Path.mkdir: "is not a regular file",
    _huge: "is larger than 1,000,000 bytes",
    _binary: "is not UTF-8 text, at byte",
}


@pytest.mark.parametrize("make", HOSTILE)
@pytest.mark.parametrize("file", [answers.FILE, identity.FILE])
def test_hostile_files_are_not_read(tmp_path: Path, make: Any, file: str) -> None:
    place = solved(tmp_path / "s")
    (place / file).unlink()
    make(place / file)
    if file == identity.FILE:
        with pytest.raises(InputError, match=HOSTILE[make]):
            grading.grade(place, SEED)
    else:
        report = grading.grade(place, SEED)
        assert report.earned == 0 and HOSTILE[make] in report.notes[0]
        assert "root:" not in json.dumps(report.to_dict())


# --- Gradescope -----------------------------------------------------------------------

#: The fields of results.json and of its tests, with their types: Gradescope Autograder
#: Documentation, "Autograder Specifications", sections "Output format" and "Output String
#: Formatting".
FORMATS = {"text", "html", "simple_format", "md", "ansi"}
TOP = {
    "score": float, "execution_time": float, "output": str, "output_format": FORMATS,
    "test_output_format": FORMATS, "test_name_format": FORMATS,
    "visibility": set(gradescope.VISIBILITIES), "stdout_visibility": set(gradescope.VISIBILITIES),
    "extra_data": dict, "tests": list, "leaderboard": list,
}  # fmt: skip
TEST = {
    "score": float, "max_score": float, "status": {"passed", "failed"}, "name": str,
    "name_format": FORMATS, "number": str, "output": str, "output_format": FORMATS, "tags": list,
    "visibility": set(gradescope.VISIBILITIES), "extra_data": dict,
}  # fmt: skip


def check_fields(found: dict[str, Any], known: dict[str, Any]) -> None:
    for key, value in found.items():
        expected = known[key]
        if isinstance(expected, set):
            assert value in expected, key
        elif expected is float:
            assert isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        else:
            assert isinstance(value, expected), key


def check_results(found: dict[str, Any]) -> None:
    """Raises AssertionError for what Gradescope does not document."""
    check_fields(found, TOP)
    assert "score" in found or found["tests"], "a score at the top or in each test"
    for test in found["tests"]:
        check_fields(test, TEST)
        assert "score" in found or "score" in test
        assert test["score"] <= test["max_score"]
        assert all(isinstance(tag, str) for tag in test["tags"])
        assert (test["status"] == "passed") == (test["score"] == test["max_score"])


def test_gradescope_results_are_as_documented(tmp_path: Path) -> None:
    report = grading.grade(solved(tmp_path / "s"), SEED)
    nothing = grading.nothing("page-walk", "ada", "why")
    check_results(json.loads(json.dumps(gradescope.results(nothing))))
    for visibility in gradescope.VISIBILITIES:
        check_results(json.loads(json.dumps(gradescope.results(report, 1.25, visibility))))


def test_gradescope_gets_a_result_from_the_command(mmulab: Any, tmp_path: Path) -> None:
    place, out = solved(tmp_path / "s"), tmp_path / "results.json"
    command = ("assignment", "grade", place, "--assignment", "effective-access", "--gradescope")
    assert mmulab(*command, out)[0] == 0
    results = json.loads(out.read_text())
    check_results(results)
    assert sum(test["score"] for test in results["tests"]) == 100
    code, _, err = mmulab(*command, out, "--student", "bob")
    assert code == 2 and "is of student 'ada'" in err
    results = json.loads(out.read_text())
    check_results(results)
    assert sum(test["score"] for test in results["tests"]) == 0
    assert "is of student 'ada'; expected 'bob'" in results["output"]


def test_list_names_every_assignment(mmulab: Any) -> None:
    code, out, _ = mmulab("assignment", "list")
    assert code == 0
    for name in assignments.names():
        assert name in out and assignments.get(name).title in out
