"""Miss ratio against entries, a line for each number of ways: what sets and ways each buy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.mmu.errors import InputError
from mmulab.plots.figures import MARKERS, SERIES, new_figure, save, tidy
from mmulab.plots.terminal.geometries import columns
from mmulab.workloads.analysis.geometries import Geometries, SizeGeometries

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS = 12


def draw(measured: Sequence[Geometries]) -> Figure:
    """A panel for each trace and page size, in common axes. Raises InputError for too many."""
    panels = [(one, each) for one in measured for each in one.sizes]
    if len(panels) > MOST_PANELS:
        raise InputError(f"{len(panels)} traces and page sizes: expected {MOST_PANELS} at most")
    across = min(3, len(panels))
    rows = -(-len(panels) // across)
    figure = new_figure(0.9 + 4.2 * across, 0.9 + 2.9 * rows)
    grid = figure.subplots(rows, across, squeeze=False, sharey=True)
    for axes, (one, each) in zip(grid.flat, panels, strict=False):
        _panel(axes, one, each)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel("misses a page touched")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, frameon=False)
    return figure


def _panel(axes: Any, one: Geometries, each: SizeGeometries) -> None:
    table = each.table()
    for at, ways in enumerate(columns(one.ways)):
        axes.plot(
            [sets * ways for sets in one.sets], table[:, ways - 1] / each.touches,
            color=SERIES[at % len(SERIES)], marker=MARKERS[at % len(MARKERS)], markersize=3.5,
            linewidth=1, label=f"{ways} way{'s' * (ways > 1)}",
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    front = f", behind an L1 of {one.l1.sets * one.l1.ways} entries" if one.l1 else ""
    axes.set_title(f"{one.trace}, {each.page_size.upper()} pages{front}", fontsize=9, loc="left")
    axes.set_xlabel("TLB entries (sets x ways, LRU)", fontsize=9)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.tick_params(labelsize=8)
    tidy(axes)


def write(measured: Sequence[Geometries], path: str | Path) -> None:
    """Draws them into a .svg, .png or .pdf file."""
    save(draw(measured), path)
