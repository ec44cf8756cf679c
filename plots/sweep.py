"""What a scenario saves and costs as one setting changes, as curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.plots.figures import new_figure, save
from mmulab.plots.scenario import VARIANTS, thousands
from mmulab.plots.terminal.sweep import Sweep, cost, saved

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osv^Dx+*"


def draw(key: str, sweep: Sweep) -> Figure:
    """Left: pages moved by value. Middle: slowdown by value. Right: saved memory by slowdown,
    of the variants that save any. A line for each variant."""
    values = list(sweep)
    names = list(dict.fromkeys(run.variant for runs in sweep.values() for run in runs))
    figure = new_figure(11.0, 3.6)
    moved, slower, curve = figure.subplots(1, 3)
    for position, name in enumerate(names):
        colour = VARIANTS[position % len(VARIANTS)]
        chosen = [next((r for r in sweep[v] if r.variant == name), None) for v in values]
        there = [(v, run) for v, run in zip(values, chosen, strict=True) if run is not None]
        labels = [v for v, _ in there]
        runs = [run for _, run in there]
        style: dict[str, Any] = {
            "color": colour, "marker": MARKERS[position % len(MARKERS)], "markersize": 5,
            "markerfacecolor": "none", "linewidth": 1.2, "label": name,
        }  # fmt: skip
        moved.plot(labels, [run.blocks_moved for run in runs], **style)
        slower.plot(labels, [cost(run) for run in runs], **style)
        if any(saved(run) for run in runs):
            curve.plot([cost(run) for run in runs], [saved(run) for run in runs], **style)
    if any(cost(run) > 20 for runs in sweep.values() for run in runs):
        slower.set_yscale("log")
        curve.set_xscale("log")
    for axis, title in ((moved, "pages moved"), (slower, "mean slowdown")):
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_xlabel(key, fontsize=8)
        if axis.get_yscale() == "linear":
            axis.set_ylim(bottom=0)
        if len(values) > 6:
            axis.tick_params(axis="x", rotation=45)
    moved.yaxis.set_major_formatter(thousands)
    curve.set_title("saved MiB", fontsize=9, loc="left")
    curve.set_xlabel("mean slowdown", fontsize=8)
    for axis in (moved, slower, curve):
        _tidy(axis)
    handles, labels = moved.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    scenario = next(iter(sweep.values()))[0].scenario
    figure.suptitle(f"{scenario}, by {key}", fontsize=10, x=0.01, ha="left")
    return figure


def _tidy(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def write(key: str, sweep: Sweep, path: str | Path) -> None:
    """Draws a sweep into a .svg, .png or .pdf file."""
    save(draw(key, sweep), path)
