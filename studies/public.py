"""The public functions on studies: what `mmulab sweep` and `mmulab results` do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mmulab.arguments import listed, pairs, settle
from mmulab.mmu.errors import InputError, unknown

if TYPE_CHECKING:
    from mmulab.arguments import Listed, PathLike, Settings
    from mmulab.mmu.report.consolidation import Consolidation, Tried
    from mmulab.mmu.report.study_results import StudyResults
    from mmulab.mmu.scenario.settings import Scenario
    from mmulab.studies.engines import Engine
    from mmulab.studies.sweep import State

ENGINES = ("processes", "threads")


def sweep(
    study: str | os.PathLike[str] | Mapping[str, Any],
    folder: str | os.PathLike[str],
    *,
    axes: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    jobs: int | None = None,
    engine: str = "processes",
    scheduler: str | None = None,
    retry: bool = False,
    progress: Callable[[State], None] | None = None,
) -> StudyResults:
    """Makes every run of a study that its folder does not keep yet: `mmulab sweep`.

    study: its file, "@name" for a scenario that comes with the package, or the tables of such a
    file. axes: more of them, {"page_size": ["4k", "2m"], "seed": "1..3"}. seeds: 1 to so many.
    jobs: runs at once, as many as there are cores unless given. engine: "processes" or "threads".
    scheduler: of a Dask cluster that makes them. retry: also make again what failed. progress: told
    after each run how far the study is.

    In a script, processes need the caller to stand below `if __name__ == "__main__":`. Raises
    InputError for a bad study, or a folder of another.
    """
    from mmulab.studies import study as studies
    from mmulab.studies import sweep as making
    from mmulab.studies import values

    loaded = studies.parse(study, "study") if isinstance(study, Mapping) else studies.load(study)
    more = {key: values.listed(key, given) for key, given in (axes or {}).items()}
    if seeds:
        more["seed"] = tuple(map(str, range(1, seeds + 1)))
    made_by = engine_of(engine, jobs, scheduler)
    making.sweep(loaded.swept(more), folder, made_by, retry, progress)
    return results(folder)


def consolidate(
    scenario: PathLike | Scenario,
    *,
    slowdown: float = 1.2,
    percentile: float | str = 95,
    mechanisms: Listed = (),
    most: int = 1024,
    folder: PathLike | None = None,
    jobs: int = 1,
    technique: str | None = None,
    set: Settings = (),
    progress: Callable[[str, Tried], None] | None = None,
) -> Consolidation:
    """How many VMs of a scenario's mix fit on its host: `mmulab consolidate`.

    scenario, technique, set: as for `run`. slowdown: the most that is allowed, time an access
    against a VM alone, at a percentile of the VMs, 1 to 100 or "worst". mechanisms: sets of them,
    "swap+ksm"; those of the scenario, each alone and all together, unless given. most: VMs to try.
    folder: keeps the runs, and what it keeps is not made again. jobs: sets to run at once.
    progress: told of each number of VMs that was tried, under which set.

    Raises InputError for a bad scenario, set or number, or a folder of another study.
    """
    from mmulab.studies.consolidate import WORST
    from mmulab.studies.consolidate import consolidate as find

    try:
        percent = WORST if percentile == "worst" else float(percentile)
    except ValueError:
        raise InputError(f"percentile = {percentile}: expected 1 to 100, or worst") from None
    settled = settle(scenario, pairs(set), technique)
    sets = [each.strip() for text in listed(mechanisms) for each in text.split(",")]
    engine = engine_of("threads", jobs)
    return find(settled, slowdown, percent, sets, most, folder, engine, progress)


def results(folder: str | os.PathLike[str]) -> StudyResults:
    """What a study's folder keeps, also while runs are missing. Raises InputError for another."""
    from mmulab.mmu.report.study_results import load

    return load(os.fspath(folder))


def engine_of(
    name: str,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Engine:
    """Who makes runs. progress: told how far a run is, where this thread makes them. Raises
    InputError."""
    from mmulab.mmu.kernels.warm import cores
    from mmulab.studies import engines

    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    if scheduler:
        from mmulab.studies.cluster import Cluster

        return Cluster(scheduler)
    count = jobs or cores()
    if count == 1:
        return engines.Inline(progress)
    return engines.Threads(count) if name == "threads" else engines.Processes(count)
