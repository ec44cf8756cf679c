"""`mmulab calibrate`: a preset of the machine that this runs on."""

from __future__ import annotations

import json

import click

from mmulab import api
from mmulab.commands import options
from mmulab.commands.progress import progress


@click.command()
@click.option("-o", "--output", metavar="OUT", help="Write the preset: NAME.toml ('-': stdout).")
@click.option("--base", metavar="PRESET",
              help="What to take where nothing can be measured, a name or a file; the nearest to "
              "this processor unless given.")  # fmt: skip
@click.option("--seconds", type=float, default=90, show_default=True,
              help="Time for the probes, 1 to 150; below 20 there are fewer and smaller "
              "sizes.")  # fmt: skip
@click.option("--json", "json_path", metavar="OUT", help="Write what was measured ('-': stdout).")
@click.option("--plot", "plot_path", metavar="OUT", help="Draw the curves: OUT.svg, .png or .pdf.")
@options.figure_options
def calibrate(
    output: str | None, base: str | None, seconds: float, json_path: str | None,
    plot_path: str | None,
) -> None:  # fmt: skip
    """Measure this machine's TLBs, caches, page walks and page faults, and write a preset.

    Probes are compiled loops: pointer chases over lines and over pages of 4 KiB and 2 MiB, random
    updates, first touches, copies after a fork, mprotect and munmap. They take at most 1 GiB or
    a quarter of the free memory, and give way to other processes. What can't be measured is
    taken from the base, and marked.
    """
    options.check_outputs(plot_path, json=json_path, output=output)
    options.say_if_cold()
    from mmulab.plots.terminal import calibration as terminal
    from mmulab.workloads.probes import facts

    facts.be_nice()
    with progress("calibrating", 100) as advance:
        result = api.calibrate(seconds=seconds, base=base, progress=advance)
    if "-" not in (output, json_path):
        click.echo(terminal.table(result))
    options.write_text(output, result.to_toml)
    options.write_text(json_path, lambda: json.dumps(result.to_dict(), indent=2) + "\n")
    if plot_path:
        from mmulab.plots import calibration as figure

        figure.write(result, plot_path)
