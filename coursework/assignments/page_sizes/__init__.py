"""Assignment 6: guest and host page sizes, splintering, and memory wasted."""

from __future__ import annotations

from mmulab.coursework.answers import Choice, Items, Number, Question, Whole
from mmulab.coursework.assignment import Part, Problem
from mmulab.coursework.draws import Draws
from mmulab.coursework.sheet import AnswerSheet, Expected, Values

_SIZES = ("4k", "2m", "1g")
_PAIRS = tuple(f"{guest}/{host}" for guest in _SIZES[:2] for host in _SIZES)
_SHIFT = {"4k": 12, "2m": 21, "1g": 30}
_LEVELS = {"4k": 4, "2m": 3, "1g": 2}
_REFERENCES = Items(Whole(high=100), ordered=True, count=6)

_QUESTIONS = (
    Question("entries", "sizes", "Page size of the TLB entry for each pair, in order?",
             Items(Choice(_SIZES), ordered=True, count=6),
             hint="An entry may cover no more than either table maps as one page."),
    Question("references", "cold", "References of a cold walk for each pair, in order?",
             _REFERENCES, hint="(g + 1)(h + 1) - 1 with the levels that are walked."),
    Question("reach", "small", "TLB reach with 2m guest pages on 4k host pages?",
             Whole(high=1 << 50), unit="bytes", hint="Which entries do such pages fill?"),
    Question("reach", "large", "TLB reach with 2m guest pages on 2m host pages?",
             Whole(high=1 << 50), unit="bytes", hint="Entries times the size that each covers."),
    Question("waste", "bytes", "Bytes wasted with 2m guest pages?", Whole(high=1 << 50),
             unit="bytes", hint="Each mapping takes whole pages; what is mapped beyond its end "
             "is wasted."),
    Question("waste", "percent", "Wasted part of the memory that is then in use?",
             Number(0.005), unit="percent", hint="Of what is in use, not of what is needed."),
    Question("choose", "best", "The cheapest pair within the budget?", Choice(_PAIRS),
             hint="Run those that the budget allows."),
    Question("choose", "worst", "The most expensive pair of all six?", Choice(_PAIRS),
             hint="Run all six."),
)  # fmt: skip


class PageSizes(AnswerSheet):
    """What the smaller of two page sizes costs; see handout.md."""

    name = "page-sizes"
    number = 6
    title = "Guest and host page sizes"
    summary = (
        "Which TLB entries pairs of guest and host page sizes fill, what a cold walk costs, what "
        "large pages waste, and which pair is cheapest within a budget."
    )
    minutes = 90
    parts = (
        Part("entries", "Splintering", 15),
        Part("references", "Walks", 15),
        Part("reach", "Reach", 20),
        Part("waste", "Waste", 25),
        Part("choose", "Choose", 25),
    )
    asked = _QUESTIONS

    def problem(self, draws: Draws) -> Problem:
        return {
            "size": draws.between(24, 90) << 20,
            "seed": draws.between(1, 10**9),
            "entries": draws.choice([512, 1024, 1536]),
            "mappings": draws.between(20, 90),
            "bytes": draws.between(3 << 20, 9 << 20) // 4096 * 4096 + 4096 * draws.between(1, 9),
            "budget": draws.choice([5, 50]),
        }

    def expected(self, problem: Problem) -> Expected:
        pairs = [pair.split("/") for pair in _PAIRS]
        entries = [min(pair, key=lambda size: _SHIFT[size]) for pair in pairs]
        large = 1 << 21
        wasted = problem["mappings"] * (-problem["bytes"] % large)
        percent = 100 * wasted / (problem["mappings"] * problem["bytes"] + wasted)
        costs = {pair: _cost(problem, *pair.split("/")) for pair in _PAIRS}
        allowed = [
            pair for pair in _PAIRS
            if pair.startswith("4k") or percent <= problem["budget"]
        ]  # fmt: skip
        return {
            "entries": {"sizes": entries},
            "references": {
                "cold": [(_LEVELS[g] + 1) * (_LEVELS[h] + 1) - 1 for g, h in pairs],
            },
            "reach": {
                "small": problem["entries"] << 12, "large": problem["entries"] << 21,
            },
            "waste": {"bytes": wasted, "percent": percent},
            "choose": {
                "best": min(allowed, key=lambda pair: costs[pair]),
                "worst": max(costs, key=lambda pair: costs[pair]),
            },
        }  # fmt: skip

    def shown(self, problem: Problem) -> Values:
        pairs = ", ".join(f"`{pair}`" for pair in _PAIRS)
        return {**problem, "workload": _spec(problem), "pairs": pairs}

    def explained(self, problem: Problem) -> Values:
        right = self.expected(problem)
        return {
            **self.shown(problem),
            "sizes": ", ".join(right["entries"]["sizes"]),
            "cold": ", ".join(map(str, right["references"]["cold"])),
            "wasted": right["waste"]["bytes"], "percent": f"{right['waste']['percent']:.2f}",
            **right["reach"], **right["choose"],
        }  # fmt: skip


def _spec(problem: Problem) -> str:
    return f"gups:size={problem['size']},accesses=300k"


def _cost(problem: Problem, guest: str, host: str) -> float:
    """Cycles per access under nested paging with these page sizes."""
    from mmulab import workloads
    from mmulab.mmu import presets, simulate
    from mmulab.mmu.config import Config

    config = Config(
        memory=4 << 30, page_size=guest, host_page_size=host, seed=problem["seed"],
        host_memory=6 << 30,
    )  # fmt: skip
    trace = workloads.resolve(_spec(problem), seed=problem["seed"])
    compared = simulate.compare(trace, presets.load("skylake-sp"), config, ("nested",), 150_000)
    return compared["nested"].cycles_per_access


ASSIGNMENT = PageSizes()
