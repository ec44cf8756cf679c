"""A trace summed up: the addresses that it touches over time, and its working set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmulab.plots.figures import new_figure, save
from mmulab.workloads.analysis.summary import Region, TraceInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROOM = 0.045  # of the axis' height, for a region's name


def draw(info: TraceInfo) -> Figure:
    """Above, the touched addresses over time, empty space left out; below, the working set, which
    is alone where no points were kept."""
    if not info.points.size:
        figure = new_figure(8.0, 2.4)
        axes = figure.subplots()
        _working_set(axes, info)
        axes.set_title(f"{info.trace}: {axes.get_title(loc='left')}", fontsize=10, loc="left")
        return figure
    figure = new_figure(8.0, 5.2)
    above, below = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    _addresses(above, info)
    _working_set(below, info)
    return figure


def _addresses(above: Any, info: TraceInfo) -> None:
    base, borders = _compressed(info.regions)
    number, address = info.points
    place = _place(address, info.regions, base)
    above.scatter(number[place >= 0], place[place >= 0] / 2**20, s=1.2, color="#0072b2",
                  linewidths=0, rasterized=True)  # fmt: skip
    for border in borders[1:-1]:
        above.axhline(border / 2**20, color="#bbbbbb", linewidth=0.6)
    _name(above, info.regions, base)
    above.set_ylabel("touched regions, MiB")
    above.set_title(info.trace, fontsize=10, loc="left")
    _plain(above)


def _working_set(below: Any, info: TraceInfo) -> None:
    edges = np.minimum(np.arange(len(info.working_set) + 1) * info.interval, info.accesses)
    below.stairs(info.working_set, edges, color="#d55e00", linewidth=1.5, baseline=None)
    below.set_ylim(bottom=0)
    below.set_ylabel("4K pages")
    below.set_title(f"working set of {info.interval:,} accesses", fontsize=9, loc="left")
    below.set_xlabel("access")
    below.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    _plain(below)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _name(axes: Any, regions: list[Region], base: list[int]) -> None:
    """Each region's start, beside it, as far as there is room."""
    whole = sum(region.bytes for region in regions)
    last = -1.0
    several = len({region.process for region in regions}) > 1
    for region, start in zip(regions, base, strict=True):
        middle = (start + region.bytes / 2) / whole
        if middle - last < _ROOM:
            continue
        last = middle
        process = f"{region.process}: " if several else ""
        axes.annotate(
            f"{process}{region.start:#x}", (1.0, (start + region.bytes / 2) / 2**20),
            xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=7, annotation_clip=False,
        )  # fmt: skip


def _compressed(regions: list[Region]) -> tuple[list[int], list[int]]:
    """(start of each region, edges between them) on an axis without the gaps."""
    edges = [0]
    for region in regions:
        edges.append(edges[-1] + region.bytes)
    return edges[:-1], edges


def _place(address: np.ndarray, regions: list[Region], base: list[int]) -> np.ndarray:
    """Where addresses are on that axis; -1 for none. Of several processes the first that
    has the address."""
    place = np.full(len(address), -1, np.int64)
    for region, start in zip(regions, base, strict=True):
        inside = (address >= region.start) & (address < region.end) & (place < 0)
        place[inside] = start + address[inside] - region.start
    return place


def write(info: TraceInfo, path: str | Path) -> None:
    """Draws a summary into a .svg, .png or .pdf file."""
    save(draw(info), path)
