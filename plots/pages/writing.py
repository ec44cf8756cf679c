"""A report written into a file, with what stands beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmulab.mmu.errors import InputError
from mmulab.mmu.report import files, table
from mmulab.mmu.report.results import Comparison
from mmulab.mmu.report.study_results import StudyResults
from mmulab.plots.figures import save
from mmulab.plots.pages import html, latex, markdown, pdf
from mmulab.plots.pages.document import Document
from mmulab.plots.pages.saved import Saved

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Of formats whose figures are files of their own: what these end in.
_FIGURES = {"md": ".svg", "latex": ".pdf"}


def write(document: Document, saved: Sequence[Saved], kind: str, out: str) -> None:
    """Writes it, with its figures, all or none. kind: html, md, latex, pdf or csv. saved: what
    the document is of. Raises InputError for results that have no such form."""
    with files.together():
        if kind == "pdf":
            with files.replacing(out) as temporary:
                pdf.write(document, temporary)
            return
        if kind == "csv":
            text = _csv(saved)
        elif kind == "html":
            text = html.render(document)
        else:
            names = _figures(document, out, _FIGURES[kind])
            text = (markdown if kind == "md" else latex).render(document, names)
        with files.replacing(out) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _figures(document: Document, out: str, suffix: str) -> list[str]:
    """Writes figures beside the document; their names from there, in order."""
    stem = os.fspath(Path(out).with_suffix(""))
    names: list[str] = []
    for picture in (each for section in document.sections for each in section.pictures):
        path = f"{stem}-{len(names) + 1}{suffix}"
        figure: Figure = picture.draw()
        save(figure, path)
        names.append(Path(path).name)
    return names


def _csv(saved: Sequence[Saved]) -> str:
    """Comparisons as `compare --csv` has them, a study as its rows."""
    results = [one for each in saved for one in each.results]
    if all(isinstance(one, Comparison) for one in results):
        return table.to_csv(results)
    if len(results) == 1 and isinstance(results[0], StudyResults):
        return results[0].to_csv(results[0].metrics)
    raise InputError(
        "--format csv: expected results of compare, or one study; the other commands have --csv"
    )
