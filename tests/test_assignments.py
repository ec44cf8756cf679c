"""What holds for every assignment of the registry."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmulab.coursework import answers, assignments, grading, identity
from mmulab.coursework.assignment import Submission
from mmulab.coursework.draws import Draws
from mmulab.mmu.errors import InputError

SEED = "correct horse battery staple"
NAMES = assignments.names()
SHEETS = [name for name in NAMES if tuple(assignments.get(name).files) == (answers.FILE,)]

#: SHA-256 of the problem of student "golden" under SEED, cut to 16 digits. A change here
#: changes every student's numbers: what was set with the version before cannot be graded.
GOLDEN = json.loads(Path(__file__).with_name("data").joinpath("assignments.json").read_text())


def problem_of(name: str, student: str, seed: str = SEED) -> Any:
    return assignments.get(name).problem(Draws(seed, student, name))


def digest(problem: Any) -> str:
    """Of a problem, which must be plain data."""
    text = json.dumps(problem, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def graded(name: str, files: dict[str, str], student: str = "ada") -> list[float]:
    """Earned by part, for files that never stood on a disk."""
    assignment = assignments.get(name)
    submission = Submission(Path("nowhere"), files)
    return [r.earned for r in assignment.grade(problem_of(name, student), submission)]


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What student ada gets, by assignment."""
    root = tmp_path_factory.mktemp("handed-out")
    for name in NAMES:
        grading.make(name, {"ada": root / name}, SEED)
    return {name: root / name for name in NAMES}


def test_names_and_numbers_are_unique() -> None:
    everything = [assignments.get(name) for name in NAMES]
    assert len({each.number for each in everything}) == len(NAMES) > 0
    for each in everything:
        assert re.fullmatch(r"[a-z][a-z0-9-]+", each.name) and each.title and each.minutes > 0
        assert len({part.key for part in each.parts}) == len(each.parts) > 0
        assert all(part.points > 0 for part in each.parts) and each.files
    with pytest.raises(InputError, match="unknown assignment"):
        assignments.get("no-such-assignment")


@pytest.mark.parametrize("name", NAMES)
def test_problem_is_that_of_this_version(name: str) -> None:
    found = digest(problem_of(name, "golden"))
    assert found == GOLDEN.get(name), f"tests/data/assignments.json: {name}: {found}"


@pytest.mark.parametrize("name", NAMES)
def test_students_and_seeds_have_different_problems(name: str) -> None:
    students = [digest(problem_of(name, f"student {number}")) for number in range(200)]
    seeds = [digest(problem_of(name, "ada", f"seed {number}")) for number in range(5)]
    assert len({*students, *seeds}) == 205


@pytest.mark.parametrize("name", NAMES)
def test_solution_scores_full(name: str, tmp_path: Path) -> None:
    grading.solve(name, {"ada": tmp_path / "it"}, SEED)
    report = grading.grade(tmp_path / "it", SEED)
    assert [(r.part.key, r.earned, r.feedback) for r in report.results if not full(r)] == []
    assert report.earned == report.points and not report.notes
    assert (tmp_path / "it" / grading.EXPLANATION).read_text()


@pytest.mark.parametrize("name", SHEETS)
def test_solutions_of_more_students_score_full(name: str) -> None:
    for number in range(3):
        student = f"student {number}"
        solution = assignments.get(name).solution(problem_of(name, student))
        points = [part.points for part in assignments.get(name).parts]
        assert graded(name, solution, student) == points


def full(result: Any) -> bool:
    return result.earned == result.part.points


@pytest.mark.parametrize("name", NAMES)
def test_template_scores_next_to_nothing(name: str, handed_out: dict[str, Path]) -> None:
    report = grading.grade(handed_out[name], SEED)
    assert report.earned <= 0.1 * report.points
    assert [result.part for result in report.results] == list(assignments.get(name).parts)
    assert all(full(result) or result.feedback for result in report.results)


@pytest.mark.parametrize("name", SHEETS)
def test_another_students_solution_scores_little(name: str) -> None:
    theirs = assignments.get(name).solution(problem_of(name, "bob"))
    points = sum(part.points for part in assignments.get(name).parts)
    assert sum(graded(name, theirs)) < 0.5 * points


@pytest.mark.parametrize("name", NAMES)
def test_handout_is_complete(name: str, handed_out: dict[str, Path]) -> None:
    text = (handed_out[name] / grading.HANDOUT).read_text()
    assert text.startswith("# ") and "ada" in text and SEED not in text
    for file in [*assignments.get(name).files, identity.FILE]:
        assert file in text and (handed_out[name] / file).is_file()
    for figure in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (handed_out[name] / figure).stat().st_size > 0
    assert not re.search(r"\$\{?[a-z_]{3,}", text), "a placeholder was left"


@pytest.mark.parametrize("name", NAMES)
def test_handout_is_the_same_each_time(
    name: str, handed_out: dict[str, Path], tmp_path: Path
) -> None:
    grading.make(name, {"ada": tmp_path / "again"}, SEED)
    first, again = [
        {file.name: file.read_bytes() for file in place.iterdir()}
        for place in (handed_out[name], tmp_path / "again")
    ]
    assert first == again


@pytest.mark.parametrize("name", NAMES)
def test_missing_and_broken_files_cost_marks_and_no_more(name: str) -> None:
    nothing = graded(name, {})
    assert nothing == [0.0] * len(assignments.get(name).parts)
    for text in ("", "\0", "]]]] not = [ a file", "x = " + "[" * 100_000, "é" * 1000):
        assert sum(graded(name, dict.fromkeys(assignments.get(name).files, text))) == 0


# --- Answer sheets that mean harm -----------------------------------------------------


def filled_in(name: str, literal: str) -> str:
    """The sheet with one and the same answer to every question."""
    template = assignments.get(name).template(problem_of(name, "ada"))[answers.FILE]
    text, count = re.subn(r"^(\w+ = )(\"\"|\[.*\]) *$", rf"\g<1>{literal}", template, flags=re.M)
    assert count >= len(assignments.get(name).parts)
    return text


@pytest.mark.parametrize("name", SHEETS)
def test_code_that_deletes_a_file_is_never_run(
    name: str, tmp_path: Path, handed_out: dict[str, Path]
) -> None:
    """Neither as an answer, nor from files that a Python program might import or load."""
    canary = tmp_path / "canary"
    canary.write_text("here")
    place = tmp_path / "submission"
    shutil.copytree(handed_out[name], place)
    code = f"__import__('os').remove({str(canary)!r})"
    (place / answers.FILE).write_text(filled_in(name, json.dumps(code)))
    for file in (
        "answers.py",
        "sitecustomize.py",
        "conftest.py",
        "coursework.py",
        "numpy.py",
    ):
        (place / file).write_text(code)
    report = grading.grade(place, SEED)
    assert report.earned == 0 and canary.read_text() == "here"
    assert all(result.feedback for result in report.results)


@pytest.mark.parametrize("name", SHEETS)
@pytest.mark.parametrize("literal", ["9223372036854775807", "-1", "1e308", "nan", "[[[[]]]]"])
def test_no_answer_takes_for_ever(name: str, literal: str) -> None:
    """A choice that is judged by running it is held to what was asked, before it runs."""
    assert sum(graded(name, {answers.FILE: filled_in(name, literal)})) == 0


@pytest.mark.parametrize("name", SHEETS)
def test_endless_lists_are_refused(name: str) -> None:
    endless = "[" + "1," * 400_000 + "]"
    assert sum(graded(name, {answers.FILE: filled_in(name, endless)})) == 0
