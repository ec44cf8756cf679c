"""How assignments are set, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drivers.coursework import SEED

from mmulab.coursework import assignments, grading, identity, intake
from mmulab.mmu.errors import InputError

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


# --- Gradescope -----------------------------------------------------------------------


def test_list_names_every_assignment(mmulab: Any) -> None:
    code, out, _ = mmulab("assignment", "list")
    assert code == 0
    for name in assignments.names():
        assert name in out and assignments.get(name).title in out
