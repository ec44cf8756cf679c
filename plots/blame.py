"""Where misses come from: cycles of translation by label, walks apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmulab.plots.figures import COLOURS, new_figure, save, tidy
from mmulab.workloads.analysis.blame import Blame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Labels that are drawn.
MOST = 20


def draw(blame: Blame) -> Figure:
    """Bars of the labels with most cycles an access, of walks and of all else that translation
    takes."""
    parts = blame.parts[:MOST]
    names = [part.name for part in parts]
    walks = [blame.walk_cycles(part) / blame.accesses for part in parts]
    whole = [blame.cycles(part) / blame.accesses for part in parts]
    others = [all_of - walk for all_of, walk in zip(whole, walks, strict=True)]
    figure = new_figure(8.0, 1.3 + 0.28 * len(parts))
    axes = figure.subplots()
    axes.barh(names, walks, color=COLOURS["nested_walk"], height=0.7, label="page walks")
    axes.barh(
        names, others, left=walks, color=COLOURS["exit_fault"], height=0.7,
        label="L2 TLB, exits, upkeep",
    )  # fmt: skip
    total = sum(map(blame.cycles, blame.parts)) / blame.accesses
    for name, end in zip(names, whole, strict=True):
        share = f" {100 * end / total:.1f} %" if total else ""
        axes.annotate(
            share, (end, name), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_xlim(0, 1.18 * max(whole) if any(whole) else 1)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.tick_params(labelsize=9)
    axes.set_xlabel("cycles of translation per access of the trace, costs as likely")
    axes.set_title(
        f"{blame.trace} under {blame.technique}, {blame.preset}", fontsize=10, loc="left"
    )
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    tidy(axes)
    return figure


def write(blame: Blame, path: str | Path) -> None:
    """Draws it into a .svg, .png or .pdf file."""
    save(draw(blame), path)
