"""`--sweep` and `--seeds`: a command's run as a study, made here and now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from mmulab.commands.progress import progress
from mmulab.mmu.errors import InputError

if TYPE_CHECKING:
    from mmulab.mmu.report.study_results import StudyResults
    from mmulab.studies.points import Point
    from mmulab.studies.study import Study


def sweep_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What varies a run."""
    for option in (seeds_option, sweep_option):
        command = option(command)
    return command


sweep_option = click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="KEY=A,B,...",
    help="Run once for each value of a setting, such as page_size=4k,thp, "
    "tlb.stlb.entries=512..8192*2 or trace.size=64M,1G. Repeatable: each with each.",
)
seeds_option = click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Run with seeds 1 to N; means are shown, with their range.",
)


def axes(sweeps: Iterable[str], seeds: int | None) -> dict[str, tuple[str, ...]]:
    """The axes that the options give. Raises InputError."""
    from mmulab.studies.study import axes_of

    found = axes_of(sweeps)
    if seeds:
        if "seed" in found:
            raise InputError("--seeds and --sweep seed: expected one of them")
        found["seed"] = tuple(map(str, range(1, seeds + 1)))
    return found


def study(
    command: str, traces: Iterable[str], options: Mapping[str, Any], sweeps: Iterable[str],
    seeds: int | None,
) -> Study:  # fmt: skip
    """The study that a command's options make: those that are None say nothing, `overrides` are
    those of `--set`. Raises InputError."""
    from mmulab.arguments import DEFAULT_TRACE, pairs
    from mmulab.studies.study import Study
    from mmulab.studies.values import text

    changes = dict(pairs(options.get("overrides", ()), "--set"))
    given = {key: of for key, of in options.items() if of is not None and key != "overrides"}
    base = {key: text(of) for key, of in given.items()} | changes
    found = {"trace": tuple(traces) or (DEFAULT_TRACE,), **axes(sweeps, seeds)}
    return Study("sweep", command, base, axes=found)


def expanded(study: Study) -> list[Point]:
    """The runs of a study, all of which can be made. Raises InputError."""
    from mmulab.mmu.report.long_rows import in_words
    from mmulab.studies import points

    found = points.expand(study)
    for point in found:
        if point.refused:
            raise InputError(f"{in_words(dict(point.axes))}: {point.refused}")
    return found


def results(points: Iterable[Point]) -> list[list[Any]]:
    """Makes runs; the results of each. Raises what a run of the command raises."""
    from mmulab.mmu.report.long_rows import in_words
    from mmulab.studies.calls import CALLS

    made = []
    for point in points:
        with progress(in_words(dict(point.axes)), None) as advance:
            call = CALLS[point.command]
            made.append(call.results(point.settings, point.scenario, advance))
    return made


def kept(study: Study, points: list[Point], made: list[list[Any]]) -> StudyResults:
    """Results as those of a study."""
    from mmulab.mmu.report import long_rows
    from mmulab.mmu.report.study_results import StudyResults
    from mmulab.studies import rows

    found = tuple(
        (*long_rows.begins(point.to_dict(), point.command), *row)
        for point, several in zip(points, made, strict=True)
        for row in rows.of_results(point.command, several, point.settings)
    )
    runs = {point.key: dict(point.axes) for point in points}
    return StudyResults(study.name, study.command, study.axes, runs, found)
