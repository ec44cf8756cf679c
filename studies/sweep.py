"""Makes what is missing of a study, and keeps it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from mmulab.studies import rows, store
from mmulab.studies.engines import Engine, Inline
from mmulab.studies.points import expand
from mmulab.studies.study import Study


class State(NamedTuple):
    """How far a study is. kept: runs that were there when it began. seconds: since then. left: a
    forecast, in seconds; None before the first run is made."""

    runs: int
    kept: int
    done: int
    failed: int
    seconds: float

    @property
    def left(self) -> float | None:
        made = self.done - self.kept
        return self.seconds / made * (self.runs - self.done) if made else None


def sweep(
    study: Study,
    folder: str | os.PathLike[str],
    engine: Engine | None = None,
    retry: bool = False,
    progress: Callable[[State], None] | None = None,
) -> State:
    """Makes every run of a study that its folder does not keep yet.

    engine: who makes them, this thread unless given. retry: also those that failed. progress:
    told after each run. Raises InputError for a bad study, or a folder of another.
    """
    points = expand(study)
    begun = time.monotonic()
    with store.opened(folder, study, points, retry) as kept:
        known = len(kept.done)

        def state() -> State:
            done, failed = len(kept.done), len(kept.failed)
            return State(len(points), known, done, failed, time.monotonic() - begun)

        missing = [point for point in points if point.key not in kept.done]
        for point in missing:
            if point.refused:
                kept.append(point, rows.failure(point.refused))
        missing = [point for point in missing if not point.refused]
        if progress:
            progress(state())
        for outcome in (engine or Inline()).outcomes(missing):
            kept.append(outcome.point, outcome.rows)
            if progress:
                progress(state())
        kept.finish()
        return state()


def techniques_of(study: Study) -> list[str]:
    """Lists of the techniques that the runs of a study are of."""
    from mmulab.mmu.config import TECHNIQUES

    found = [*study.axes.get("technique", ()), *study.axes.get("techniques", ())]
    found += [*study.axes.get("vm.technique", ())]
    if study.scenario:
        return list(dict.fromkeys([*found, *(vm.technique for vm in study.scenario.vms)]))
    if study.command == "mrc":
        return []
    return found or [study.base.get("techniques", TECHNIQUES)]
