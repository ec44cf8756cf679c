"""`mmulab man`: manual pages, made of what --help says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from mmulab import __version__
from mmulab.commands import options
from mmulab.mmu.errors import InputError, unknown


@click.command()
@click.argument("command", nargs=-1)
@click.option(
    "-o", "--output", metavar="FOLDER", help="Write all pages, to be read from there by man."
)
@click.pass_context
def man(ctx: click.Context, command: tuple[str, ...], output: str | None) -> None:
    """Print the manual page of mmulab, or of a COMMAND, as man reads it.

    `mmulab man -o ~/.local/share/man/man1` writes those of all commands where man finds them:
    `man mmulab-compare`.
    """
    root = ctx.find_root().command
    known = dict(pages(root))
    if output is None:
        name = "-".join(("mmulab", *command))
        if name not in known:
            raise unknown("manual page", name, known)
        click.echo(known[name], nl=False)
        return
    if command:
        raise InputError("-o writes the pages of all commands; expected no COMMAND")
    try:
        os.makedirs(output, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}") from None
    for name, text in known.items():
        options.write_text(str(Path(output) / f"{name}.1"), partial(str, text))


def pages(root: click.Command) -> Iterator[tuple[str, str]]:
    """(name, text) of the page of a command and of each one below it, in man(7)'s macros."""

    def below(
        command: click.Command, path: str, parent: click.Context | None
    ) -> Iterator[tuple[str, str]]:
        context = click.Context(command, info_name=path.split()[-1], parent=parent)
        yield path.replace(" ", "-"), page(command, path, context)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                each = command.get_command(context, name)
                if each is not None and not each.hidden:
                    yield from below(each, f"{path} {name}", context)

    yield from below(root, "mmulab", None)


def page(command: click.Command, path: str, context: click.Context) -> str:
    """One page."""
    name = path.replace(" ", "-")
    summary = _plain(command.get_short_help_str(limit=200)).rstrip(".")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH "{name.upper()}" "1" "" "mmulab {__version__}" "mmulab"',
        ".SH NAME", f"{_escaped(name)} \\- {_escaped(summary)}",
        ".SH SYNOPSIS", f".B {_escaped(path)}", _escaped(usage),
        ".SH DESCRIPTION", *_paragraphs(command.help or ""),
        ".SH OPTIONS",
    ]  # fmt: skip
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1]:
            lines += [".TP", f".B {_escaped(record[0])}", _escaped(_plain(record[1]))]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found is not None and not found.hidden:
                short = _plain(found.get_short_help_str(limit=200))
                lines += [".TP", f".BR {_escaped(name)}\\-{_escaped(each)} (1)", _escaped(short)]
    lines += [".SH EXIT STATUS", *_paragraphs(_STATUS)]
    if context.parent:
        above = "-".join(path.split()[:-1])
        lines += [".SH SEE ALSO", f".BR {_escaped(above)} (1)"]
    return "\n".join(lines) + "\n"


_STATUS = "0, 1 where a run failed or was ended, 2 where the input or an option is wrong."


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _paragraphs(text: str) -> list[str]:
    found: list[str] = []
    for each in re.split(r"\n\s*\n", text.strip()):
        found += [".PP", _escaped(_plain(each.replace("\b", "")))]
    return found[1:]


def _escaped(text: str) -> str:
    """Text as roff takes it: no macro at the beginning of a line, hyphens that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text
