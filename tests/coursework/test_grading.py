"""How submissions are graded, from the command line; hostile files are not read."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from drivers.coursework import SEED, solved

from mmulab.coursework import answers, grading, identity
from mmulab.mmu.errors import InputError


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
