"""How results show themselves: in one line, in a notebook, as a figure, as a DataFrame.

Showing is no business of what is shown: `by` is told who does it, when the package is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

_by: dict[str, Callable[..., Any]] = {}


def by(**functions: Callable[..., Any]) -> None:
    """table(result): its text. plot(result, path): its figure. frame(result): its DataFrame."""
    _by.update(functions)


class Shown:
    """A result. In a notebook, the table that the command prints."""

    def plot(self, path: str | None = None) -> Figure:
        """Its figure, as the command draws it; path: also written there, .svg, .png or .pdf. Raises
        InputError for a path that cannot be written."""
        figure: Figure = _by["plot"](self, path)
        return figure

    def to_frame(self) -> DataFrame:
        """Its numbers as a pandas DataFrame, names with underlines. Raises InputError where there
        is no pandas, or no such table of it."""
        frame: DataFrame = _by["frame"](self)
        return frame

    def _repr_html_(self) -> str:
        return f"<pre>{escape(_by['table'](self))}</pre>"
