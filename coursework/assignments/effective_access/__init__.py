"""Assignment 2: effective access time, TLB reach, and misses that can be predicted."""

from __future__ import annotations

from pathlib import Path

from mmulab.coursework.answers import Choice, Number, Question, Whole
from mmulab.coursework.assignment import Part, Problem
from mmulab.coursework.assignments.effective_access import formulas
from mmulab.coursework.sheet import AnswerSheet, Values

FIGURE = "costs.svg"

_CLOSE = Number(0.005)
_COUNT = Whole(high=10**12)
_BYTES = Whole(high=1 << 50)
_REACH = "Reach is entries times page size."
_PATH = "Ask at each step how many of all accesses come so far, and what each of them pays more."
_SCAN = "For each set: how many different pages of the scan does it get, and how many ways has it?"

_QUESTIONS = (
    Question("formula", "eat", "Effective access time?", _CLOSE, unit="ns",
             hint="Every access pays the look-up and its own reference; a miss pays the walk too."),
    Question("formula", "slowdown", "By how much is that longer than one memory reference?",
             _CLOSE, unit="percent", hint="Relative to a reference without any translation."),
    Question("formula", "miss_ratio", "Largest miss ratio for which the slowdown stays within "
             "the limit given?", _CLOSE, unit="percent",
             hint="Solve the formula of the effective access time for the miss ratio."),
    Question("levels", "native", "Translation per access, natively?", _CLOSE, unit="cycles",
             hint=_PATH),
    Question("levels", "nested", "Translation per access, nested, 4 KiB pages on both sides?",
             _CLOSE, unit="cycles", hint="How many references has a cold walk in two dimensions?"),
    Question("levels", "nested_2m", "Translation per access, nested, 2 MiB pages on both sides?",
             _CLOSE, unit="cycles", hint="A 2 MiB leaf ends both walks one level earlier."),
    Question("reach", "reach_4k", "TLB reach with 4 KiB pages?", _BYTES, unit="bytes",
             hint=_REACH),
    Question("reach", "reach_2m", "TLB reach with 2 MiB pages?", _BYTES, unit="bytes",
             hint=_REACH),
    Question("reach", "reach_1g", "TLB reach with 1 GiB pages?", _BYTES, unit="bytes",
             hint=_REACH),
    Question("reach", "smallest", "Smallest page size whose reach covers the table?",
             Choice(("4k", "2m", "1g")), hint="Compare the size of the table with each reach."),
    Question("reach", "hit_ratio", "Hit ratio with the next smaller page size?", _CLOSE,
             unit="percent", hint="In the long run, which share of the table's pages is held?"),
    Question("sets", "set", "Which set does the address's page go to?", Whole(high=1023),
             hint="The offset goes first; then the lowest bits of the page number."),
    Question("sets", "stride", "Smallest stride at which all pages go to one set?", _BYTES,
             unit="bytes", hint="By how much must a page number grow to come to the same set?"),
    Question("sets", "fit", "How many pages can a loop with that stride visit before it begins "
             "to miss on each?", _COUNT, unit="pages", hint="How many entries has one set?"),
    Question("scan", "small", "Misses of the first scan?", _COUNT, hint=_SCAN),
    Question("scan", "large", "Misses of the second scan?", _COUNT, hint=_SCAN, weight=2),
    Question("scan", "associative", "Misses of the second scan in the fully associative TLB?",
             _COUNT, hint="LRU throws out the page that comes next.", weight=2),
    Question("scan", "strided", "Misses of the third scan?", _COUNT, hint=_SCAN),
)  # fmt: skip


class EffectiveAccess(AnswerSheet):
    """What translation costs on average; see handout.md."""

    name = "effective-access"
    number = 2
    title = "Effective access time and TLB reach"
    summary = (
        "Effective access time with one and two TLB levels, natively and nested; TLB reach by "
        "page size; sets and conflicts; predict the misses of scans that the simulator then runs."
    )
    minutes = 75
    parts = (
        Part("formula", "Effective access time", 20),
        Part("levels", "Two TLB levels, one and two dimensions", 20),
        Part("reach", "TLB reach and page sizes", 20),
        Part("sets", "Sets and conflicts", 15),
        Part("scan", "Predict the simulator", 25),
    )
    asked = _QUESTIONS
    numbers = formulas

    def attach(self, problem: Problem, directory: Path) -> None:
        from mmulab.coursework.assignments.effective_access import figure

        figure.write(directory / FIGURE)

    def shown(self, problem: Problem) -> Values:
        return formulas.show(problem)

    def explained(self, problem: Problem) -> Values:
        answers = formulas.show_answers(problem, self.expected(problem))
        return {**formulas.show(problem), **answers}


ASSIGNMENT = EffectiveAccess()
