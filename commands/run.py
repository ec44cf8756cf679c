"""`mmulab run`: several VMs on one host, from a scenario file."""

from __future__ import annotations

from dataclasses import replace

import click

from commands import options
from commands.progress import progress


@click.command()
@click.argument("scenario", metavar="SCENARIO.toml")
@click.option(
    "--compare",
    is_flag=True,
    help="Also without mechanisms and with each alone, and on a host with memory for all.",
)
@click.option("--technique", metavar="NAME", help="For every VM: shadow or nested.")
@click.option("--check", is_flag=True, help="Verify the invariants after every turn; slow.")
@click.option("--json", "json_path", metavar="OUT", help="Write the results; '-': print them.")
@click.option(
    "--plot", "plot_path", metavar="OUT", help="Draw memory, paging and slowdown over time."
)
def run(
    scenario: str,
    compare: bool,
    technique: str | None,
    check: bool,
    json_path: str | None,
    plot_path: str | None,
) -> None:
    """Run the VMs of SCENARIO.toml on one host that has less memory than they believe.

    Says what ballooning, page merging and paging saved and cost, by VM.
    """
    options.check_outputs(plot_path, json=json_path)
    from workloads import scenario_file

    loaded = scenario_file.load(scenario)
    if technique:
        loaded = replace(loaded, vms=tuple(replace(vm, technique=technique) for vm in loaded.vms))
    options.say_if_cold()
    from mmu.scenario import run as runner
    from mmu.scenario.results import to_json

    with progress(loaded.name, None) as advance:
        if compare:
            results = runner.compare(loaded, scenario_file.open_trace, check, advance)
        else:
            results = [runner.run(loaded, scenario_file.open_trace, "as given", check, advance)]
    options.write_text(json_path, lambda: to_json(results))
    if json_path != "-":
        from plots import scenario_text

        click.echo(scenario_text.tables(results))
    if plot_path:
        from plots import scenario as figure

        figure.write(results, plot_path)
    if any(result.end != "finished" for result in results):
        raise click.exceptions.Exit(1)
