"""`mmulab trace`: record and inspect memory traces."""

from __future__ import annotations

import click

from commands.trace_info import info
from commands.values import Count


@click.group()
def trace() -> None:
    """Record and inspect memory traces."""


trace.add_command(info)


@trace.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "-o",
    "--output",
    default="trace.mmt",
    show_default=True,
    metavar="FILE",
    help="Where to write; .gz and .xz compress.",
)
@click.option("--max", "maximum", type=Count(), help="Stop the program after so many accesses.")
@click.option("--skip", type=Count(), default="0", help="Leave out the first accesses.")
@click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- PROG [ARG]..."
)
def record(output: str, maximum: int | None, skip: int, command: tuple[str, ...]) -> None:
    """Run PROG under Valgrind and write its memory trace."""
    from workloads import record as recorder

    summary = recorder.record(list(command), output, max_accesses=maximum, skip=skip)
    click.echo(str(summary), err=True)
