"""What a scenario saves and costs as one setting changes, as curves."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.mmu.config.units import parse_bytes, parse_seconds
from mmulab.plots import lives
from mmulab.plots.figures import new_figure, save
from mmulab.plots.scenario import VARIANTS, thousands
from mmulab.plots.terminal.sweep import Sweep, cost, saved

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osv^Dx+*"
UNITS = {
    "pages moved": "pages of 4 KiB",
    "mean slowdown": "times as long an access",
    "saved MiB": "MiB",
}
MEASURES = {"pages moved": lambda run: run.blocks_moved, "mean slowdown": cost, "saved MiB": saved}


def draw(key: str, sweep: Sweep) -> Figure:
    """Pages moved by value; where runs have a baseline, mean slowdown by value and saved memory
    by slowdown, of the variants that save any; else saved memory by value. A line for each
    variant."""
    names = list(dict.fromkeys(run.variant for runs in sweep.values() for run in runs))
    has_baseline = any(run.slowdowns for runs in sweep.values() for run in runs)
    figure = new_figure(11.0 if has_baseline else 7.6, 3.6)
    axes = figure.subplots(1, 3 if has_baseline else 2)
    by_value = {"pages moved": axes[0]}
    by_value |= {"mean slowdown": axes[1]} if has_baseline else {"saved MiB": axes[1]}
    for position, name in enumerate(names):
        style: dict[str, Any] = {
            "color": VARIANTS[position % len(VARIANTS)],
            "marker": MARKERS[position % len(MARKERS)], "markersize": 5,
            "markerfacecolor": "none", "linewidth": 1.2, "label": name,
        }  # fmt: skip
        found = {v: run for v, runs in sweep.items() for run in runs if run.variant == name}
        for title, axis in by_value.items():
            axis.plot(_places(found), [MEASURES[title](run) for run in found.values()], **style)
        if has_baseline and any(map(saved, found.values())):
            axes[2].plot([*map(cost, found.values())], [*map(saved, found.values())], **style)
    for title, axis in by_value.items():
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_xlabel(key, fontsize=8)
        axis.set_ylabel(UNITS[title], fontsize=8)
        axis.set_xticks(_places(sweep), list(sweep))
        axis.minorticks_off()
        if len(sweep) > 6:
            axis.tick_params(axis="x", rotation=45)
    if has_baseline:
        _relate(axes[2], axes[1], sweep)
    for axis in by_value.values():
        if axis.get_yscale() == "linear":
            axis.set_ylim(bottom=0)
    axes[0].yaxis.set_major_formatter(thousands)
    for axis in axes:
        _tidy(axis)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    scenario = next(iter(sweep.values()))[0].scenario
    figure.suptitle(f"{scenario}, by {key}", fontsize=10, x=0.01, ha="left")
    return figure


def _relate(curve: Any, slower: Any, sweep: Sweep) -> None:
    """Labels the panel of saved memory by slowdown, and scales it as the one of slowdowns."""
    if any(cost(run) > 20 for runs in sweep.values() for run in runs):
        slower.set_yscale("log")
        curve.set_xscale("log")
    curve.set_title("saved MiB", fontsize=9, loc="left")
    curve.set_xlabel("mean slowdown", fontsize=8)
    curve.set_ylabel(UNITS["saved MiB"], fontsize=8)


def _places(values: Iterable[str]) -> list[float]:
    """Where values stand on their axis: as the numbers that they are, else one after another."""
    several = list(values)
    for read in (parse_bytes, parse_seconds):
        with suppress(ValueError):
            return [float(read(value)) for value in several]
    return [float(at) for at in range(len(several))]


def _tidy(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def write(key: str, sweep: Sweep, path: str | Path) -> None:
    """Draws a sweep into a .svg, .png or .pdf file."""
    of_migrations = lives.is_of_migrations(key, sweep)
    save(lives.draw_downtime(key, sweep) if of_migrations else draw(key, sweep), path)
