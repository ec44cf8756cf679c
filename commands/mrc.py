"""`mmulab mrc`: the miss ratio of every TLB size, in one pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mmulab import api
from mmulab.commands import options, sweeping
from mmulab.commands.completion import of_traces
from mmulab.commands.progress import progress
from mmulab.commands.values import Count
from mmulab.mmu.errors import InputError

if TYPE_CHECKING:
    from mmulab.mmu.trace import Trace
    from mmulab.studies.study import Study


@click.command()
@click.argument("traces", nargs=-1, metavar="[TRACE]...", shell_complete=of_traces)
@click.option(
    "--page-sizes", default="4k,2m,1g", show_default=True, metavar="LIST", help="Comma-separated."
)
@click.option(
    "--sample",
    type=float,
    default=1.0,
    show_default=True,
    metavar="RATE",
    help="Follow a part of the pages only (SHARDS), e.g. 0.01; 1 is exact.",
)
@click.option("--sizes", metavar="LIST", help="Entries to report; powers of two unless given.")
@click.option(
    "--warmup",
    type=Count(),
    default="0",
    show_default=True,
    help="Accesses to leave out at the beginning.",
)
@click.option(
    "--sets",
    type=int,
    metavar="N",
    help="Count for every LRU TLB of up to N sets, a power of two, in one pass.",
)
@click.option("--ways", type=int, metavar="N", help="With --sets: up to N ways; 16 unless given.")
@click.option("--l1", metavar="SETSxWAYS", help="With --sets: behind an LRU TLB, as an L2 is.")
@click.option(
    "--ignore-invalidations",
    "ignore",
    is_flag=True,
    help="With --sets: take the trace as though no translation were taken away.",
)
@sweeping.sweep_options
@click.option("--max", "most", type=Count(), help="Stop after so many accesses.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Cores to use, those that there are unless given; not with --sets or --sweep.",
)
@click.option("--format", "format_", metavar="NAME", help="Trace format; detected unless given.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of generators.")
@click.option("--json", "json_path", metavar="OUT", help="Write results as JSON ('-': stdout).")
@click.option("--csv", "csv_path", metavar="OUT", help="Write results as CSV ('-': stdout).")
@click.option("--plot", "plot_path", metavar="OUT", help="Draw them: OUT.svg, .png or .pdf.")
@options.figure_options
def mrc(
    traces: tuple[str, ...], page_sizes: str, sample: float, sizes: str | None, warmup: int,
    sets: int | None, ways: int | None, l1: str | None, ignore: bool, sweeps: tuple[str, ...],
    seeds: int | None, most: int | None, jobs: int | None, format_: str | None, seed: int,
    json_path: str | None, csv_path: str | None, plot_path: str | None,
) -> None:  # fmt: skip
    """Miss ratio of a fully associative LRU TLB of every size, for each TRACE.

    One pass over the trace answers for all sizes (stack distances, Mattson et al. 1970); with
    --sets, for all geometries, the misses of each exactly (Hill and Smith 1989).
    """
    options.check_outputs(plot_path, json=json_path, csv=csv_path)
    entries = _entries(sizes)
    call: Any = api.miss_ratio
    how: dict[str, Any] = {"page_sizes": page_sizes, "warmup": warmup, "max": most}
    if sets is None:
        _refuse("without --sets", ways=ways, l1=l1, ignore_invalidations=ignore)
        how["sample"] = sample
        how["jobs"] = jobs
    else:
        _refuse("with --sets", jobs=jobs)
        _refuse("and --sets: expected one of them", sample=sample != 1, sizes=sizes)
        call = api.geometries
        how |= {"sets": sets, "ways": ways or 16, "l1": l1, "ignore_invalidations": ignore}
    shown = (lambda *_: None) if "-" in (json_path, csv_path) else _shown(entries)
    if sweeps or seeds:
        _refuse("with --sweep or --seeds", jobs=jobs)
        given = {**how, "format": format_, "seed": seed}
        measured = _swept(sweeping.study("mrc", traces, given, sweeps, seeds), shown)
    else:
        measured = [
            _measured(trace, call, how, shown) for trace in options.resolve(traces, format_, seed)
        ]
    _write(measured, entries, json_path, csv_path, plot_path)


def _refuse(why: str, **given: Any) -> None:
    for name, value in given.items():
        if value:
            raise InputError(f"--{name.replace('_', '-')} {why}")


Show = Callable[..., None]


def _shown(entries: list[int] | None) -> Show:
    """Prints a result, below a heading where there is one."""

    def show(one: Any, heading: str = "") -> None:
        from mmulab.plots.terminal import geometries, mrc
        from mmulab.workloads.analysis.geometries import Geometries

        is_all = isinstance(one, Geometries)
        text = geometries.table(one) if is_all else mrc.table(one, entries)
        click.echo("\n".join(filter(None, (heading, text))) + "\n")

    return show


def _measured(trace: Trace, call: Any, how: dict[str, Any], show: Show) -> Any:
    """The result of a trace."""
    with progress(trace.name, trace.length) as advance:
        one = call(trace, progress=advance, **how)
    show(one)
    return one


def _swept(study: Study, show: Show) -> list[Any]:
    """The result of each run of a study."""
    from mmulab.mmu.report.long_rows import in_words

    points = sweeping.expanded(study)
    made = [one for (one,) in sweeping.results(points)]
    for point, one in zip(points, made, strict=True):
        show(one, in_words(dict(point.axes)).replace(";", " "))
    return made


def _write(
    measured: list[Any], entries: list[int] | None, json_path: str | None, csv_path: str | None,
    plot_path: str | None,
) -> None:  # fmt: skip
    from mmulab.workloads.analysis.geometries import Geometries

    is_all = isinstance(measured[0], Geometries)
    dicts = [one.to_dict() if is_all else one.to_dict(entries) for one in measured]
    with options.together():
        options.write_text(json_path, lambda: json.dumps(dicts, indent=2) + "\n")
        options.write_text(csv_path, lambda: (_csv_of_all if is_all else _csv)(dicts))
        if plot_path:
            from mmulab.plots import geometries, mrc

            (geometries if is_all else mrc).write(measured, plot_path)


def _entries(sizes: str | None) -> list[int] | None:
    if sizes is None:
        return None
    try:
        entries = [int(size) for size in sizes.split(",")]
    except ValueError:
        entries = [0]
    if min(entries) < 1:
        raise InputError(f"--sizes {sizes}: expected numbers of entries such as 64,1536")
    return entries


def _csv(dicts: list[dict]) -> str:
    lines = ["trace,page_size,entries,miss_ratio"]
    for one in dicts:
        for curve in one["curves"]:
            for count, ratio in zip(one["entries"], curve["miss_ratio"], strict=True):
                lines.append(f'"{one["trace"]}",{curve["page_size"]},{count},{ratio}')
    return "\n".join(lines) + "\n"


def _csv_of_all(dicts: list[dict]) -> str:
    lines = ["trace,page_size,sets,ways,misses,miss_ratio"]
    for one in dicts:
        for each in one["page_sizes"]:
            for sets, row in zip(one["sets"], each["misses"], strict=True):
                for ways, misses in zip(one["ways"], row, strict=True):
                    ratio = round(misses / each["touches"], 9)
                    key = f'"{one["trace"]}",{each["page_size"]},{sets},{ways}'
                    lines.append(f"{key},{misses},{ratio}")
    return "\n".join(lines) + "\n"
