"""`mmulab blame`: which data or instructions misses come from."""

from __future__ import annotations

import json
from typing import Any

import click

from mmulab.commands import options
from mmulab.commands.completion import of_techniques, of_traces
from mmulab.commands.progress import progress
from mmulab.commands.values import Bytes, Count
from mmulab.mmu.errors import check_choice


@click.command()
@click.argument("trace", required=False, shell_complete=of_traces)
@click.option(
    "--by",
    default="region",
    show_default=True,
    metavar="WHAT",
    help="region (heap, stack, mapped code, ... by the trace's events), range (of addresses) or ip "
    "(instructions, where the trace has them).",
)
@click.option(
    "--range", "size", type=Bytes(), default="2M", show_default=True, help="Bytes of a range."
)
@click.option(
    "--technique",
    default="nested",
    show_default=True,
    metavar="SPEC",
    shell_complete=of_techniques,
    help="One that `mmulab techniques` lists.",
)
@options.machine_options
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Rows to print.")
@click.option(
    "--warmup",
    type=Count(),
    default="0",
    show_default=True,
    help="Accesses to simulate before counting begins.",
)
@click.option("--max", "most", type=Count(), help="Stop after counting so many accesses.")
@click.option("--format", "format_", metavar="NAME", help="Trace format; detected unless given.")
@click.option("--json", "json_path", metavar="OUT", help="Write it as JSON ('-': stdout).")
@click.option("--plot", "plot_path", metavar="OUT", help="Draw it: OUT.svg, .png or .pdf.")
@options.figure_options
def blame(
    trace: str | None, by: str, size: int, technique: str, top: int, warmup: int, most: int | None,
    format_: str | None, json_path: str | None, plot_path: str | None, **machine: Any,
) -> None:  # fmt: skip
    """Say which data or instructions of TRACE cause TLB misses, page walks and exits.

    Every miss of a run under one technique is charged to the access that made it. Cycles are those
    that free translation would save.
    """
    options.check_outputs(plot_path, json=json_path)
    preset, config = options.machine(machine, True, technique)
    (source,) = options.resolve((trace,) if trace else (), format_, config.seed, config.levels)
    options.say_if_cold(technique)
    from mmulab.plots.terminal import blame as terminal
    from mmulab.workloads.analysis import blame as analysis

    check_choice("--by", by, analysis.BY)
    with progress(source.name, source.length) as advance:
        found = analysis.measure(source, preset, config, technique, by, size, warmup, most, advance)
    if json_path != "-":
        click.echo(terminal.table(found, top))
    with options.together():
        options.write_text(json_path, lambda: json.dumps(found.to_dict(), indent=2) + "\n")
        if plot_path:
            from mmulab.plots import blame as figure

            figure.write(found, plot_path)
