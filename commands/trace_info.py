"""`mmulab trace info`: what a trace is like."""

from __future__ import annotations

import json
from typing import Any

import click

from mmulab import api
from mmulab.commands import options
from mmulab.commands.progress import progress
from mmulab.commands.values import Count


@click.command()
@click.argument("trace", required=False)
@click.option("--format", "format_", metavar="NAME", help="Trace format; detected unless given.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of generators.")
@click.option(
    "--window", type=Count(), metavar="N", help="Accesses of an interval of the working set."
)
@click.option("--json", "json_path", metavar="OUT", help="Write it as JSON ('-': stdout).")
@click.option(
    "--plot",
    "plot_path",
    metavar="OUT",
    help="Draw addresses and working set over time: OUT.svg, .png or .pdf.",
)
@options.figure_options
def info(
    trace: str | None, format_: str | None, seed: int, window: int | None,
    json_path: str | None, plot_path: str | None,
) -> None:  # fmt: skip
    """Report what TRACE is like: accesses, events, footprint, reuse, working set, regions."""
    options.check_outputs(plot_path, json=json_path)
    (source,) = options.resolve((trace,) if trace else (), format_, seed)
    from mmulab.plots.terminal import info as terminal

    with progress(source.name, source.length) as advance:
        summed = api.trace_info(source, window=window, progress=advance)
    if json_path != "-":
        click.echo(terminal.report(summed, _metadata(source)))
    options.write_text(json_path, lambda: json.dumps(summed.to_dict(), indent=2) + "\n")
    if plot_path:
        from mmulab.plots import info as figure

        figure.write(summed, plot_path)


def _metadata(source: Any) -> dict[str, Any]:
    """What a columnar file says of its making."""
    values: dict[str, Any] = getattr(source, "metadata", {})
    return values
