"""Every assignment of the registry: answer sheets that mean harm."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from drivers.coursework import SEED, SHEETS, graded, problem_of

from mmulab.coursework import answers, assignments, grading


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
