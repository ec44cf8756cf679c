"""`mmulab consolidate`: how many VMs of a mix fit on a host at a slowdown."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from mmulab import arguments
from mmulab.commands import options, signals


@click.command()
@click.argument("scenario", metavar="SCENARIO")
@click.option(
    "--slowdown",
    type=float,
    default=1.2,
    show_default=True,
    help="The most that is allowed: time an access, against a VM alone.",
)
@click.option(
    "--percentile",
    default="95",
    show_default=True,
    metavar="P",
    help="Of the VMs, by slowdown: 1 to 100, or worst.",
)
@click.option(
    "--mechanisms",
    multiple=True,
    metavar="A+B,...",
    help="Sets to try: swap, balloon, ksm, reporting, vswapper with + between, or nothing. Those "
    "of the scenario, each alone and all together, unless given.",
)
@click.option(
    "--most", type=click.IntRange(1), default=1024, show_default=True, help="VMs to try at most."
)
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    help="Folder that keeps the runs: the same command goes on where it was ended.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Sets to run at once."
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting: host.memory=8G, vm.NAME.memory=64M. Repeatable.",
)
@click.option("--technique", metavar="NAME", help="For every VM: shadow or nested.")
@click.option("--json", "json_path", metavar="OUT", help="Write the result; '-': print it.")
@click.option(
    "--plot", "plot_path", metavar="OUT", help="Draw slowdown by number of VMs: .svg .png .pdf."
)
@options.figure_options
def consolidate(
    scenario: str, slowdown: float, percentile: str, mechanisms: tuple[str, ...], most: int,
    folder: str | None, jobs: int, overrides: tuple[str, ...], technique: str | None,
    json_path: str | None, plot_path: str | None,
) -> None:  # fmt: skip
    """Find how many VMs of SCENARIO's mix fit on its host.

    The VMs of the scenario, in turn, are put on its host until they are slower than allowed; with
    each set of mechanisms, by bisection. A VM's time is that on its core and for storage, without
    what it waits for its turn.
    """
    options.check_outputs(plot_path, json=json_path)
    loaded = arguments.settle(scenario, arguments.pairs(overrides, "--set"), technique)
    techniques = {vm.technique for vm in loaded.vms}
    options.say_if_cold(*techniques, modules=("host.reclaim", "guest.swap"))

    def said(name: str, tried: Any) -> None:
        signals.check()
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{name}: {tried.vms} VMs", nl=False, err=True)

    from mmulab.studies import public

    found = public.consolidate(
        loaded, slowdown=slowdown, percentile=percentile, mechanisms=mechanisms, most=most,
        folder=folder, jobs=jobs, progress=said,
    )  # fmt: skip
    _show(found, json_path, plot_path)


def _show(found: Any, json_path: str | None, plot_path: str | None) -> None:
    with options.together():
        options.write_text(json_path, lambda: json.dumps(found.to_dict(), indent=1) + "\n")
        if plot_path:
            from mmulab.plots import consolidation

            consolidation.write(found, plot_path)
    if json_path != "-":
        from mmulab.plots.terminal import consolidation as terminal

        click.echo(terminal.table(found))
