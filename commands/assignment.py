"""`mmulab assignment`: set, solve and grade homework, with other numbers for each student."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mmulab.commands import options
from mmulab.coursework.gradescope import VISIBILITIES
from mmulab.mmu.errors import InputError, MMULabError, RunError, printable

_SEED = click.option(
    "--seed",
    envvar="MMULAB_SEED",
    required=True,
    show_envvar=True,
    metavar="TEXT",
    help="The instructor's secret: a long text, the same for setting and grading.",
)


def _for_students(command: Callable[..., Any]) -> Callable[..., Any]:
    """What `new` and `solve` are given."""
    for option in (
        click.option("-o", "--output", metavar="DIR", required=True,
                     help="Directory to make; with --roster, one for each student inside it."),
        _SEED,
        click.option("--roster", metavar="FILE", help="For many: a file of ids, one a line."),
        click.option("--student", metavar="ID", help="Whose numbers."),
        click.argument("name"),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group()
def assignment() -> None:
    """Set, solve and grade homework, with other numbers for each student."""


@assignment.command(name="list")
def list_() -> None:
    """List the assignments."""
    from mmulab.coursework import assignments, report_text

    click.echo(report_text.listing([assignments.get(name) for name in assignments.names()]))


@assignment.command()
@_for_students
def new(**given: Any) -> None:
    """Write what a student gets of assignment NAME: handout, figures, files to fill in."""
    from mmulab.coursework.grading import make

    _write(make, **given)


@assignment.command()
@_for_students
def solve(**given: Any) -> None:
    """Write the solution of assignment NAME and its explanation. For instructors."""
    from mmulab.coursework.grading import solve

    _write(solve, **given)


def _write(
    write: Callable[[str, dict[str, Path], str], None],
    name: str,
    student: str | None,
    roster: str | None,
    seed: str,
    output: str,
) -> None:
    from mmulab.coursework.identity import SHORT_SEED, safe_name
    from mmulab.coursework.intake import read_roster

    if (student is None) == (roster is None):
        raise InputError("expected either --student or --roster")
    if student is not None:
        places = {student: Path(output)}
    else:
        assert roster is not None
        places = {each: Path(output) / safe_name(each) for each in read_roster(roster)}
    if len(seed) < SHORT_SEED:
        click.echo(
            f"note: a seed of {len(seed)} characters might be guessed; "
            f"take {SHORT_SEED} or more, at random",
            err=True,
        )
    options.say_if_cold()
    write(name, places, seed)
    who = student if student is not None else f"{len(places):,} students"
    click.echo(f"{output}: {name} for {who}")


@assignment.command()
@click.argument("submissions", nargs=-1, required=True, metavar="SUBMISSION...")
@click.option("--assignment", "name", metavar="NAME", help="Of which assignment it must be.")
@click.option("--student", metavar="ID", help="Of which student it must be.")
@_SEED
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="That a submission may take in all; the default is 300.",
)
@click.option(
    "--unsafe", is_flag=True, help="Run programs even where a layer of the sandbox is missing."
)
@click.option("--gradescope", metavar="OUT", help="Write results.json for Gradescope.")
@click.option(
    "--visibility",
    type=click.Choice(VISIBILITIES),
    default="visible",
    show_default=True,
    help="When students see marks and feedback on Gradescope.",
)
@click.option("--json", "json_path", metavar="OUT", help="Write the report ('-': stdout).")
@click.option("--csv", "csv_path", metavar="OUT", help="Write a row for each ('-': stdout).")
def grade(
    submissions: tuple[str, ...],
    name: str | None,
    student: str | None,
    seed: str,
    time_limit: float | None,
    unsafe: bool,
    gradescope: str | None,
    visibility: str,
    json_path: str | None,
    csv_path: str | None,
) -> None:
    """Grade each SUBMISSION, a directory. One: a table with feedback; many: a line each.

    Assignment and student are those of its assignment.toml, which may be missing where
    --assignment and --student are given. The exit code does not depend on the marks.
    """
    from mmulab.coursework import grading, report_text
    from mmulab.coursework.secrecy import conceal

    conceal(seed)
    options.check_outputs(None, gradescope=gradescope, json=json_path, csv=csv_path)
    if len(submissions) > 1 and (student or gradescope):
        raise InputError("--student and --gradescope are for one submission")
    options.say_if_cold()
    rows = []
    to_stdout = "-" in (json_path, csv_path)
    seconds_each = time_limit or grading.MOST_SECONDS
    for place in submissions:
        began = time.perf_counter()
        try:
            graded: Any = grading.grade(
                place, seed, student, name, seconds=seconds_each, unsafe=unsafe
            )
        except MMULabError as error:
            graded = error
        if gradescope:
            seconds = time.perf_counter() - began
            _for_gradescope(gradescope, graded, name, student, seconds, visibility)
        rows.append((place, graded))
        if isinstance(graded, MMULabError):
            if len(submissions) == 1:
                raise graded
            click.echo(printable(f"{place}: not graded: {graded}"), err=True)
        elif not to_stdout:
            show = report_text.table if len(submissions) == 1 else report_text.line
            click.echo(show(graded))
    _export(rows, json_path, csv_path)
    failed = sum(isinstance(graded, MMULabError) for _, graded in rows)
    if failed:
        raise RunError(f"{failed} of {len(rows)} submissions were not graded")


def _for_gradescope(
    path: str, graded: Any, name: str | None, student: str | None, seconds: float, visibility: str
) -> None:
    """Writes results.json. A submission that cannot be graded gets one of no marks, with the
    reason: without a file, Gradescope would tell the student nothing."""
    from mmulab.coursework import grading
    from mmulab.coursework.gradescope import results

    if isinstance(graded, MMULabError):
        if name is None:
            return  # which assignment it is of is not known
        graded = grading.nothing(name, student or "unknown student", str(graded))
    content = results(graded, seconds, visibility)
    options.write_text(path, lambda: json.dumps(content, indent=1) + "\n")


def _export(rows: list[tuple[str, Any]], json_path: str | None, csv_path: str | None) -> None:
    from mmulab.coursework.report_text import marks_csv

    reports = [
        {"submission": place, "error": str(graded)}
        if isinstance(graded, MMULabError)
        else {"submission": place, **graded.to_dict()}
        for place, graded in rows
    ]
    with options.together():
        options.write_text(json_path, lambda: json.dumps(reports, indent=1) + "\n")
        listed = [(p, str(g) if isinstance(g, MMULabError) else g) for p, g in rows]
        options.write_text(csv_path, lambda: marks_csv(listed))
