"""`mmulab results`: what studies found, listed, shown, compared and put together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmulab.commands import options
from mmulab.mmu.errors import InputError, printable

if TYPE_CHECKING:
    from mmulab.mmu.report.study_results import StudyResults
    from mmulab.studies.diff import Diff

#: Changes that are shown.
MOST = 20

metric_option = click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Number to show, or a pattern such as 'exits.*'. Repeatable.",
)
json_option = click.option(
    "--json", "json_path", metavar="OUT", help="Write it as JSON ('-': stdout)."
)


@click.group()
def results() -> None:
    """List, show, compare and merge what `mmulab sweep` keeps."""


@results.command("list")
@click.argument("folders", nargs=-1, metavar="[DIR]...")
@json_option
def list_(folders: tuple[str, ...], json_path: str | None) -> None:
    """List the studies in each DIR, and in the folders of it; here unless given."""
    from mmulab.mmu.report import long_rows

    options.check_outputs(None, json=json_path)
    found = {}
    for folder in folders or (".",):
        for manifest in sorted(
            [*Path(folder).glob("study.json"), *Path(folder).glob("*/study.json")]
        ):
            found[str(manifest.parent)] = long_rows.read_manifest(manifest.parent)
    plain = [
        {
            "folder": folder, "name": each["study"]["name"], "command": each["study"]["command"],
            "axes": {key: len(of) for key, of in each["study"]["axes"].items()},
            "runs": len(each["runs"]), "done": len(long_rows.read(Path(folder))),
            "failed": each["failed"], "version": each["version"],
            "date": each["made"][-1]["date"],
        }
        for folder, each in found.items()
    ]  # fmt: skip
    options.write_text(json_path, lambda: json.dumps(plain, indent=2) + "\n")
    if json_path != "-":
        click.echo("\n".join(map(_listed, plain)) or "no studies")


def _listed(one: dict[str, Any]) -> str:
    axes = " x ".join(f"{count} {key}" for key, count in one["axes"].items())
    failed = f", {one['failed']} failed" if one["failed"] else ""
    done = f"{one['done']} of {one['runs']}" if one["done"] < one["runs"] else f"{one['runs']}"
    where = printable(one["folder"])
    return f"{where}: {done} runs of {one['command']}{failed}: {axes}; {one['date']}"


@results.command()
@click.argument("folder", metavar="DIR")
@metric_option
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="KEY=A,B,...",
    help="Only runs of these values. Repeatable.",
)
@click.option("--metrics", "names", is_flag=True, help="List the metrics that there are.")
@json_option
@click.option("--csv", "csv_path", metavar="OUT", help="Write its rows as CSV ('-': stdout).")
@click.option("--parquet", "parquet_path", metavar="OUT", help="Write its rows as Parquet.")
@click.option(
    "--plot", "plot_path", metavar="OUT", help="Draw the first metric: OUT.svg, .png or .pdf."
)
@click.option("--by", default="", metavar="AXIS", help="With --plot: the axis across.")
@click.option("--bars", is_flag=True, help="With --plot: bars, also over numbers.")
@click.option(
    "--normal",
    default="",
    metavar="SERIES",
    help="With --plot: bars as multiples of this technique's.",
)
@options.figure_options
def show(
    folder: str, metrics: tuple[str, ...], conditions: tuple[str, ...], names: bool,
    json_path: str | None, csv_path: str | None, parquet_path: str | None,
    plot_path: str | None, by: str, bars: bool, normal: str,
) -> None:  # fmt: skip
    """Print numbers of the study in DIR, by what was varied.

    A figure's data is what --csv writes of its --metric.
    """
    from mmulab.mmu.report.study_results import load
    from mmulab.plots.terminal import study as terminal
    from mmulab.studies.study import axes_of

    options.check_outputs(plot_path, json=json_path, csv=csv_path, parquet=parquet_path)
    found = load(folder).where(axes_of(conditions, "--where"))
    if names:
        click.echo("\n".join(found.metrics))
        return
    if "-" not in (json_path, csv_path):
        click.echo(terminal.table(found, metrics))
    chosen = found.chosen(metrics) if metrics else found.metrics
    with options.together():
        options.write_text(json_path, lambda: _as_json(found, chosen))
        options.write_text(csv_path, lambda: found.to_csv(chosen))
        if parquet_path:
            found.write_parquet(parquet_path, chosen)
        if plot_path:
            from mmulab.plots import study as figure

            metric = found.chosen(metrics)[0]
            figure.write(found, plot_path, metric=metric, by=by, bars=bars, normal=normal)


def _as_json(found: StudyResults, metrics: list[str]) -> str:
    return json.dumps(found.to_dict(metrics), indent=1) + "\n"


@results.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@metric_option
@click.option(
    "--threshold",
    type=float,
    default=0.0,
    show_default=True,
    metavar="PERCENT",
    help="A change up to so much is none.",
)
@json_option
def diff(
    old: str, new: str, metrics: tuple[str, ...], threshold: float, json_path: str | None
) -> None:  # fmt: skip
    """Say what changed from the study in OLD to that in NEW; the exit code is 1 where any did.

    Runs are the same whose axes are. A change is one where the seeds of OLD and NEW lie apart.
    """
    from mmulab.mmu.report.study_results import load
    from mmulab.studies import diff as comparing

    options.check_outputs(None, json=json_path)
    if not threshold >= 0:
        raise InputError(f"--threshold {threshold}: expected a number of percent from 0")
    found = comparing.diff(load(old), load(new), metrics, threshold / 100)
    options.write_text(json_path, lambda: json.dumps(_plain(found), indent=2) + "\n")
    if json_path != "-":
        click.echo(_said(found))
    if not found.is_same:
        raise click.exceptions.Exit(1)


def _plain(found: Diff) -> dict[str, Any]:
    return {**found._asdict(), "changes": [each.to_dict() for each in found.changes]}


def _said(found: Diff) -> str:
    lines = [f"{len(found.changes):,} of {found.compared:,} numbers changed"]
    for each in found.changes[:MOST]:
        where = " ".join(filter(None, (each.axes, each.subject, each.metric)))
        change = f"{100 * each.part:+.3g} %"
        lines.append(f"  {where}: was {each.old.value:.6g}, is {each.new.value:.6g} ({change})")
    if len(found.changes) > MOST:
        lines.append(f"  and {len(found.changes) - MOST:,} more")
    for which, runs in (("the first", found.only_old), ("the second", found.only_new)):
        lines += [f"  only in {which}: {run}" for run in runs[:MOST]]
    return "\n".join(lines)


@results.command()
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@click.option("-o", "--output", required=True, metavar="DIR", help="New folder of all runs.")
def merge(folders: tuple[str, ...], output: str) -> None:
    """Put the runs of several studies of one command in a new folder, each run once."""
    from mmulab.mmu.report.study_results import load
    from mmulab.studies.merge import merge as put_together

    put_together([Path(folder) for folder in folders], Path(output))
    click.echo(f"{printable(output)}: {len(load(output).runs):,} runs")


@results.command()
@click.argument("name", required=False)
def schema(name: str | None) -> None:
    """List the JSON Schemas of what --json writes, or print one."""
    from mmulab.mmu.report import schemas

    if name is None:
        click.echo("\n".join(schemas.names()))
    else:
        click.echo(schemas.text(name), nl=False)
