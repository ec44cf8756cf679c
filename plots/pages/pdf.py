"""A report as PDF: pages of text as a terminal has it, then its figures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from textwrap import wrap

from mmulab import __version__
from mmulab.mmu.errors import printable
from mmulab.plots.figures import new_figure
from mmulab.plots.pages.document import Document, Section, Table

#: Inches of a page (A4), points of its letters, lines, and characters of a line of 9 points.
_PAGE, _POINTS, _LINES, _WIDE = (8.27, 11.69), 8.0, 88, 108


def write(document: Document, path: str | os.PathLike[str]) -> None:
    """Writes the pages."""
    from matplotlib.backends.backend_pdf import PdfPages

    about = {"Title": printable(document.title), "Creator": f"mmulab {__version__}",
             "CreationDate": None}  # fmt: skip
    with PdfPages(path, metadata=about) as pages:
        for number, section in enumerate(document.sections):
            heading = [*wrap(document.title, _WIDE), ""] if number == 0 else []
            lines = [printable(line) for line in [*heading, *_section(section)]]
            for at in range(0, len(lines), _LINES):
                pages.savefig(_page(lines[at : at + _LINES]))
            for picture in section.pictures:
                pages.savefig(picture.draw(), bbox_inches="tight")


def _page(lines: Sequence[str]) -> object:
    figure = new_figure(*_PAGE)
    widest = max(map(len, lines), default=0)
    size = _POINTS * min(1.0, _WIDE / max(1, widest))
    figure.text(
        0.06, 0.96, "\n".join(lines), family="monospace", size=size, va="top", linespacing=1.3,
        parse_math=False,
    )  # fmt: skip
    return figure


def _section(section: Section) -> Iterator[str]:
    yield from (section.title, "=" * min(_WIDE, len(section.title)), *wrap(section.lead, _WIDE))
    for warning in section.warnings:
        yield from ("", *wrap(f"WARNING: {warning}", _WIDE))
    for sentence in section.verdict:
        yield from ("", *wrap(sentence, _WIDE))
    for table in section.tables:
        if not table.folded:
            yield from ("", *wrap(table.caption, _WIDE), *_table(table))
    for title, text in section.texts.items():
        yield from ("", title, *text.split("\n"))
    yield from ("", "How to make it again")
    for command in section.commands:
        yield from wrap(command, _WIDE - 2, initial_indent="  ", subsequent_indent="    ")
    yield ""
    for name, value in {**section.facts, **section.files}.items():
        yield from wrap(f"{name}: {value}", _WIDE, subsequent_indent="  ")


def _table(table: Table) -> Iterator[str]:
    """Columns side by side, but for sources, which are long."""
    kept = [at for at, name in enumerate(table.head) if name != "source"]
    rows = [[row[at] for at in kept] if len(row) > 1 else list(row)
            for row in (table.head, *table.rows)]  # fmt: skip
    whole = [row for row in rows if len(row) == len(kept)]
    widths = [max(len(row[at]) for row in whole) for at in range(len(kept))]
    for row in rows:
        cells = [
            cell.ljust(wide) if at < table.names else cell.rjust(wide)
            for at, (cell, wide) in enumerate(zip(row, widths, strict=False))
        ]
        yield "  ".join(cells).rstrip()
