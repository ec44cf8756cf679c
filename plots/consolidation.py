"""How many VMs fit, as a figure: slowdown by number of VMs, a line for each set of mechanisms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.mmu.report.consolidation import Consolidation, Fitted
from mmulab.plots.figures import MARKERS, SERIES, new_figure, save, tidy
from mmulab.plots.terminal.consolidation import which

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Times the limit above which a slowdown is drawn at the edge: how much too slow is no matter.
_MOST = 4.0


def draw(found: Consolidation) -> Figure:
    """Slowdown, at the percentile that was asked for, of each number of VMs that was run; the
    limit; and as bars how many fit."""
    figure = new_figure(9.6, 3.6)
    curve, bars = figure.subplots(1, 2, width_ratios=[3, 2])
    edge = 1.0 + _MOST * (found.slowdown - 1.0) if found.slowdown > 1 else 2.0
    for position, each in enumerate(found.sets):
        _line(curve, each, position, edge)
    curve.axhline(found.slowdown, color="#444444", linewidth=0.9, linestyle="--")
    curve.annotate(
        f"limit {found.slowdown:g}", (1.0, found.slowdown), xycoords=("axes fraction", "data"),
        ha="right", va="bottom", fontsize=8,
    )  # fmt: skip
    curve.set_ylim(1.0 - 0.05 * (edge - 1.0), edge + 0.03 * (edge - 1.0))
    most = max(each.vms for each in found.sets) or 1
    curve.set_xlim(0.5, 1.4 * most + 1)
    curve.set_xlabel("VMs on the host", fontsize=8)
    curve.set_title(
        f"times as long an access as alone, {which(found.percentile)}", fontsize=9, loc="left"
    )
    _bars(bars, found)
    for axes in (curve, bars):
        tidy(axes)
        axes.tick_params(labelsize=8)
    figure.legend(
        *curve.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8,
        frameon=False,
    )  # fmt: skip
    host, vm = found.host_memory / 2**20, found.vm_memory / 2**20
    figure.suptitle(
        f"{found.scenario}: VMs of {vm:,.0f} MiB on a host of {host:,.0f} MiB. "
        "Crosses at the edge: out of memory, or slower than shown",
        fontsize=9, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def _line(axes: Any, each: Fitted, position: int, edge: float) -> None:
    colour = SERIES[position % len(SERIES)]
    slow = [edge if t.slowdown is None else min(edge, t.slowdown) for t in each.tried]
    shown = slow.index(edge) + 1 if edge in slow else len(slow)
    at, slow = [tried.vms for tried in each.tried][:shown], slow[:shown]
    axes.plot(
        at, slow, color=colour, marker=MARKERS[position % len(MARKERS)], markerfacecolor="none",
        markersize=6 - position / 2, linewidth=2.4 - 0.3 * position, label=each.mechanisms,
    )  # fmt: skip
    if slow and slow[-1] == edge:
        axes.plot(at[-1], edge, "x", color=colour, markersize=8)


def _bars(axes: Any, found: Consolidation) -> None:
    """How many VMs fit; beside the bar, their memory as a part of the host's."""
    for position, each in enumerate(found.sets):
        axes.barh(position, each.vms, color=SERIES[position % len(SERIES)], height=0.7)
        part = each.vms * found.vm_memory / found.host_memory
        more = " or more" if each.most else ""
        label = f"{each.vms}{more}, {part:.1f} x memory"
        away = {"xytext": (4, 0), "textcoords": "offset points"}
        axes.annotate(label, (each.vms, position), fontsize=8, va="center", **away)
    axes.set_yticks(range(len(found.sets)), [each.mechanisms for each in found.sets])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.5 * max(1, *(each.vms for each in found.sets)))
    axes.set_title(f"VMs that fit at {found.slowdown:g}", fontsize=9, loc="left")


def write(found: Consolidation, path: str | Path) -> None:
    """Draws it into a .svg, .png or .pdf file."""
    save(draw(found), path)
