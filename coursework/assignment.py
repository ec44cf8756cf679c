"""The seam: what an assignment is, and what setting and grading one hand around.

An assignment is a folder of `coursework.assignments` whose package has ASSIGNMENT, an
object with the attributes and methods of `Assignment`. Nothing else needs to know it.

    student, seed --draws--> Problem --handout, template--> what the student gets
                                     --solution-----------> what scores full marks
                      Submission + Problem --grade--------> PartResults --> a Report
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mmulab.coursework.draws import Draws

#: All numbers that differ between students: plain data (int, str, bool, lists, dicts).
Problem = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A separately marked part. key: its name in the answer file, and in feedback."""

    key: str
    title: str
    points: float


@dataclass(frozen=True)
class PartResult:
    """Marks for one part.

    earned: 0 to part.points. feedback: what is wrong and where to look, never the answer.
    """

    part: Part
    earned: float
    feedback: str


@dataclass(frozen=True)
class Submission:
    """What a student handed in. files: name -> text, of the assignment's files that exist."""

    directory: Path
    files: Mapping[str, str]


class Assignment(Protocol):
    """One assignment.

    name: as in `mmulab assignment new NAME`, e.g. "page-walk". number: order of
    difficulty, from 1. minutes: an estimate of a student's work. files: what is handed
    in, "answers.toml" or Python files.
    """

    name: str
    number: int
    title: str
    summary: str
    minutes: int
    parts: Sequence[Part]
    files: Sequence[str]

    def problem(self, draws: Draws) -> Problem:
        """This student's numbers; the same for the same draws on any machine."""
        ...

    def handout(self, problem: Problem, directory: Path) -> str:
        """The task as Markdown. Figures that it shows are written into directory."""
        ...

    def template(self, problem: Problem) -> dict[str, str]:
        """The files to fill in, by name: valid, but worth no marks as they are."""
        ...

    def solution(self, problem: Problem) -> dict[str, str]:
        """The files that score full marks, by name."""
        ...

    def explanation(self, problem: Problem) -> str:
        """The worked solution as Markdown, step by step."""
        ...

    def grade(self, problem: Problem, submission: Submission) -> list[PartResult]:
        """One result for each of `parts`, in their order. Never runs student code in
        this process: `coursework.sandbox` does. A file that is missing or broken costs
        its parts, with a sentence that says what is wrong; it raises nothing."""
        ...
