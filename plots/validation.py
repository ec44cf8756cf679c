"""Predicted against measured time of an access, a point a workload and page size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.plots.figures import new_figure, save
from mmulab.workloads.probes.validation import Validation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"4k": "#0072b2", "2m": "#d55e00"}
_MARKS = "o^sDvP*X"


def draw(results: Sequence[Validation]) -> Figure:
    """A panel a preset: measured across, predicted up, both logarithmic, with the range of each
    prediction; on the line both are equal."""
    figure = new_figure(0.8 + 5.2 * len(results), 5.2)
    axes = figure.subplots(1, len(results), squeeze=False, sharey=True)
    for each, result in zip(axes.flat, results, strict=True):
        _panel(each, result)
    axes.flat[0].set_ylabel("predicted ns an access", fontsize=9)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=7, frameon=False)
    return figure


def _panel(axes: Any, result: Validation) -> None:
    names = list(dict.fromkeys(point.workload.partition(":")[0] for point in result.points))
    seen: set[str] = set()
    for point in result.points:
        name = point.workload.partition(":")[0]
        low, likely, high = point.predicted[result.technique]
        label = f"{name}, {point.page_size}"
        axes.errorbar(
            point.measured.value, likely, yerr=[[max(0, likely - low)], [max(0, high - likely)]],
            fmt=_MARKS[names.index(name) % len(_MARKS)], color=_COLOURS[point.page_size],
            markersize=5, linewidth=0.7, label=None if label in seen else label,
        )  # fmt: skip
        seen.add(label)
    ends = [min(axes.get_xlim()[0], 0.2), max(axes.get_xlim()[1], 1000)]
    axes.plot(ends, ends, color="#999999", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("measured ns an access", fontsize=9)
    axes.set_title(
        f"{result.preset}, {result.technique}: median error "
        f"{100 * result.median_error():.0f} %, rank correlation {result.rank_correlation:.2f}",
        fontsize=8, loc="left",
    )  # fmt: skip
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)


def write(results: Sequence[Validation], path: str | Path) -> None:
    """Draws validations into a .svg, .png or .pdf file."""
    save(draw(results), path)
