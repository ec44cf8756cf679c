"""Assignment 5: shadow page tables that stay right while the guest changes its own."""

from __future__ import annotations

from mmulab.coursework.assignment import Part, PartResult, Problem
from mmulab.coursework.assignments.shadow_sync import layout
from mmulab.coursework.draws import Draws
from mmulab.coursework.sheet import ProgramSheet, Values


class ShadowSync(ProgramSheet):
    """Four functions of a VMM; see handout.md."""

    name = "shadow-sync"
    number = 5
    title = "Shadow page tables"
    summary = (
        "Write the part of a VMM that keeps shadow page tables: hidden faults, writes to guest "
        "tables, INVLPG and CR3, with unsynchronised leaf tables as in Linux KVM."
    )
    minutes = 300
    file = "shadow.py"
    parts = (
        Part("fill", "Hidden faults build the sPT", 20),
        Part("rights", "Rights, A and D", 20),
        Part("writes", "Writes to guest tables", 15),
        Part("invlpg", "INVLPG", 15),
        Part("cr3", "CR3 loads", 15),
        Part("lazy", "Few exits for writes", 8),
        Part("kept", "What is right is kept", 7),
    )

    def problem(self, draws: Draws) -> Problem:
        return {
            "levels": draws.choice([4, 5]),
            "processes": draws.between(2, 4),
            "seed": draws.bits(60),
            "layout": layout.draw(draws),
        }

    def words(self, problem: Problem) -> Values:
        return {"flags": layout.written(problem["layout"])}

    def shown(self, problem: Problem) -> Values:
        from mmulab.coursework.assignments.shadow_sync.world import KINDS

        return {
            "levels": problem["levels"],
            "processes": problem["processes"],
            "sequences": sum(count for _, count in KINDS.values()),
            "bits": ", ".join(
                f"bit {bit} {name}"
                for name, bit in zip(layout.NAMES, problem["layout"], strict=True)
            ),
        }

    def judged(self, problem: Problem, program: str) -> list[PartResult]:
        from mmulab.coursework.assignments.shadow_sync import marking

        found = marking.check(problem, program)
        results = []
        for part in self.parts:
            right, count, wrong = found[part.key]
            told = f"{right} of {count} sequences were right" + (f"; {wrong}" if wrong else "")
            results.append(PartResult(part, round(part.points * right / count, 3), told))
        return results


ASSIGNMENT = ShadowSync()
