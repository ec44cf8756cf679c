"""`compare --intervals`: estimates from a sample of each trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from mmulab.commands import options
from mmulab.commands.progress import progress

if TYPE_CHECKING:
    from mmulab.mmu.trace import Trace


def interval_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a trace is sampled."""
    for option in (_jobs, _intervals):
        command = option(command)
    return command


_intervals = click.option(
    "--intervals",
    metavar="HOW",
    help="Estimate from parts of a long trace, with confidence intervals: smarts or simpoint, "
    "with parameters such as smarts:units=200,unit=10K,warmup=100K,parts=8.",
)
_jobs = click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="With --intervals: processes that share its parts; as many as cores unless given.",
)


def estimate(
    traces: Sequence[Trace], how: dict[str, Any], json_path: str | None, csv_path: str | None,
    plot_path: str | None,
) -> None:  # fmt: skip
    """Estimates each trace, prints the table, and writes what is asked for. how: arguments of
    `mmu.sampling.sampled.estimate` beside it."""
    options.say_if_cold(how["techniques"])
    from mmulab.mmu.sampling import results, sampled
    from mmulab.plots.terminal import estimates as terminal

    found = []
    for trace in traces:
        with progress(trace.name, trace.length) as advance:
            found.append(sampled.estimate(trace, **how, progress=advance))
        if "-" not in (json_path, csv_path):
            click.echo(terminal.table(found[-1]) + "\n")
    with options.together():
        options.write_text(json_path, lambda: results.to_json(found))
        options.write_text(csv_path, lambda: results.to_csv(found))
        if plot_path:
            from mmulab.plots import estimates as figure

            figure.write(found, plot_path)
