"""What assignments that are answered in one TOML file have in common.

A subclass gives name, number, title, summary, minutes, parts (see `model.Assignment`) and

    problem(draws)       this student's numbers
    handout(problem, directory), explanation(problem)
    questions(problem)   what is asked, see `answers.Question`
    expected(problem)    the right answers, as [part][key]

and has template, solution and grade from here.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmulab.coursework import answers
from mmulab.coursework.model import Part, PartResult, Problem, Submission


class AnswerSheet:
    """Base of the assignments whose answers are whole numbers, numbers, words and lists."""

    title: str
    parts: Sequence[Part]
    files: Sequence[str] = (answers.FILE,)

    def questions(self, problem: Problem) -> Sequence[answers.Question]:
        raise NotImplementedError

    def expected(self, problem: Problem) -> Mapping[str, Mapping[str, Any]]:
        raise NotImplementedError

    def template(self, problem: Problem) -> dict[str, str]:
        return {answers.FILE: answers.write(self.title, self.parts, self.questions(problem))}

    def solution(self, problem: Problem) -> dict[str, str]:
        text = answers.write(
            self.title, self.parts, self.questions(problem), self.expected(problem)
        )
        return {answers.FILE: text}

    def grade(self, problem: Problem, submission: Submission) -> list[PartResult]:
        expected = self.expected(problem)
        return answers.mark(self.parts, self.questions(problem), expected, submission.files)


def parts_table(parts: Sequence[Part]) -> str:
    """The parts and their points as a Markdown table."""
    rows = [f"| `{part.key}` | {part.title} | {part.points:g} |" for part in parts]
    return "\n".join(["| part | what | points |", "|---|---|---:|", *rows])


def fill(path: Path, values: Mapping[str, object]) -> str:
    """A handout from its text, which stands beside the assignment's code: each $name is
    replaced. Raises KeyError for a name that has no value, so that a test finds it."""
    return string.Template(path.read_text(encoding="utf-8")).substitute(values)
