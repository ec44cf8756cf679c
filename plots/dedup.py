"""Memory images that could share pages, as bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.plots.figures import new_figure, save
from mmulab.plots.terminal.dedup import PAGE_NAMES, mb
from mmulab.workloads.analysis.page_sharing import Report, Sharing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KINDS = (
    ("private", "#0072b2"), ("shared, kept once", "#009e73"), ("reclaimed: zeros", "#f0e442"),
    ("reclaimed: others", "#e69f00"),
)  # fmt: skip


def draw(report: Report) -> Figure:
    """Left: each image's memory by what sharing does with it. Right: how often contents occur."""
    rows = [*report.files, *report.together]
    figure = new_figure(9.0, 1.6 + 0.35 * len(rows))
    bars, copies = figure.subplots(1, 2, width_ratios=[3, 2])
    labels = [f"{one.name}, {PAGE_NAMES[one.page_bytes]}" for one in rows]
    left = [0.0] * len(rows)
    for kind, (label, colour) in enumerate(_KINDS):
        widths = [mb(_split(one)[kind], one.page_bytes) for one in rows]
        bars.barh(labels, widths, left=left, color=colour, label=label, height=0.7)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    bars.invert_yaxis()
    bars.set_xlabel("MiB", fontsize=8)
    bars.legend(fontsize=7, frameon=False, ncols=2, loc="upper left", bbox_to_anchor=(0, -0.12))
    names = ["1" if not i else ("2" if i == 1 else f"{2 ** (i - 1) + 1}+")
             for i in range(len(report.copies))]  # fmt: skip
    copies.bar(names, report.copies, color="#444444")
    copies.set_yscale("log")
    copies.tick_params(axis="x", rotation=60)
    copies.set_title("contents of 4K pages by copies", fontsize=9, loc="left")
    for axis in (bars, copies):
        _tidy(axis)
    return figure


def _split(one: Sharing) -> tuple[int, int, int, int]:
    """Pages by _KINDS."""
    zeros = max(0, one.zero - 1) if one.zero > 1 else 0
    return one.pages - one.shared, one.contents, zeros, one.reclaimed - zeros


def _tidy(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def write(report: Report, path: str | Path) -> None:
    """Draws a report into a .svg, .png or .pdf file."""
    save(draw(report), path)
