"""What all figures share: size, fonts, colours, and how a file is written."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.mmu.errors import InputError
from mmulab.mmu.report.files import check_writable, replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")

#: Colours by category, told apart by readers with colour-vision deficiencies and in
#: grey print (Okabe and Ito's palette, https://jfly.uni-koeln.de/color/).
COLOURS = {
    "work": "#d9d9d9",
    "data": "#b8b8b8",
    "guest_kernel": "#8a8a8a",
    "l2_tlb": "#f0e442",
    "guest_walk": "#56b4e9",
    "nested_walk": "#0072b2",
    "exit_fault": "#e69f00",
    "exit_pte": "#d55e00",
    "exit_flush": "#cc79a7",
    "shadow": "#009e73",
}

#: Colours and markers of series, in order: the same palette, dark ones first.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a8a8a")
MARKERS = "osv^Dx+*"


def check_path(path: str | Path) -> Path:
    """The path of a figure to be. Raises InputError for another format or no directory."""
    target = check_writable(path, "plot")
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"plot {target}: unknown format {target.suffix!r}; expected {', '.join(SUFFIXES)}"
        )
    return target


def new_figure(width: float, height: float) -> Figure:
    """A figure of inches x inches, drawn without a display and without global state.

    Notebooks show it where it is the value of a cell.
    """
    from matplotlib import rcParams

    rcParams["svg.hashsalt"] = "mmulab"  # same input, same bytes
    rcParams["svg.fonttype"] = "none"  # text stays text
    rcParams["pdf.fonttype"] = 42
    return _figure_class()(figsize=(width, height), layout="constrained")


def tidy(axes: Any) -> None:
    """No frame but where the scales are."""
    axes.spines[["top", "right"]].set_visible(False)


@cache
def _figure_class() -> type[Figure]:
    from matplotlib.figure import Figure

    class Drawing(Figure):
        """A figure with what IPython asks an object for, to show it without pyplot."""

        def _repr_png_(self) -> bytes:
            image = io.BytesIO()
            self.savefig(image, format="png", dpi=80, metadata={"Software": None})
            return image.getvalue()

    return Drawing


def save(figure: Figure, path: str | Path) -> None:
    """Writes the figure, whole or not at all, with no date in it."""
    target = check_path(path)
    kind = target.suffix.lower()[1:]
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with replacing(target) as temporary:
        figure.savefig(temporary, format=kind, dpi=160, metadata=metadata)
