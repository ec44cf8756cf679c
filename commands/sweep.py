"""`mmulab sweep`: a study, made run by run, and kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mmulab.commands import options, signals, sweeping
from mmulab.mmu.errors import InputError

if TYPE_CHECKING:
    from mmulab.studies.engines import Engine
    from mmulab.studies.points import Point
    from mmulab.studies.study import Study
    from mmulab.studies.sweep import State

#: Seconds between two reports where standard error is no terminal.
_PERIOD = 60.0


@click.command()
@click.argument("study", required=False, metavar="[STUDY]")
@click.option("-o", "--output", "folder", metavar="DIR", help="Folder that keeps the study.")
@sweeping.sweep_options
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Runs at once; as many as there are cores unless given.",
)
@click.option(
    "--engine",
    type=click.Choice(["processes", "threads"]),
    default="processes",
    show_default=True,
    help="What makes runs at once on this machine.",
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Make them on a Dask cluster, such as tcp://node1:8786."
)
@click.option("--retry", is_flag=True, help="Also make again what failed.")
@click.option("--list", "listing", is_flag=True, help="List the runs, and make none.")
def sweep(
    study: str | None, folder: str | None, sweeps: tuple[str, ...], seeds: int | None,
    jobs: int | None, engine: str, scheduler: str | None, retry: bool, listing: bool,
) -> None:  # fmt: skip
    """Make every run of STUDY, a TOML file with [axes], and keep its rows in DIR.

    STUDY is a file of options as for `compare --config`, or a scenario, with what is varied in
    [axes]; without one, what --sweep says of `compare`. What DIR holds already is not made again:
    the same command goes on where it was ended.
    """
    from mmulab.studies import study as studies
    from mmulab.studies.points import expand
    from mmulab.studies.public import engine_of

    axes = sweeping.axes(sweeps, seeds)
    found = studies.load(study) if study else studies.parse({}, "sweep")
    found = found.swept(axes)
    if listing:
        _list(expand(found))
        return
    if not folder:
        raise InputError("no folder to keep the study in; expected -o DIR, or --list")
    made_by = engine_of(engine, jobs, scheduler, lambda _done: signals.check())
    _make(found, folder, made_by, retry)


def _list(points: list[Point]) -> None:
    for point in points:
        axes = " ".join(f"{key}={value}" for key, value in point.axes)
        click.echo(f"{point.key} {axes}{': ' * bool(point.refused)}{point.refused}")


def _make(study: Study, folder: str, engine: Engine, retry: bool) -> None:
    from mmulab.mmu.report.study_results import load
    from mmulab.plots.terminal import study as terminal
    from mmulab.studies.sweep import sweep as make
    from mmulab.studies.sweep import techniques_of

    options.say_if_cold(*techniques_of(study))
    with _progress() as report:
        state = make(study, folder, engine, retry, report)
    click.echo(f"{folder}: {_said(state)}")
    if state.failed:
        click.echo("\n".join(terminal.failures(load(folder))))
        raise click.exceptions.Exit(1)


def _said(state: State) -> str:
    kept = f", {state.kept:,} of them kept from before" if state.kept else ""
    return f"{state.runs:,} runs{kept}, {state.failed:,} failed; {_time(state.seconds)}"


@contextmanager
def _progress() -> Iterator[Callable[[State], None]]:
    """Says how far a study is: on a terminal in one line, else once a minute."""
    shown = time.monotonic()
    terminal = sys.stderr.isatty()

    def report(state: State) -> None:
        nonlocal shown
        signals.check()
        if terminal:
            click.echo(f"\r\x1b[K{_state(state)}", nl=False, err=True)
        elif time.monotonic() - shown >= _PERIOD:
            shown = time.monotonic()
            click.echo(_state(state), err=True)

    try:
        yield report
    finally:
        if terminal:
            click.echo("\r\x1b[K", nl=False, err=True)


def _state(state: State) -> str:
    failed = f", {state.failed:,} failed" if state.failed else ""
    left = f", about {_time(state.left)} left" if state.left is not None else ""
    return f"{state.done:,} of {state.runs:,} runs{failed}; {_time(state.seconds)}{left}"


def _time(seconds: Any) -> str:
    """A time in words, such as 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
