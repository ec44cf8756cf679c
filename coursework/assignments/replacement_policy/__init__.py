"""Assignment 4: write a TLB replacement policy, and beat FIFO with it."""

from __future__ import annotations

from mmulab.coursework.assignment import Part, PartResult, Problem
from mmulab.coursework.draws import Draws
from mmulab.coursework.sheet import ProgramSheet, Values

_DRIVER = "mmulab.coursework.assignments.replacement_policy.driver"

_NO_WAY = "a victim is no way of its set that a page may leave"

#: Part of the way from FIFO to LRU that earns a trace's full marks.
ENOUGH = 0.95

#: Ways of each set that no page leaves: the processor keeps translations of its own there.
WIRED = 2

#: That a policy may take, of which compiling takes some 5.
CPU_SECONDS = 20


class ReplacementPolicy(ProgramSheet):
    """Three functions that decide which way of a set goes; see handout.md."""

    name = "replacement-policy"
    number = 4
    title = "A TLB replacement policy"
    summary = (
        "Write a replacement policy in Python; it is compiled, runs over three traces, and has to "
        "miss less than FIFO."
    )
    minutes = 120
    file = "policy.py"
    parts = (
        Part("valid", "It runs, and each victim is a way that a page may leave", 10),
        Part("zipf", "Trace 1: a key-value store", 30),
        Part("python", "Trace 2: an interpreter", 30),
        Part("mixed", "Trace 3: two programs in turn", 30),
    )

    def problem(self, draws: Draws) -> Problem:
        ways = draws.between(5, 8)
        return {
            "sets": draws.choice([8, 16, 32]),
            "ways": ways,
            "wired": sorted(draws.sample(range(ways), WIRED)),
            "seed": draws.between(1, 10**9),
            "accesses": 400_000,
            "traces": {
                "zipf": f"zipf:keys={draws.between(20, 60)}k,value=256,theta=0.9,accesses=500k",
                "python": "@python",
                "mixed": f"mix:of=chase(size={draws.between(2, 6)}M)+zipf(keys=20k,value=128),"
                f"quantum={draws.between(3, 9)}k,accesses=500k",
            },
        }

    def words(self, problem: Problem) -> Values:
        return {"ways": problem["ways"], "sets": problem["sets"], "words": problem["ways"] + 1,
                "wired": ", ".join(map(str, problem["wired"]))}  # fmt: skip

    def shown(self, problem: Problem) -> Values:
        return {
            **self.words(problem), "enough": f"{100 * ENOUGH:.0f}", "seed": problem["seed"],
            **{f"trace_{name}": spec for name, spec in problem["traces"].items()},
        }  # fmt: skip

    def explanation(self, problem: Problem) -> str:
        return (
            "# A TLB replacement policy: worked solution\n\nLRU: each way's word holds the time of "
            "its last use, the last word the time itself; the victim is the way with the smallest "
            "time, of those that are not wired.\n\n"
            f"```python\n{self.solution(problem)[self.file]}```\n"
        )

    def judged(self, problem: Problem, program: str) -> list[PartResult]:
        import numpy as np

        from mmulab.coursework import sandbox
        from mmulab.coursework.assignments.replacement_policy import replay

        sets, ways, wired = problem["sets"], problem["ways"], problem["wired"]
        traces = replay.traces(problem)
        geometry = np.array([sets, ways, ways + 1], np.int64)
        verdict = sandbox.run(
            program, _DRIVER, {"geometry": geometry, **traces},
            sandbox.Limits(cpu=CPU_SECONDS), name=self.file, preload=("numpy", "numba"),
        )  # fmt: skip
        if not verdict.ok:
            return self.unmarked(f"{self.file}: {verdict.message}")
        results = []
        for part in self.parts[1:]:
            pages = traces[part.key]
            victims = verdict.array(part.key, (None,), len(pages))
            mine = -1 if victims is None else replay.replay(pages, sets, ways, victims, wired)
            fifo = replay.known(pages, sets, ways, replay.FIFO, wired)
            lru = replay.known(pages, sets, ways, replay.LRU, wired)
            results.append(_marked(part, mine, fifo, lru))
        bad = [result.part.key for result in results if "no way" in result.feedback]
        told = f"{_NO_WAY} on trace {', '.join(bad)}" if bad else "valid"
        first = PartResult(self.parts[0], 0.0 if bad else self.parts[0].points, told)
        return [first, *results]


def _marked(part: Part, misses: int, fifo: int, lru: int) -> PartResult:
    """Marks by how much of the way from FIFO to LRU the policy goes."""
    if misses < 0:
        return PartResult(part, 0.0, _NO_WAY)
    gained = (fifo - misses) / max(1, fifo - lru)
    earned = part.points * min(1.0, max(0.0, gained) / ENOUGH)
    told = f"{misses:,} misses; FIFO has {fifo:,}"
    if 0 < gained < ENOUGH:
        told += "; more can be gained from what was used lately"
    return PartResult(part, round(earned, 3), told)


ASSIGNMENT = ReplacementPolicy()
