"""Assignment 5: shadow page tables that stay right while the guest changes its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmulab.coursework.draws import Draws
from mmulab.coursework.model import Part, PartResult, Problem, Submission
from mmulab.coursework.sheet import fill, parts_table

_HERE = Path(__file__).parent
FILE = "shadow.py"


class ShadowSync:
    """Four functions of a VMM; see handout.md."""

    name = "shadow-sync"
    number = 5
    title = "Shadow page tables"
    summary = (
        "Write the part of a VMM that keeps shadow page tables: hidden faults, writes to guest "
        "tables, INVLPG and CR3, with unsynchronised leaf tables as in Linux KVM."
    )
    minutes = 300
    files: Sequence[str] = (FILE,)
    parts: Sequence[Part] = (
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
        }

    def template(self, problem: Problem) -> dict[str, str]:
        return {FILE: (_HERE / "template.txt").read_text(encoding="utf-8")}

    def solution(self, problem: Problem) -> dict[str, str]:
        return {FILE: (_HERE / "solution.txt").read_text(encoding="utf-8")}

    def handout(self, problem: Problem, directory: Path) -> str:
        from mmulab.coursework.assignments.shadow_sync.world import KINDS

        shown = {"levels": problem["levels"], "processes": problem["processes"]}
        shown["sequences"] = sum(count for _, count in KINDS.values())
        return fill(_HERE / "handout.md", {**shown, "parts": parts_table(self.parts)})

    def explanation(self, problem: Problem) -> str:
        code = self.solution(problem)[FILE]
        return fill(_HERE / "explanation.md", {"code": code.rstrip("\n")})

    def grade(self, problem: Problem, submission: Submission) -> list[PartResult]:
        from mmulab.coursework.assignments.shadow_sync import marking

        if FILE not in submission.files:
            return [PartResult(part, 0.0, f"{FILE} was not handed in") for part in self.parts]
        found = marking.check(problem, submission.files[FILE])
        results = []
        for part in self.parts:
            right, count, wrong = found[part.key]
            told = f"{right} of {count} sequences were right" + (f"; {wrong}" if wrong else "")
            results.append(PartResult(part, round(part.points * right / count, 3), told))
        return results


ASSIGNMENT = ShadowSync()
