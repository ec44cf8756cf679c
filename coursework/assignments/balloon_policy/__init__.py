"""Assignment 7: a balloon policy for four VMs on a host that is too small for them."""

from __future__ import annotations

from pathlib import Path

from mmulab.coursework.assignment import Part, PartResult, Problem
from mmulab.coursework.draws import Draws
from mmulab.coursework.sheet import ProgramSheet, Values
from mmulab.mmu.errors import InputError, notice

FIGURE = "needs.svg"

#: Frames that a student's balloons move at a time: primes, so that no multiple of one is one of
#: another but by chance.
BLOCKS = tuple(n for n in range(17, 114) if all(n % small for small in range(2, 11)))


class BalloonPolicy(ProgramSheet):
    """One function, asked again and again while four VMs run; see handout.md."""

    name = "balloon-policy"
    number = 7
    title = "A balloon policy"
    summary = (
        "Write the policy that sizes the balloons of four VMs on a host that is too small for "
        "all of them at once, so that the one that suffers most suffers least."
    )
    minutes = 240
    file = "policy.py"
    parts = (
        Part("answers", "Answers that a VMM can use", 10),
        Part("room", "No harm where there is room", 10),
        Part("host", "The host need not page", 20),
        Part("slowdown", "The worst slowdown", 60),
    )

    def problem(self, draws: Draws) -> Problem:
        from mmulab.coursework.assignments.balloon_policy import workload

        return {
            "phases": workload.draw_phases(draws),
            "seed": draws.bits(30),
            "block": draws.choice(BLOCKS),
        }

    def words(self, problem: Problem) -> Values:
        return {"block": problem["block"]}

    def attach(self, problem: Problem, directory: Path) -> None:
        from mmulab.coursework.assignments.balloon_policy import figure

        figure.write(directory / FIGURE)

    def shown(self, problem: Problem) -> Values:
        from mmulab.coursework.assignments.balloon_policy import marking, workload

        return {
            **self.words(problem),
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

    def judged(self, problem: Problem, program: str) -> list[PartResult]:
        from mmulab.coursework.assignments.balloon_policy import marking

        try:
            reference: str | None = self.solution(problem)[self.file]
        except InputError as error:
            reference = None
            notice(f"{error}; without it, part 'slowdown' has no marks")
        found = marking.check(problem, program, reference)
        return [
            PartResult(part, round(part.points * found[part.key][0], 3), found[part.key][1])
            for part in self.parts
        ]


ASSIGNMENT = BalloonPolicy()
