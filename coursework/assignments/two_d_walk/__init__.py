"""Assignment 3: the two-dimensional page walk, reference by reference."""

from __future__ import annotations

from mmulab.coursework.answers import Items, Question, Whole
from mmulab.coursework.assignment import Part, Problem
from mmulab.coursework.assignments.two_d_walk import tables
from mmulab.coursework.sheet import AnswerSheet, Values

_HPAS = Items(Whole(hex=True), ordered=True, count=5)
_LEFT = Items(Whole(low=1, high=24))
_COUNT = Whole(high=100)
_ROW = (
    "The table's guest-physical address goes through the nested table first, one entry a level; "
    "the fifth reference reads the guest's entry itself."
)


def _walk_questions() -> list[Question]:
    questions = [
        Question("walk", f"level_{level}", f"Host-physical addresses of the five references for "
                 f"the guest's level {level}, in order?", _HPAS, hint=_ROW)
        for level in (4, 3, 2, 1)
    ]  # fmt: skip
    data = Items(Whole(hex=True), ordered=True, count=4)
    questions.append(
        Question("walk", "page", "Host-physical addresses of the four references that locate the "
                 "page itself, in order?", data, hint="The guest's leaf gives its gfn.")
    )  # fmt: skip
    return questions


_QUESTIONS = (
    Question("split", "guest", "Indices of the address in the guest's tables, level 4 to 1?",
             Items(Whole(high=511), ordered=True, count=4), hint="Nine bits a level, from bit 47."),
    Question("split", "nested", "Indices of the guest-physical address of the guest's PML4 table, "
             "nested level 4 to 1?", Items(Whole(high=511), ordered=True, count=4),
             hint="A guest-physical address is split as a virtual one is."),
    *_walk_questions(),
    Question("final", "hpa", "Host-physical address of the byte?", Whole(hex=True), weight=2,
             hint="The frame of the last nested entry, and the offset."),
    Question("cached", "ntlb", "Numbers of the references that are left with the nested TLB of "
             "case A?", _LEFT, hint="A hit saves the four nested references of one table."),
    Question("cached", "psc", "Numbers of the references that are left with the paging-structure "
             "cache of case B?", _LEFT,
             hint="A combined entry leads straight to the host frame of the next guest table."),
    Question("cached", "ept", "Numbers of the references that are left with the caches of case C?",
             _LEFT, hint="What is left of each nested walk when its nPDE is cached?"),
    Question("counts", "first", "References of the first machine's cold walk?", _COUNT,
             hint="(g + 1)(h + 1) - 1, with the levels that are really walked."),
    Question("counts", "second", "References of the second machine's cold walk?", _COUNT,
             hint="A large leaf ends its dimension's walk one or two levels early."),
    Question("counts", "third", "References of the third machine's cold walk?", _COUNT,
             hint="A large leaf ends its dimension's walk one or two levels early."),
)  # fmt: skip


class TwoDWalk(AnswerSheet):
    """All 24 references of a nested walk, and which of them caches save; see handout.md."""

    name = "two-d-walk"
    number = 3
    title = "The two-dimensional page walk"
    summary = (
        "Write down all 24 references of a nested walk from dumps of both tables, and those that "
        "a nested TLB and paging-structure caches leave."
    )
    minutes = 90
    parts = (
        Part("split", "Splitting both addresses", 10),
        Part("walk", "The 24 references", 45),
        Part("final", "The address", 10),
        Part("cached", "What caches leave", 25),
        Part("counts", "Other depths and page sizes", 10),
    )
    asked = _QUESTIONS
    numbers = tables

    def shown(self, problem: Problem) -> Values:
        return tables.show(problem)

    def explanation(self, problem: Problem) -> str:
        return tables.explain(problem)


ASSIGNMENT = TwoDWalk()
