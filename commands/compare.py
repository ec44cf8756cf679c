"""`mmulab compare`: a trace through several techniques, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mmulab.commands import options, sampling, sweeping
from mmulab.commands.completion import of_techniques, of_traces
from mmulab.commands.progress import progress
from mmulab.commands.values import Count
from mmulab.mmu.config import TECHNIQUES
from mmulab.mmu.errors import InputError

if TYPE_CHECKING:
    from mmulab.studies.study import Study


@click.command()
@click.argument("traces", nargs=-1, metavar="[TRACE]...", shell_complete=of_traces)
@click.option(
    "--techniques",
    default=TECHNIQUES,
    show_default=True,
    metavar="LIST",
    shell_complete=of_techniques,
    help="Comma-separated, in the order of the table: NAME, NAME:KEY=VALUE,..., FILE.py or all.",
)
@options.machine_options
@sweeping.sweep_options
@click.option(
    "--warmup",
    type=Count("auto"),
    default="0",
    show_default=True,
    help="Accesses to simulate before counting begins; auto: until most memory was touched once.",
)
@sampling.interval_options
@click.option("--format", "format_", metavar="NAME", help="Trace format; detected unless given.")
@click.option(
    "--sensitivity",
    is_flag=True,
    help="What each cost does to the ratio of the last technique to the one before that is no "
    "variant of it.",
)
@click.option("--check", is_flag=True, help="Verify the simulator's invariants as it runs (slow).")
@click.option("--references", is_flag=True, help="Print the references of walks by level.")
@click.option("--walk-latency", is_flag=True, help="Print the cycles of walks by reference.")
@click.option("--json", "json_path", metavar="OUT", help="Write results as JSON ('-': stdout).")
@click.option("--csv", "csv_path", metavar="OUT", help="Write results as CSV ('-': stdout).")
@click.option("--plot", "plot_path", metavar="OUT", help="Draw them: OUT.svg, .png or .pdf.")
@options.figure_options
@click.option(
    "--config",
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=options.load_config,
    help="TOML file with any of these options.",
)
def compare(traces: tuple[str, ...], techniques: str, sweeps: tuple[str, ...],
            seeds: int | None, warmup: Any, intervals: str | None, jobs: int | None,
            format_: str | None, sensitivity: bool, check: bool, references: bool,
            walk_latency: bool, json_path: str | None, csv_path: str | None,
            plot_path: str | None, **machine: Any) -> None:  # fmt: skip
    """Run each TRACE through translation techniques and compare what they cost.

    A TRACE is a file, '-' for standard input, or a generator such as
    gups:size=256M,accesses=20M (`mmulab workloads` lists them). Without one, a small
    real trace that comes with mmulab is used.
    """
    from mmulab.mmu.techniques.specs import parse_all

    options.check_outputs(plot_path, json=json_path, csv=csv_path)
    if sweeps or seeds:
        _refuse("a sweep", sensitivity=sensitivity, check=check, references=references)
        given = {**machine, "techniques": techniques, "warmup": warmup, "format": format_,
                 "intervals": intervals}  # fmt: skip
        study = sweeping.study("compare", traces, given, sweeps, seeds)
        _sweep(study, json_path, csv_path, plot_path)
        return
    preset, config = options.machine(machine, True, techniques)
    sources = options.resolve(traces, format_, config.seed, config.levels)
    if intervals:
        _refuse("--intervals", sensitivity=sensitivity, references=references,
                walk_latency=walk_latency)  # fmt: skip
        how = {"preset": preset, "config": config, "techniques": techniques, "warmup": warmup,
               "intervals": intervals, "jobs": jobs, "check": check}  # fmt: skip
        sampling.estimate(sources, how, json_path, csv_path, plot_path)
        return
    if sensitivity and len(parse_all(techniques)) < 2:
        raise InputError(f"--sensitivity: techniques {techniques}; expected at least two")
    options.say_if_cold(techniques)
    from mmulab.mmu import simulate
    from mmulab.mmu.report import results, table
    from mmulab.plots.terminal import compare_table as terminal
    from mmulab.plots.terminal import references as grid
    from mmulab.plots.terminal import verdict

    quiet = "-" in (json_path, csv_path)
    comparisons = []
    for trace in sources:
        with progress(trace.name, trace.length) as advance:
            comparison = simulate.compare(trace, preset, config, techniques, warmup, check, advance)
        comparisons.append(comparison)
        if not quiet:
            click.echo(terminal.table(comparison) + "\n")
        if references and not quiet:
            click.echo(grid.grids(comparison) + "\n")
        if walk_latency and not quiet:
            click.echo(grid.latencies(comparison) + "\n")
        if sensitivity and not quiet:
            click.echo(verdict.sensitivity(verdict.of_two(comparison)) + "\n")
    with options.together():
        options.write_text(json_path, lambda: results.to_json(comparisons))
        options.write_text(csv_path, lambda: table.to_csv(comparisons))
        if plot_path:
            from mmulab.plots import compare as figure

            pairs = [verdict.of_two(each) for each in comparisons] if sensitivity else []
            figure.write(comparisons, plot_path, pairs)


def _refuse(what: str, **flags: bool) -> None:
    for name, given in flags.items():
        if given:
            raise InputError(f"--{name.replace('_', '-')} and {what}: expected one of them")


def _sweep(
    study: Study, json_path: str | None, csv_path: str | None, plot_path: str | None
) -> None:
    """Runs a study, prints it as a table, and writes what is asked for."""
    from mmulab.mmu.report import results, table
    from mmulab.mmu.sampling import results as estimates
    from mmulab.plots.terminal import study as terminal
    from mmulab.studies.sweep import techniques_of

    points = sweeping.expanded(study)
    options.say_if_cold(*techniques_of(study))
    made = sweeping.results(points)
    found = sweeping.kept(study, points, made)
    comparisons = [one for several in made for one in several]
    estimated = "intervals" in {**study.base, **study.axes}
    if "-" not in (json_path, csv_path):
        click.echo(terminal.table(found))
    with options.together():
        options.write_text(json_path, lambda: results.to_json(comparisons))
        to_csv = estimates.to_csv if estimated else table.to_csv
        options.write_text(csv_path, lambda: to_csv(comparisons))
        if plot_path:
            from mmulab.plots import study as figure

            figure.write(found, plot_path)
