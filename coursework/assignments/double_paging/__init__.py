"""Assignment 9: the double-paging anomaly: measure it, trigger it, cure it."""

from __future__ import annotations

from collections.abc import Sequence

from mmulab.coursework import answers
from mmulab.coursework.answers import Choice, Question, Whole
from mmulab.coursework.assignment import Part, PartResult, Problem, Submission
from mmulab.coursework.assignments.double_paging import runs
from mmulab.coursework.sheet import AnswerSheet, Values
from mmulab.coursework.toml_text import NotTOML

_COUNT = Whole(high=10**9)  # the same on every machine
_MIB = Whole(high=1024)

#: How much more than the single level is called the anomaly, and how much is called cured.
WORSE, CURED = 1.15, 1.08

_QUESTIONS = (
    Question("measure", "fitted", "Pages moved in all with the fitted guest?", _COUNT,
             hint="Variant fitted of --compare."),
    Question("measure", "none", "Pages moved in all with the guest as given?", _COUNT,
             hint="Variant none of --compare."),
    Question("measure", "double_faults", "Double faults with the guest as given?", _COUNT,
             hint="Variant none of --compare."),
    Question("cause", "why", "What moves the additional pages?", Choice(runs.CAUSES),
             hint="Look at which counters grow together with the pages moved."),
    Question("cause", "large", "Does a guest of four times the host's memory page at all?",
             Choice(("yes", "no")), hint="Compare its working set with what it believes to have."),
    Question("trigger", "memory", "A guest's memory that triggers the anomaly?", _MIB, unit="MiB"),
    Question("cure", "balloon", "A balloon that cures it, for the guest as given?", _MIB,
             unit="MiB"),
)  # fmt: skip


class DoublePaging(AnswerSheet):
    """Two levels that page; see handout.md."""

    name = "double-paging"
    number = 9
    title = "The double-paging anomaly"
    summary = (
        "A guest that pages on a host that pages: measure the anomaly, find its cause, choose a "
        "guest that triggers it and a balloon that cures it; your choices are run."
    )
    minutes = 90
    parts = (
        Part("measure", "Measure it", 55),
        Part("cause", "Explain it", 10),
        Part("trigger", "Trigger it", 20),
        Part("cure", "Cure it", 15),
    )
    asked = _QUESTIONS
    numbers = runs

    def template(self, problem: Problem) -> dict[str, str]:
        return {**super().template(problem), "scenario.toml": runs.scenario(problem)}

    def grade(self, problem: Problem, submission: Submission) -> list[PartResult]:
        expected = {
            **runs.measured(problem),
            "trigger": {"memory": 0},  # these are judged by running them
            "cure": {"balloon": 0},
        }
        marked = answers.mark(self.parts, _QUESTIONS, expected, submission.files)
        return [*marked[:2], *self._chosen(problem, submission, marked[2:])]

    def _chosen(
        self, problem: Problem, submission: Submission, marked: Sequence[PartResult]
    ) -> list[PartResult]:
        """Marks by what a run of the choice does; there are many right ones."""
        try:
            found = answers.read(submission.files.get(answers.FILE, ""), _QUESTIONS)
        except NotTOML:
            return list(marked)
        single = runs.fitted(problem)
        results = []
        for one, (key, judge) in zip(marked, _JUDGES.items(), strict=True):
            given = found[one.part.key][key]
            if not isinstance(given, int):
                results.append(one)
                continue
            good, feedback = judge(problem, given, single)
            results.append(PartResult(one.part, one.part.points if good else 0.0, feedback))
        return results

    def shown(self, problem: Problem) -> Values:
        return {
            **problem, "guest": problem["host"] + 6, "scenario": runs.scenario(problem),
            "worse": f"{100 * (WORSE - 1):.0f}", "cured": f"{100 * (CURED - 1):.0f}",
        }  # fmt: skip

    def explained(self, problem: Problem) -> Values:
        right = self.expected(problem)
        return {
            **problem, **right["measure"], **right["trigger"], **right["cure"],
            "cause": runs.CAUSES[0], "guest": problem["host"] + 6,
        }  # fmt: skip


def _triggers(problem: Problem, memory: int, single: int) -> tuple[bool, str]:
    if not problem["host"] // 2 <= memory <= 4 * problem["host"]:
        return False, "a guest's memory from half of the host's to four times of it is allowed"
    moved = runs.moved(problem, memory)
    good = moved >= WORSE * single and runs.double_faults(problem, memory) > 0
    return good, f"that guest's paging moves {moved:,} pages; the fitted guest's {single:,}"


def _cures(problem: Problem, balloon: int, single: int) -> tuple[bool, str]:
    guest = problem["host"] + 6
    if not 1 <= balloon <= guest // 2:
        return False, "a balloon from 1 MiB to half of the guest's memory is allowed"
    moved = runs.moved(problem, guest, balloon)
    return moved <= CURED * single, f"then paging moves {moved:,} pages; a fitted guest {single:,}"


_JUDGES = {"memory": _triggers, "balloon": _cures}

ASSIGNMENT = DoublePaging()
