"""Miss-ratio curves, a panel a trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmulab.plots.figures import new_figure, save
from mmulab.workloads.analysis.miss_ratio import MissRatios

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: By page size; told apart in grey print by their dashes.
_STYLES = {"4k": ("#0072b2", "-"), "2m": ("#d55e00", "--"), "1g": ("#009e73", ":")}

_LOWEST = 1e-7  # where the logarithmic axis ends at the latest


def draw(measured: Sequence[MissRatios]) -> Figure:
    """A panel a trace: miss ratio against entries, both logarithmic, a curve a page size."""
    columns = min(3, len(measured))
    rows = -(-len(measured) // columns)
    figure = new_figure(0.6 + 4.2 * columns, 0.5 + 2.9 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for each, one in zip(axes.flat, measured, strict=False):
        _panel(each, one)
    for each in axes.flat[len(measured) :]:
        each.set_visible(False)
    for row in axes:
        row[0].set_ylabel("miss ratio")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, fontsize=8, frameon=False)
    return figure


def _panel(axes: Any, measured: MissRatios) -> None:
    most = max(curve.largest for curve in measured.curves)
    for curve in measured.curves:
        entries = np.unique(np.geomspace(1, max(2, most), 400).astype(int))
        ratio = curve.miss_ratio(entries)
        colour, dashes = _STYLES[curve.page_size]
        axes.step(
            entries, np.maximum(ratio, _LOWEST), where="post", color=colour, linestyle=dashes,
            linewidth=1.5, label=f"{curve.page_size.upper()} pages",
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(top=1.0)
    axes.set_title(measured.trace, fontsize=10, loc="left")
    axes.set_xlabel("TLB entries (fully associative, LRU)", fontsize=9)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def write(measured: Sequence[MissRatios], path: str | Path) -> None:
    """Draws curves into a .svg, .png or .pdf file."""
    save(draw(measured), path)
