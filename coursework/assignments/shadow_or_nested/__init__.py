"""Assignment 10: shadow or nested paging? Measure, derive the break-even, predict."""

from __future__ import annotations

from typing import Any

from mmulab.coursework.answers import Choice, Items, Number, Question
from mmulab.coursework.assignment import Part, Problem
from mmulab.coursework.draws import Draws
from mmulab.coursework.sheet import AnswerSheet, Expected, Values

_CLOSE = Number(0.005)
_DERIVED = Number(0.02, low=-1e6, high=1e6)
_WINNER = Choice(("shadow", "nested"))
WARMUP = 400_000  # accesses that are run and not counted: first touches are none of this

_OTHERS = ("a", "b", "c", "d")

_QUESTIONS = (
    Question("measure", "walks", "Page walks per 1,000 accesses under nested paging?", _CLOSE,
             hint="counts.walks over counts.accesses."),
    Question("measure", "pte_writes", "Guest PTE writes per 1,000 accesses?", _CLOSE,
             hint="counts.pte_writes; the same under every technique."),
    Question("measure", "shadow", "Cycles per access under shadow paging?", _CLOSE,
             hint="The table of mmulab compare, first row."),
    Question("measure", "nested", "Cycles per access under nested paging?", _CLOSE,
             hint="The table of mmulab compare, first row."),
    Question("derive", "per_write", "Cycles that shadow paging costs above native, for each guest "
             "PTE write?", _DERIVED, hint="Everything that shadow costs more than native, shared "
             "among the writes that cause it."),
    Question("derive", "per_walk", "Cycles that nested paging costs above native, for each walk?",
             _DERIVED, hint="Everything that nested costs more than native, shared among walks."),
    Question("derive", "break_even", "PTE writes per walk at which both cost the same?", _DERIVED,
             hint="Where writes times their cost equal walks times theirs."),
    Question("predict", "winners", "The cheaper technique for each of the four other workloads, in "
             "order?", Items(_WINNER, ordered=True, count=4),
             hint="Compare each workload's writes per walk with the break-even; then run it."),
)  # fmt: skip


class ShadowOrNested(AnswerSheet):
    """Which technique is cheaper, and why; see handout.md."""

    name = "shadow-or-nested"
    number = 10
    title = "Shadow or nested paging?"
    summary = (
        "Measure a workload under shadow and nested paging, derive the break-even from its PTE "
        "writes and page walks, and predict the winner of four others."
    )
    minutes = 120
    parts = (
        Part("measure", "Measure", 40),
        Part("derive", "Derive the break-even", 40),
        Part("predict", "Predict", 20),
    )
    asked = _QUESTIONS

    def problem(self, draws: Draws) -> Problem:
        def churn(low: int, high: int) -> str:
            heap, arena = draws.between(16, 64) * 16, draws.between(4, 16) * 16
            work = draws.between(low, high) * 100
            return f"microchurn:heap={heap}K,arena={arena}K,work={work},accesses=1M"

        steady = [
            f"gups:size={draws.between(24, 50)}M,accesses=1M",
            f"gups:size={draws.between(51, 90)}M,accesses=1M",
        ]
        return {
            "seed": draws.between(1, 10**9),
            "first": churn(20, 90),
            "others": draws.shuffled([*steady, churn(5, 15), churn(100, 300)]),
        }

    def expected(self, problem: Problem) -> Expected:
        first = _measured(problem["first"], problem["seed"])
        accesses = first["native"].counts["accesses"]
        per_access = {name: result.cycles_per_access for name, result in first.items()}
        writes = first["nested"].counts["pte_writes"] / accesses
        walks = first["nested"].counts["walks"] / accesses
        per_write = (per_access["shadow"] - per_access["native"]) / writes
        per_walk = (per_access["nested"] - per_access["native"]) / walks
        winners = []
        for other in problem["others"]:
            found = _measured(other, problem["seed"])
            cost = {name: found[name].cycles_per_access for name in ("shadow", "nested")}
            winners.append(min(cost, key=lambda name: cost[name]))
        return {
            "measure": {
                "walks": 1000 * walks, "pte_writes": 1000 * writes,
                "shadow": per_access["shadow"], "nested": per_access["nested"],
            },
            "derive": {
                "per_write": per_write, "per_walk": per_walk, "break_even": per_walk / per_write,
            },
            "predict": {"winners": winners},
        }  # fmt: skip

    def shown(self, problem: Problem) -> Values:
        others = zip(_OTHERS, problem["others"], strict=True)
        return {
            "seed": problem["seed"],
            "workload": problem["first"],
            **{f"workload_{name}": other for name, other in others},
        }

    def explained(self, problem: Problem) -> Values:
        right = self.expected(problem)
        measured = {key: f"{value:.4g}" for part in ("measure", "derive")
                 for key, value in right[part].items()}  # fmt: skip
        winners = ", ".join(right["predict"]["winners"])
        return {**self.shown(problem), **measured, "winners": winners}


def _measured(spec: str, seed: int) -> dict[str, Any]:
    """Results by technique."""
    from mmulab import workloads
    from mmulab.mmu import presets, simulate
    from mmulab.mmu.config import Config

    trace = workloads.resolve(spec, seed=seed)
    preset, config = presets.load("skylake-sp"), Config(seed=seed)
    compared = simulate.compare(trace, preset, config, warmup=WARMUP)
    return {result.technique: result for result in compared.results}


ASSIGNMENT = ShadowOrNested()
