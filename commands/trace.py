"""`mmulab trace`: record, make, inspect and change memory traces."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from mmulab import api
from mmulab.commands import signals
from mmulab.commands.trace_info import info
from mmulab.commands.values import Count
from mmulab.mmu.errors import InputError, printable

if TYPE_CHECKING:
    from mmulab.mmu.trace import Chunk

RECORDED = "trace.mmt"
FORMAT = "Trace format of the input; detected unless given."


@click.group()
def trace() -> None:
    """Record, generate, inspect, cut and convert memory traces."""


trace.add_command(info)


@trace.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where to write; .gz, .xz, .bz2 and .zst compress. A FILE that is there is replaced once "
    f"the trace is whole. Unless given: {RECORDED}, which must not be there.",
)
@click.option("--max", "maximum", type=Count(), help="Stop the program after so many accesses.")
@click.option("--skip", type=Count(), default="0", help="Leave out the first accesses.")
@click.option("--sample", metavar="PERIOD:LENGTH", help="Keep the first LENGTH of each PERIOD.")
@click.option(
    "--contents", is_flag=True, help="Note what pages hold, for deduplication, every 1M accesses."
)
@click.option(
    "--children/--no-children",
    default=True,
    show_default=True,
    help="Follow programs that PROG starts.",
)
@click.option(
    "--with",
    "tool",
    type=click.Choice(["valgrind", "qemu"]),
    default="valgrind",
    show_default=True,
    help="What runs PROG.",
)
@click.option("--plugin", metavar="FILE", help="QEMU's libmem.so or libexeclog.so.")
@click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- PROG [ARG]..."
)
def record(output: str | None, command: tuple[str, ...], maximum: int | None, skip: int,
           sample: str | None, contents: bool, children: bool, tool: str,
           plugin: str | None) -> None:  # fmt: skip
    """Run PROG under Valgrind, or QEMU, and write its memory trace."""
    from mmulab.workloads.cut import Sample, Selection

    selection = Selection(skip, maximum, Sample.parse(sample) if sample else None)
    if output is None:
        output = RECORDED
        if os.path.lexists(output):
            raise InputError(f"output {output}: is there already; -o {output} replaces it")
    if tool == "qemu":
        from mmulab.workloads.recording_qemu import record_qemu

        recording = record_qemu(list(command), output, selection, plugin)
        click.echo(printable(str(recording)), err=True)
        return
    from mmulab.workloads.recording import record as run

    recording = run(list(command), output, selection, children, contents)
    click.echo(printable(str(recording)), err=True)


@trace.command()
@click.argument("spec")
@click.option(
    "-o", "--output", required=True, metavar="FILE", help="Where to write; replaced if it is there."
)
@click.option("--to", "to_format", metavar="NAME", help="Format; told by the name of FILE.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the generator.")
def generate(spec: str, output: str, to_format: str | None, seed: int) -> None:
    """Write what a generator makes, such as zipf:accesses=5M, to a file."""
    from mmulab.mmu.trace import COLUMNS
    from mmulab.workloads import generators

    source = generators.create(spec, seed)
    made = {"program": "mmulab trace generate", "arguments": [spec], "seed": seed}
    _write(source.chunks(COLUMNS), output, to_format, made, strict=False)


@trace.command()
@click.argument("source", metavar="IN")
@click.argument("output", metavar="OUT")
@click.option("--from", "from_format", metavar="NAME", help=FORMAT)
@click.option("--to", "to_format", metavar="NAME", help="Format of OUT; told by its name.")
@click.option("--strict", is_flag=True, help="Refuse what the format of OUT cannot hold.")
def convert(source: str, output: str, from_format: str | None, to_format: str | None,
            strict: bool) -> None:  # fmt: skip
    """Write a trace in another format. OUT is replaced if it is there."""
    from mmulab.mmu.trace import COLUMNS

    read = api.trace(source, format=from_format, levels=5)
    _write(read.chunks(COLUMNS), output, to_format, getattr(read, "metadata", {}), strict)


@trace.command()
@click.argument("source", metavar="IN")
@click.argument("output", metavar="OUT")
@click.option("--skip", type=Count(), default="0", help="Leave out the first accesses.")
@click.option("--max", "maximum", type=Count(), help="Keep so many accesses.")
@click.option("--sample", metavar="PERIOD:LENGTH", help="Keep the first LENGTH of each PERIOD.")
@click.option("--process", type=int, metavar="PID", help="Keep one process's accesses.")
@click.option("--kinds", metavar="LIST", help="Keep accesses of kinds: load, store, fetch.")
@click.option("--format", "format_", metavar="NAME", help=FORMAT)
@click.option("--to", "to_format", metavar="NAME", help="Format of OUT; told by its name.")
def cut(source: str, output: str, skip: int, maximum: int | None, sample: str | None,
        process: int | None, kinds: str | None, format_: str | None,
        to_format: str | None) -> None:  # fmt: skip
    """Write part of a trace. Events are kept, so that mappings are right in what is left.

    OUT is replaced if it is there.
    """
    from mmulab.mmu.trace import COLUMNS
    from mmulab.workloads.cut import Sample, Selection

    names = tuple(kind.strip().removesuffix("s") for kind in kinds.split(",")) if kinds else ()
    chosen = Sample.parse(sample) if sample else None
    selection = Selection(skip, maximum, chosen, process, names)
    read = api.trace(source, format=format_, levels=5)
    made = {**getattr(read, "metadata", {}), "cut": str(selection)}
    _write(selection.of(read.chunks(COLUMNS)), output, to_format, made, strict=False)


@trace.command()
@click.argument("source", metavar="TRACE")
@click.option("-n", "lines", type=Count(), default="20", show_default=True, help="Lines to show.")
@click.option("--skip", type=Count(), default="0", help="Leave out the first accesses.")
@click.option("--format", "format_", metavar="NAME", help=FORMAT)
def head(source: str, lines: int, skip: int, format_: str | None) -> None:
    """Print the first accesses and events of a trace, readable."""
    from itertools import islice

    from mmulab.mmu.trace import COLUMNS
    from mmulab.plots.terminal import trace as terminal
    from mmulab.workloads.cut import Selection

    read = api.trace(source, format=format_, levels=5)
    chunks = Selection(skip, lines).of(read.chunks(COLUMNS))
    for line in islice(terminal.lines(chunks, skip), lines):
        click.echo(line)


def _write(chunks: Any, output: str, to_format: str | None, metadata: dict[str, Any],
           strict: bool) -> None:  # fmt: skip
    from mmulab.workloads.convert import convert as run

    losses = run(_heeding(chunks), output, to_format, metadata, strict)
    if str(losses):
        click.echo(f"{printable(output)}: its format cannot hold and leaves out {losses}", err=True)


def _heeding(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks; a signal that came in between, or at the end, ends them."""
    for chunk in chunks:
        signals.check()
        yield chunk
    signals.check()
