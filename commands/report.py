"""`mmulab report`: results as a page or a document that can be handed on."""

from __future__ import annotations

from pathlib import Path

import click

from mmulab.commands import options
from mmulab.mmu.errors import InputError, check_choice

#: Formats, and the ends of names that stand for them.
FORMATS = {"html": ".html", "md": ".md", "latex": ".tex", "pdf": ".pdf", "csv": ".csv"}


@click.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULTS...")
@click.option("-o", "--output", "out", required=True, metavar="OUT", help="File to write.")
@click.option(
    "--format",
    "format_",
    metavar="NAME",
    help="html, md, latex, pdf or csv; by the end of OUT's name unless given.",
)
@click.option("--title", default="", help="Of the report; what it is of unless given.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Of studies: a number to show, or a pattern such as 'exits.*'. Repeatable.",
)
@options.figure_options
def report(
    results: tuple[str, ...], out: str, format_: str | None, title: str, metrics: tuple[str, ...]
) -> None:
    """Write RESULTS as a report that can be handed on.

    Each of RESULTS is a file that --json of compare, run, consolidate, blame, mrc, trace
    info or dedup wrote, or the folder of a study. html is one page that loads nothing; md and latex
    have their figures in files beside them, named after OUT.
    """
    kind = _format(out, format_)
    options.check_outputs(None, output=out)
    from mmulab.plots.pages import saved, sections, writing

    read = [saved.load(path) for path in results]
    writing.write(sections.document(read, title, metrics), read, kind, out)


def _format(out: str, asked: str | None) -> str:
    """The format that is asked for, or that the name of the output stands for. Raises
    InputError."""
    if asked is not None:
        check_choice("--format", asked, tuple(FORMATS))
        return asked
    suffix = Path(out).suffix.lower()
    found = [name for name, end in FORMATS.items() if end == suffix]
    if not found:
        raise InputError(
            f"output {out}: no format ends so; expected {', '.join(FORMATS.values())}, or --format"
        )
    return found[0]
