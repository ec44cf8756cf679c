"""What keeping a study costs a run, and what a second worker brings.

    python benchmarks/studies.py [--tiny]

Milliseconds of a run of one technique, and beside it, in one process and in another that is fed
(its start included); then pairs of the same study by one worker and by two, in turns, and how many
times as fast two are. Of each, the median.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence

from tiny import sized

from mmulab.studies import study as studies
from mmulab.studies.engines import Engine, Inline, Outcome, Processes
from mmulab.studies.points import Point
from mmulab.studies.study import Study
from mmulab.studies.sweep import sweep

RUNS, PAIRS = sized(100, 2), sized(3, 1)
LONG = sized("gups:size=256M,accesses=2M", "gups:size=1M,accesses=5K")


class Timed:
    """Another engine, with the seconds that its runs take by themselves."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seconds = 0.0

    def outcomes(self, points: Sequence[Point]) -> Iterator[Outcome]:
        for outcome in self.engine.outcomes(points):
            self.seconds += outcome.seconds
            yield outcome


def study_of(trace: str, runs: int) -> Study:
    table = {"traces": [trace], "preset": "skylake-sp", "techniques": "native"}
    return studies.parse({**table, "axes": {"seed": f"1..{runs}"}}, "study")


def seconds(study: Study, engine: Engine) -> float:
    folder = tempfile.mkdtemp()
    try:
        begun = time.perf_counter()
        sweep(study, folder, engine)
        return time.perf_counter() - begun
    finally:
        shutil.rmtree(folder)


def main() -> None:
    small = study_of("gups:size=64K,accesses=1K", RUNS)
    seconds(small, Inline())  # compiled
    print(f"{'ms':<16}{'a run':>10}{'beside it':>12}")
    for name, engine in (("this process", Inline()), ("another", Processes(1))):
        timed = Timed(engine)
        beside = seconds(small, timed) - timed.seconds
        print(f"{name:<16}{1e3 * timed.seconds / RUNS:>10.1f}{1e3 * beside / RUNS:>12.1f}")
    long = study_of(LONG, sized(24, 2))
    pairs = [(seconds(long, Processes(1)), seconds(long, Processes(2))) for _ in range(PAIRS)]
    print(f"two workers are {statistics.median(one / two for one, two in pairs):.2f} times as fast")


if __name__ == "__main__":
    main()
