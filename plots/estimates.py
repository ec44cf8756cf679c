"""Estimates from a sample of a trace: cycles and misses with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.mmu.sampling.results import Estimates
from mmulab.mmu.sampling.statistics import Estimate
from mmulab.plots.figures import SERIES, new_figure, save, tidy
from mmulab.plots.terminal.compare import in_lines, machine

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(estimates: Sequence[Estimates]) -> Figure:
    """A row a trace. Left: cycles an access. Right: L2 TLB misses. Whiskers: intervals of 95 %."""
    names = ["\n".join(in_lines(each.technique)) for each in estimates[0].results]
    lines = len(names) * max(name.count("\n") + 1 for name in names)
    high = 1.2 + max(1.3, 0.5 + 0.18 * lines) * len(estimates)
    figure = new_figure(9.0, high)
    axes = figure.subplots(len(estimates), 2, squeeze=False, width_ratios=[3, 2])
    for one, (cycles, misses) in zip(estimates, axes, strict=True):
        accesses = one.results[0].metrics["counts.accesses"].value
        _bars(cycles, names, [each.cycles_per_access for each in one.results], 1.0)
        found = [each.metrics["counts.l2_tlb_misses"] for each in one.results]
        _bars(misses, names, found, 1000 / accesses)
        misses.set_yticklabels([])
        cycles.set_title(one.trace, fontsize=10, loc="left")
    axes[0][1].set_title("L2 TLB misses", fontsize=10, loc="left")
    axes[-1][0].set_xlabel("cycles per access; whiskers: confidence intervals of 95 %")
    axes[-1][1].set_xlabel("per 1,000 accesses")
    one = estimates[0]
    figure.suptitle(f"{machine(one)}; {one.intervals}", fontsize=10, x=0.01, ha="left")
    return figure


def _bars(axes: Any, names: Sequence[str], found: Sequence[Estimate], scale: float) -> None:
    values = [scale * each.value for each in found]
    margins = [scale * (each.margin or 0.0) for each in found]
    axes.barh(names, values, color=SERIES[5], height=0.7)
    axes.errorbar(
        values, names, xerr=margins, fmt="none", ecolor="#222222", elinewidth=0.8, capsize=2.5
    )
    ends = [value + margin for value, margin in zip(values, margins, strict=True)]
    for name, value, margin, end in zip(names, values, margins, ends, strict=True):
        text = f" {value:.3g}" + (f" ± {margin:.2g}" if margin else "")
        axes.annotate(
            text, (end, name), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_xlim(0, 1.35 * max(ends) if any(ends) else 1)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.tick_params(labelsize=9)
    tidy(axes)


def write(estimates: Sequence[Estimates], path: str | Path) -> None:
    """Draws estimates into a .svg, .png or .pdf file."""
    save(draw(estimates), path)
