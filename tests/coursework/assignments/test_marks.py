"""Every assignment of the registry: what earns marks, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drivers.coursework import NAMES, SEED, SHEETS, graded, problem_of

from mmulab.coursework import assignments, grading


@pytest.mark.parametrize("name", NAMES)
def test_solution_scores_full(name: str, tmp_path: Path) -> None:
    grading.solve(name, {"ada": tmp_path / "it"}, SEED)
    report = grading.grade(tmp_path / "it", SEED, unsafe=True)
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
    report = grading.grade(handed_out[name], SEED, unsafe=True)
    assert report.earned <= 0.1 * report.points
    assert [result.part for result in report.results] == list(assignments.get(name).parts)
    assert all(full(result) or result.feedback for result in report.results)


@pytest.mark.parametrize("name", NAMES)
def test_another_students_solution_scores_little(name: str) -> None:
    theirs = assignments.get(name).solution(problem_of(name, "bob"))
    points = sum(part.points for part in assignments.get(name).parts)
    assert sum(graded(name, theirs)) < 0.5 * points


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SHEETS])
def test_programs_of_others_seldom_fit(name: str) -> None:
    """What a program has to go by is drawn, so that few of a class can hand in one text."""
    students = [f"student {number}" for number in range(100)]
    texts = [str(assignments.get(name).solution(problem_of(name, each))) for each in students]
    assert max(texts.count(text) for text in texts) <= 12


@pytest.mark.parametrize("name", NAMES)
def test_missing_and_broken_files_cost_marks_and_no_more(name: str) -> None:
    nothing = graded(name, {})
    assert nothing == [0.0] * len(assignments.get(name).parts)
    for text in ("", "\0", "]]]] not = [ a file", "x = " + "[" * 100_000, "é" * 1000):
        assert sum(graded(name, dict.fromkeys(assignments.get(name).files, text))) == 0
