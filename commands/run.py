"""`mmulab run`: several VMs on one host, from a scenario file."""

from __future__ import annotations

from typing import Any

import click

from mmulab import api, arguments
from mmulab.commands import options, sweeping
from mmulab.commands.progress import progress


@click.command()
@click.argument("scenario", metavar="SCENARIO")
@click.option(
    "--compare",
    is_flag=True,
    help="Also without mechanisms, with each alone, with guests fitted to the host, and on a "
    "host with memory for all.",
)
@sweeping.sweep_options
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Change a setting: host.memory=8G, vm.NAME.shares=2000, ksm.sleep=5ms. Repeatable.",
)  # fmt: skip
@click.option("--technique", metavar="NAME", help="For every VM: shadow or nested.")
@click.option("--check", is_flag=True, help="Verify the invariants after every turn; slow.")
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="Keep the run's state in FILE as it goes on: one that is killed can be resumed.",
)
@click.option(
    "--every",
    metavar="TIME",
    default="10min",
    show_default=True,
    help="Of this machine's time, between two checkpoints: 30s, 5min.",
)
@click.option(
    "--resume",
    metavar="FILE",
    help="Go on from a checkpoint, to the same end; goes on keeping them, there or in "
    "--checkpoint.",
)
@click.option("--json", "json_path", metavar="OUT", help="Write the results; '-': print them.")
@click.option(
    "--plot", "plot_path", metavar="OUT", help="Draw memory, paging and slowdown: .svg .png .pdf."
)
@options.figure_options
def run(
    scenario: str,
    compare: bool,
    sweeps: tuple[str, ...],
    seeds: int | None,
    overrides: tuple[str, ...],
    technique: str | None,
    check: bool,
    checkpoint: str | None,
    every: str,
    resume: str | None,
    json_path: str | None,
    plot_path: str | None,
) -> None:
    """Run the VMs of SCENARIO, a TOML file, on one host with less memory than they believe.

    Says what ballooning, page merging and paging saved and cost, by VM. @double-paging names
    a scenario that comes with the package.
    """
    options.check_outputs(plot_path, json=json_path, checkpoint=checkpoint or resume)
    checkpoints = arguments.checkpoints(checkpoint, every, resume)
    loaded = arguments.settle(scenario, arguments.pairs(overrides, "--set"), technique)
    key, settings = _settings(loaded, sweeping.axes(sweeps, seeds))
    techniques = {vm.technique for each in settings.values() for vm in each.vms}
    options.say_if_cold(*techniques, modules=("host.devices",))
    runs = {
        value: _runs(each, compare, check, f"{loaded.name} {value}".strip(), checkpoints)
        for value, each in settings.items()
    }
    _show(key, runs, json_path, plot_path)
    if any(run.end != "finished" for each in runs.values() for run in each):
        raise click.exceptions.Exit(1)


def _settings(loaded: Any, axes: dict[str, tuple[str, ...]]) -> tuple[str, dict[str, Any]]:
    """(what is swept, the scenario of each of its values), several keys with commas between;
    ("", {"": loaded}) without a sweep. Raises InputError."""
    if not axes:
        return "", {"": loaded}
    from mmulab.studies.calls import scenario_of
    from mmulab.studies.study import Study

    points = sweeping.expanded(Study(loaded.name, "run", scenario=loaded, axes=axes))
    settings = {
        ",".join(value for _, value in point.axes): scenario_of(point.settings, loaded)
        for point in points
    }
    return ",".join(axes), settings


def _runs(scenario: Any, compare: bool, check: bool, name: str, checkpoints: Any) -> list[Any]:
    """The results of a scenario, or of its variants."""
    with progress(name, None) as advance:
        if compare:
            return api.run(
                scenario, compare=True, check=check, progress=advance, checkpoint=checkpoints
            )
        return [api.run(scenario, check=check, progress=advance, checkpoint=checkpoints)]


def _show(
    key: str, runs: dict[str, list[Any]], json_path: str | None, plot_path: str | None
) -> None:
    """Prints, writes and draws what was asked for."""
    from mmulab.mmu.scenario.results import to_json

    every = [run for each in runs.values() for run in each]
    with options.together():
        options.write_text(json_path, lambda: to_json(every))
        if plot_path and key:
            from mmulab.plots import sweep

            sweep.write(key, runs, plot_path)
        elif plot_path:
            from mmulab.plots import scenario

            scenario.write(every, plot_path)
    if json_path != "-":
        click.echo(_text(key, runs, every))


def _text(key: str, runs: dict[str, list[Any]], every: list[Any]) -> str:
    from mmulab.plots.terminal import scenario, sweep

    return sweep.table(key, runs) if key else scenario.text(every)
