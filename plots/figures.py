"""What all figures share: size, fonts, colours, and how a file is written."""

from __future__ import annotations

import io
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
    "shootdown": "#882255",
}

#: Styles of figures: how large text is against that of a page of its own, and the least, in points.
STYLES = {"notebook": (1.0, 6.0), "paper": (0.85, 6.0), "slides": (1.6, 12.0)}


class Look(NamedTuple):
    """How figures are written. width: inches; 0: as each is drawn."""

    style: str = "notebook"
    width: float = 0.0


#: Of the figures of a command.
look: ContextVar[Look] = ContextVar("look", default=Look())  # noqa: B039

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


def _fit(figure: Figure) -> None:
    """Gives a figure the width, and its text and lines the size, that are asked for: text that
    would be too small to read stays larger than its part, and the layout makes room."""
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    style, asked = look.get()
    if look.get() == Look():
        return
    factor, least = STYLES[style]
    width, height = figure.get_size_inches()
    part = asked / width if asked else 1.0
    # What is narrower than it was drawn keeps more of its height: labels take their room.
    figure.set_size_inches(width * part, height * max(part, min(1.0, part**0.35)))
    for text in figure.findobj(Text):
        text.set_fontsize(max(least, float(text.get_fontsize()) * factor * min(1.0, part**0.5)))
    for line in figure.findobj(Line2D):
        line.set_linewidth(line.get_linewidth() * factor)


def save(figure: Figure, path: str | Path) -> None:
    """Writes the figure as `look` has it, whole or not at all, with no date in it."""
    target = check_path(path)
    _fit(figure)
    kind = target.suffix.lower()[1:]
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with replacing(target) as temporary:
        figure.savefig(temporary, format=kind, dpi=160, metadata=metadata)
