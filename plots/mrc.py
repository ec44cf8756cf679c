"""Miss-ratio curves, a panel a trace."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmulab.mmu import presets
from mmulab.plots.figures import new_figure, save
from mmulab.workloads.analysis.miss_ratio import MissRatios

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARK = "size of a preset's last TLB"

#: By page size; told apart in grey print by their dashes.
_STYLES = {"4k": ("#0072b2", "-"), "2m": ("#d55e00", "--"), "1g": ("#009e73", ":")}


@cache
def real_sizes() -> dict[int, list[str]]:
    """Entries of the last-level TLB for 4 KiB pages, with the presets that have so many."""
    found: dict[int, list[str]] = {}
    for name in presets.names():
        holding = [tlb for tlb in presets.load(name).tlbs if "4k" in tlb.page_sizes]
        last = max(holding, key=lambda tlb: tlb.level)
        found.setdefault(last.sets * last.ways, []).append(name)
    return dict(sorted(found.items()))


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
    shown = {
        label: handle
        for each in axes.flat
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(shown.values()), list(shown), loc="outside lower center",
        ncols=4 if columns > 1 else 2, fontsize=8,
        frameon=False,
    )  # fmt: skip
    return figure


def _panel(axes: Any, measured: MissRatios) -> None:
    most = max(curve.largest for curve in measured.curves)
    lowest = 1 / max(curve.touches for curve in measured.curves)  # one miss
    for curve in measured.curves:
        entries = np.unique(np.geomspace(1, max(2, most), 400).astype(int))
        ratio = curve.miss_ratio(entries)
        colour, dashes = _STYLES[curve.page_size]
        axes.step(
            entries, np.maximum(ratio, lowest), where="post", color=colour, linestyle=dashes,
            linewidth=1.5, label=f"{curve.page_size.upper()} pages",
        )  # fmt: skip
    for size in real_sizes():
        if size <= max(2, most):
            axes.axvline(size, ymax=0.06, color="#444444", linewidth=1, label=_MARK)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(bottom=lowest / 1.5, top=1.0)
    axes.set_title(measured.trace, fontsize=10, loc="left")
    axes.set_xlabel("TLB entries (fully associative, LRU)", fontsize=9)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def write(measured: Sequence[MissRatios], path: str | Path) -> None:
    """Draws curves into a .svg, .png or .pdf file."""
    save(draw(measured), path)
