"""Assignment 7: a balloon policy for four VMs on a host that is too small for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmulab.coursework.draws import Draws
from mmulab.coursework.model import Part, PartResult, Problem, Submission
from mmulab.coursework.sheet import fill, parts_table

_HERE = Path(__file__).parent
FILE = "policy.py"
FIGURE = "needs.svg"


class BalloonPolicy:
    """One function, asked again and again while four VMs run; see handout.md."""

    name = "balloon-policy"
    number = 7
    title = "A balloon policy"
    summary = (
        "Write the policy that sizes the balloons of four VMs on a host that is too small for "
        "all of them at once, so that the one that suffers most suffers least."
    )
    minutes = 240
    files: Sequence[str] = (FILE,)
    parts: Sequence[Part] = (
        Part("answers", "Answers that a VMM can use", 10),
        Part("room", "No harm where there is room", 10),
        Part("host", "The host need not page", 20),
        Part("slowdown", "The worst slowdown", 60),
    )

    def problem(self, draws: Draws) -> Problem:
        from mmulab.coursework.assignments.balloon_policy import workload

        return {"phases": workload.draw_phases(draws), "seed": draws.bits(30)}

    def template(self, problem: Problem) -> dict[str, str]:
        return {FILE: (_HERE / "template.txt").read_text(encoding="utf-8")}

    def solution(self, problem: Problem) -> dict[str, str]:
        return {FILE: (_HERE / "solution.txt").read_text(encoding="utf-8")}

    def handout(self, problem: Problem, directory: Path) -> str:
        from mmulab.coursework.assignments.balloon_policy import figure, marking, workload

        figure.write(directory / FIGURE)
        values = {
            "parts": parts_table(self.parts),
            "figure": FIGURE,
            "vms": workload.VMS,
            "guest": workload.GUEST >> 20,
            "host": workload.HOST >> 20,
            "roomy": workload.ROOMY >> 20,
            "frames": workload.HOST // workload.PAGE,
            "period": round(workload.PERIOD * 1000),
            "sampled": round(workload.SAMPLE_PERIOD * 1000),
            "calls_cpu": f"{marking.LIMITS.cpu:g}",
            "too_long": marking.TOO_LONG,
            "harmless": f"{marking.HARMLESS:g}",
            "harmful": f"{marking.HARMFUL:g}",
            "rarely": f"{100 * marking.RARELY:g}",
            "chance": f"{100 * marking.CHANCE:g}",
            "enough": f"{100 * marking.ENOUGH:g}",
        }
        return fill(_HERE / "handout.md", values)

    def explanation(self, problem: Problem) -> str:
        code = self.solution(problem)[FILE]
        return fill(_HERE / "explanation.md", {"code": code.rstrip("\n")})

    def grade(self, problem: Problem, submission: Submission) -> list[PartResult]:
        from mmulab.coursework.assignments.balloon_policy import marking

        if FILE not in submission.files:
            return [PartResult(part, 0.0, f"{FILE} was not handed in") for part in self.parts]
        found = marking.check(problem, submission.files[FILE], self.solution(problem)[FILE])
        return [
            PartResult(part, round(part.points * found[part.key][0], 3), found[part.key][1])
            for part in self.parts
        ]


ASSIGNMENT = BalloonPolicy()
