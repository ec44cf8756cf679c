"""`mmulab validate`: what is predicted against what this machine does."""

from __future__ import annotations

import json
from typing import Any

import click

from mmulab import api
from mmulab.commands import options
from mmulab.commands.progress import progress
from mmulab.mmu.config import TECHNIQUES
from mmulab.mmu.errors import InputError
from mmulab.mmu.presets import DEFAULT


@click.command()
@click.argument("trace", required=False, metavar="[TRACE]")
@click.option("--preset", default=DEFAULT, show_default=True, metavar="NAME",
              help="Processor: a name, or a file such as `mmulab calibrate` writes.")  # fmt: skip
@click.option("--perf", "perf_path", metavar="FILE",
              help="Compare a program's counts, of perf stat -x, -o FILE, with those of TRACE, "
              "which was recorded of it.")  # fmt: skip
@click.option("--page-size", default="4k", show_default=True, metavar="SIZE",
              help="Of the program, with --perf: 4k, 2m, 1g or thp.")  # fmt: skip
@click.option("--format", "format_", metavar="NAME", help="Of TRACE; detected unless given.")
@click.option("--seconds", type=float, default=60, show_default=True,
              help="Time for what is measured, 1 to 600; below 20 with fewer "
              "accesses.")  # fmt: skip
@click.option("--json", "json_path", metavar="OUT", help="Write results as JSON ('-': stdout).")
@click.option("--plot", "plot_path", metavar="OUT", help="Draw them: OUT.svg, .png or .pdf.")
@options.figure_options
def validate(
    trace: str | None, preset: str, perf_path: str | None, page_size: str, format_: str | None,
    seconds: float, json_path: str | None, plot_path: str | None,
) -> None:  # fmt: skip
    """Run workloads for real and simulated, and compare predicted and measured time.

    The same addresses, as loads and stores of compiled loops over memory of this machine, in 4 KiB
    and in 2 MiB pages. With --perf, nothing is run: what hardware counted of a program stands
    beside what is simulated of its TRACE.
    """
    if bool(perf_path) != bool(trace):
        raise InputError("--perf and TRACE: expected both, or neither")
    if perf_path and plot_path:
        raise InputError("--plot: there is no figure of --perf")
    options.check_outputs(plot_path, json=json_path)
    if perf_path and trace:
        found: Any = _counters(trace, format_, preset, page_size, perf_path, json_path == "-")
    else:
        found = _run(preset, seconds, plot_path, json_path == "-")
    options.write_text(json_path, lambda: json.dumps(found, indent=2) + "\n")


def _run(preset: str, seconds: float, plot_path: str | None, quiet: bool) -> Any:
    chosen = api.preset(preset)
    options.say_if_cold()
    from mmulab.plots.terminal import validation as terminal
    from mmulab.workloads.probes import facts

    facts.be_nice()
    with progress("validating", 100) as advance:
        result = api.validate(preset=chosen, seconds=seconds, progress=advance)
    if not quiet:
        click.echo(terminal.table(result))
    if plot_path:
        from mmulab.plots import validation as figure

        figure.write([result], plot_path)
    return result.to_dict()


def _counters(
    trace: str, format_: str | None, preset: str, page_size: str, perf_path: str, quiet: bool
) -> Any:
    from mmulab.plots.terminal import validation as terminal
    from mmulab.workloads.probes import counters

    counted = counters.read(perf_path)
    (source,) = options.resolve((trace,), format_)
    options.say_if_cold()
    with progress(source.name, source.length) as advance:
        simulated = api.compare(
            source, preset=preset, techniques=TECHNIQUES, page_size=page_size, progress=advance
        )
    rows = counters.compare(counted, simulated)
    if not quiet:
        click.echo(terminal.counters(rows))
    return counters.to_dict(rows)
