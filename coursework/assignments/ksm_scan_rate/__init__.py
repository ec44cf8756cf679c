"""Assignment 8: what ksmd saves, how long it takes, and what it costs."""

from __future__ import annotations

from mmulab.coursework.answers import Number, Question, Whole
from mmulab.coursework.assignment import Part, Problem
from mmulab.coursework.assignments.ksm_scan_rate import population
from mmulab.coursework.sheet import AnswerSheet, Values

_PAGES = Whole(high=10**6)
_CLOSE = Number(0.01)
_KEPT = "Of each content that several pages hold, one page is kept."

_QUESTIONS = (
    Question("counters", "shared", "pages_shared, once nothing changes any more?", _PAGES,
             hint=_KEPT),
    Question("counters", "sharing", "pages_sharing, then?", _PAGES,
             hint="How many more sites share the pages that are kept?", weight=2),
    Question("counters", "unshared", "pages_unshared, then?", _PAGES,
             hint="Which pages wait in the unstable tree in vain?"),
    Question("scans", "first", "pages_sharing after the first full scan?", _PAGES,
             hint="What must a page show on two visits before it may be merged?"),
    Question("scans", "needed", "Full scans after which nothing changes any more?",
             Whole(high=20), hint="When does a page get a checksum, and when can it meet another?"),
    Question("limit", "shared", "pages_shared with the limit, once nothing changes any more?",
             _PAGES, hint="A page that has all its sites cannot be joined; a new one is made."),
    Question("limit", "sharing", "pages_sharing, then?", _PAGES,
             hint="A page that is made of two others has two sites at once."),
    Question("time", "scan", "Time of a full scan?", _CLOSE, unit="seconds",
             hint="How many batches, and how long is the sleep after each?"),
    Question("time", "merge", "Time until every page can have been merged, at the least?", _CLOSE,
             unit="seconds", hint="It takes as many full scans as a page must be seen."),
    Question("cost", "cpu", "Share of one core that ksmd takes?", _CLOSE, unit="percent",
             hint="Cycles of a batch over the cycles of a sleep."),
    Question("cost", "largest", "Largest pages_to_scan within the budget?",
             Whole(high=10**9), hint="Solve the formula of the share; pages are whole."),
    Question("cost", "breaks", "Share of one core that copies of merged pages take?", _CLOSE,
             unit="percent", hint="Copies a second times the cycles of one."),
)  # fmt: skip


class KSMScanRate(AnswerSheet):
    """Counters, time and cost of page merging; see handout.md."""

    name = "ksm-scan-rate"
    number = 8
    title = "Page merging: what it saves and what it costs"
    summary = (
        "Predict ksmd's counters for VMs with equal pages, with and without max_page_sharing; how "
        "long merging takes at a scan rate, and what it costs in CPU and copies."
    )
    minutes = 75
    parts = (
        Part("counters", "What is shared", 30),
        Part("scans", "When it is shared", 15),
        Part("limit", "max_page_sharing", 20),
        Part("time", "Scan rate and time", 15),
        Part("cost", "CPU and copies", 20),
    )
    asked = _QUESTIONS
    numbers = population

    def shown(self, problem: Problem) -> Values:
        return {**problem, "ghz": problem["ghz_tenths"] / 10}

    def explained(self, problem: Problem) -> Values:
        right = {
            f"{part}_{key}": value
            for part, keys in self.expected(problem).items()
            for key, value in keys.items()
        }
        return {**self.shown(problem), **right}


ASSIGNMENT = KSMScanRate()
