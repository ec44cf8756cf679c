"""What assignments have in common: texts beside their code, and how answers are handed in.

A subclass gives name, number, title, summary, minutes, parts (see `assignment.Assignment`) and

    problem(draws)       this student's numbers
    shown(problem)       $names of handout.md; attach(problem, directory) writes its figures
    explained(problem)   $names of explanation.md

An `AnswerSheet` is answered in one TOML file; it gives

    questions(problem)   what is asked, see `answers.Question`; `asked` where all get the same
    expected(problem)    the right answers, as [part][key]
    numbers              the module with both problem and expected, as `draw` and `answer`

and a `ProgramSheet` in one Python file; beside it lie template.txt and solution.txt, and it gives

    file, words(problem) its name, and $names of both texts where they have some
    judged(problem, program)   a result for each part
"""

from __future__ import annotations

import string
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mmulab.coursework import answers
from mmulab.coursework.assignment import Part, PartResult, Problem, Submission
from mmulab.coursework.draws import Draws
from mmulab.mmu.errors import InputError

Values = Mapping[str, object]
Expected = Mapping[str, Mapping[str, Any]]


class Sheet:
    """Base of all: a handout and an explanation from texts with $names."""

    title: str
    parts: Sequence[Part]

    def attach(self, problem: Problem, directory: Path) -> None:
        """Writes the figures and files that the handout refers to; none of them here."""

    def shown(self, problem: Problem) -> Values:
        raise NotImplementedError

    def explained(self, problem: Problem) -> Values:
        raise NotImplementedError

    def handout(self, problem: Problem, directory: Path) -> str:
        self.attach(problem, directory)
        values = {**self.shown(problem), "parts": parts_table(self.parts)}
        return self.text("handout.md", values)

    def explanation(self, problem: Problem) -> str:
        return self.text("explanation.md", self.explained(problem))

    def text(self, name: str, values: Values) -> str:
        """A text that stands beside the assignment's code, each $name replaced. Raises KeyError
        for a name that has no value, so that a test finds it; InputError for a text that is not
        installed, as worked solutions of programs are not."""
        code = sys.modules[type(self).__module__].__file__
        assert code is not None
        path = Path(code).with_name(name)
        if not path.exists():
            raise InputError(
                f"{self.title}: the worked solution is not in a student's installation; install "
                "mmulab from a checkout (pip install -e)"
            )
        return string.Template(path.read_text(encoding="utf-8")).substitute(values)


class Numbers(Protocol):
    """A module that makes a student's numbers and knows the answers."""

    def draw(self, draws: Draws) -> dict[str, Any]: ...

    def answer(self, p: Problem) -> dict[str, dict[str, Any]]: ...


class AnswerSheet(Sheet):
    """Base of the assignments whose answers are whole numbers, numbers, words and lists."""

    files: Sequence[str] = (answers.FILE,)
    asked: Sequence[answers.Question]
    numbers: Numbers

    def problem(self, draws: Draws) -> Problem:
        return self.numbers.draw(draws)

    def questions(self, problem: Problem) -> Sequence[answers.Question]:
        return self.asked

    def expected(self, problem: Problem) -> Expected:
        return self.numbers.answer(problem)

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


class ProgramSheet(Sheet):
    """Base of the assignments whose answer is a program in one Python file."""

    file: str

    @property
    def files(self) -> Sequence[str]:
        return (self.file,)

    def words(self, problem: Problem) -> Values:
        return {}

    def template(self, problem: Problem) -> dict[str, str]:
        return {self.file: self.text("template.txt", self.words(problem))}

    def solution(self, problem: Problem) -> dict[str, str]:
        return {self.file: self.text("solution.txt", self.words(problem))}

    def explained(self, problem: Problem) -> Values:
        return {"code": self.solution(problem)[self.file].rstrip("\n")}

    def judged(self, problem: Problem, program: str) -> list[PartResult]:
        raise NotImplementedError

    def grade(self, problem: Problem, submission: Submission) -> list[PartResult]:
        if self.file not in submission.files:
            return self.unmarked(f"{self.file} was not handed in")
        return self.judged(problem, submission.files[self.file])

    def unmarked(self, why: str) -> list[PartResult]:
        """No marks for any part."""
        return [PartResult(part, 0.0, why) for part in self.parts]


def parts_table(parts: Sequence[Part]) -> str:
    """The parts and their points as a Markdown table."""
    rows = [f"| `{part.key}` | {part.title} | {part.points:g} |" for part in parts]
    return "\n".join(["| part | what | points |", "|---|---|---:|", *rows])
