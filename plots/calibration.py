"""Curves of a calibration, with the knees found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.plots.figures import new_figure, save
from mmulab.workloads.probes.calibrated import Calibrated
from mmulab.workloads.probes.calibration import CURVES, Calibration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MEASURED, _KNEE = "#0072b2", "#d55e00"
_TECHNIQUES = {"native": ("#009e73", "-"), "shadow": ("#cc79a7", ":"), "nested": ("#e69f00", "-"),
               "nested:host_page_size=2m": ("#56b4e9", "--")}  # fmt: skip


def draw(result: Calibrated) -> Figure:
    """A panel a curve, cycles a step over sizes, both logarithmic; a dashed line a knee. In the
    last panel what translation costs, with the techniques that were fitted to it."""
    measured, found, fit = result.measured, result.found, result.fit
    figure = new_figure(11, 7)
    axes = figure.subplots(2, 3)
    for each, (name, (unit, title)) in zip(axes.flat, CURVES.items(), strict=False):
        curve = measured.curves[name]
        sizes = [size / 1024 for size in curve.sizes] if unit == "bytes" else curve.sizes
        _curve(each, sizes, measured, name)
        for knee in found.knees[name]:
            _knee(each, knee.size / 1024 if unit == "bytes" else knee.size)
        _label(each, title, "KiB" if unit == "bytes" else unit)
    last = axes.flat[-1]
    beyond = [max(1, cycles) for cycles in found.translation["4k"].values()]
    sizes = list(found.translation["4k"])
    last.plot(sizes, beyond, color=_MEASURED, marker=".", markersize=4, label="measured")
    for knee in found.knees["tlb"]:
        _knee(last, knee.size)
    if fit:
        for spec, cycles in fit.predicted.items():
            colour, dashes = _TECHNIQUES[spec]
            small = fit.of("4k", cycles)
            last.plot(list(small), list(small.values()), color=colour, linestyle=dashes, label=spec)
    last.legend(fontsize=7, frameon=False)
    _label(last, "translation: 4 KiB pages less as many lines", "pages")
    figure.suptitle(f"{measured.facts.model}: cycles a step of a dependent chase", fontsize=10)
    return figure


def _curve(axes: Any, sizes: Any, measured: Calibration, name: str) -> None:
    axes.fill_between(sizes, measured.cycles(name), measured.cycles(name, "high"),
                      color=_MEASURED, alpha=0.2, linewidth=0)  # fmt: skip
    axes.plot(sizes, measured.cycles(name, "value"), color=_MEASURED, marker=".", markersize=4,
              linewidth=1.2)  # fmt: skip


def _knee(axes: Any, size: float) -> None:
    axes.axvline(size, color=_KNEE, linestyle="--", linewidth=0.9)
    axes.annotate(f"{size:,.0f}", (size, 1), xycoords=("data", "axes fraction"), fontsize=7,
                  rotation=90, ha="right", va="top", color=_KNEE)  # fmt: skip


def _label(axes: Any, title: str, unit: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(bottom=1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_title(title, fontsize=8, loc="left")
    axes.set_xlabel(unit, fontsize=8)
    axes.set_ylabel("cycles", fontsize=8)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
    axes.tick_params(axis="x", labelrotation=30)


def write(result: Calibrated, path: str | Path) -> None:
    """Draws the curves into a .svg, .png or .pdf file."""
    save(draw(result), path)
