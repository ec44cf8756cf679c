"""`mmulab mrc`: the miss ratio of every TLB size, in one pass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mmulab import api
from mmulab.commands import options, sweeping
from mmulab.commands.progress import progress
from mmulab.commands.values import Count
from mmulab.mmu.errors import InputError

if TYPE_CHECKING:
    from mmulab.mmu.trace import Trace
    from mmulab.studies.study import Study
    from mmulab.workloads.analysis.miss_ratio import MissRatios


@click.command()
@click.argument("traces", nargs=-1, metavar="[TRACE]...")
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
@sweeping.sweep_options
@click.option("--max", "most", type=Count(), help="Stop after so many accesses.")
@click.option("--format", "format_", metavar="NAME", help="Trace format; detected unless given.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of generators.")
@click.option("--json", "json_path", metavar="OUT", help="Write results as JSON ('-': stdout).")
@click.option("--csv", "csv_path", metavar="OUT", help="Write results as CSV ('-': stdout).")
@click.option("--plot", "plot_path", metavar="OUT", help="Draw them: OUT.svg, .png or .pdf.")
def mrc(
    traces: tuple[str, ...], page_sizes: str, sample: float, sizes: str | None, warmup: int,
    sweeps: tuple[str, ...], seeds: int | None, most: int | None, format_: str | None, seed: int,
    json_path: str | None, csv_path: str | None, plot_path: str | None,
) -> None:  # fmt: skip
    """Miss ratio of a fully associative LRU TLB of every size, for each TRACE.

    One pass over the trace answers for all sizes (stack distances, Mattson et al. 1970).
    """
    options.check_outputs(plot_path, json=json_path, csv=csv_path)
    entries = _entries(sizes)
    quiet = "-" in (json_path, csv_path)
    if sweeps or seeds:
        given = {"page_sizes": page_sizes, "sample": sample, "warmup": warmup, "max": most,
                 "format": format_, "seed": seed}  # fmt: skip
        measured = _swept(sweeping.study("mrc", traces, given, sweeps, seeds), entries, quiet)
    else:
        measured = [
            _measured(trace, entries, quiet, page_sizes=page_sizes, sample=sample, warmup=warmup,
                      max=most)
            for trace in options.resolve(traces, format_, seed)
        ]  # fmt: skip
    dicts = [one.to_dict(entries) for one in measured]
    with options.together():
        options.write_text(json_path, lambda: json.dumps(dicts, indent=2) + "\n")
        options.write_text(csv_path, lambda: _csv(dicts))
        if plot_path:
            from mmulab.plots import mrc as figure

            figure.write(measured, plot_path)


def _measured(trace: Trace, entries: list[int] | None, quiet: bool, **how: Any) -> MissRatios:
    """The curves of a trace, printed unless quiet."""
    from mmulab.plots.terminal import mrc as terminal

    with progress(trace.name, trace.length) as advance:
        one = api.miss_ratio(trace, progress=advance, **how)
    if not quiet:
        click.echo(terminal.table(one, entries) + "\n")
    return one


def _swept(study: Study, entries: list[int] | None, quiet: bool) -> list[MissRatios]:
    """The curves of each run of a study, printed unless quiet."""
    from mmulab.mmu.report.long_rows import in_words
    from mmulab.plots.terminal import mrc as terminal

    points = sweeping.expanded(study)
    made = []
    for point, several in zip(points, sweeping.results(points), strict=True):
        for one in several:
            if not quiet:
                axes = in_words(dict(point.axes)).replace(";", " ")
                click.echo(f"{axes}\n{terminal.table(one, entries)}\n")
            made.append(one)
    return made


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
