"""Tornado plots: what each cost, alone, does to the ratio of two techniques' cycles."""

from __future__ import annotations

from typing import Any

from mmulab.mmu.report.verdict import OVERLAP, Influence, Pair
from mmulab.plots.terminal.verdict import equal_at, label, matter, number

#: Bars of a panel, and its inches for each of them.
MOST = 12
ROW = 0.24

_LOW, _HIGH = "#56b4e9", "#d55e00"
_DASHES = (0, (4, 3))


def height(pair: Pair) -> float:
    """Inches that its panel takes."""
    return 1.25 + ROW * len(matter(pair)[:MOST])


def draw(figure: Any, pair: Pair, title: str) -> None:
    """A bar for each cost, from the ratio with the cost at its lowest to that at its highest, the
    largest first; beside it, where the two would be equal."""
    axes = figure.subplots()
    shown, likely = matter(pair)[:MOST], pair.ratio.likely
    for row, each in enumerate(shown):
        ends = [
            (each.ratio_low - pair.ratio.likely, _LOW),
            (each.ratio_high - pair.ratio.likely, _HIGH),
        ]
        for width, colour in sorted(ends, key=lambda end: -abs(end[0])):
            axes.barh(row, width, left=pair.ratio.likely, color=colour, height=0.62)
    if any(each.break_even is not None for each in shown):
        beyond = any(each.break_even is not None and not each.in_range for each in shown)
        head = "equal at\n(beyond range)" if beyond else "equal at"
        _beside(axes, head, 1.0, "axes fraction", 6, "#555555")
        for row, each in enumerate(shown):
            _beside(axes, equal_at(each), row, "data", 0, "#000000")
    axes.set_yticks(range(len(shown)), [_named(each) for each in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    crosses = _scale(axes, likely, shown)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(f"cycles of {pair.of} / cycles of {pair.to}", fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    _legend(figure, crosses)


def _beside(axes: Any, text: str, at: float, where: str, up: int, colour: str) -> None:
    """A text to the right of the panel, at a height of its axes or of a row."""
    axes.annotate(
        text, (1.0, at), xycoords=("axes fraction", where), xytext=(8, up),
        textcoords="offset points", va="bottom" if up else "center", fontsize=8, color=colour,
    )  # fmt: skip


def _named(each: Influence) -> str:
    if each.cost.startswith(OVERLAP):
        return f"{label(each.cost)} (most to none)"
    return f"{label(each.cost)} ({number(each.low)} to {number(each.high)})"


def _scale(axes: Any, likely: float, shown: list[Influence]) -> bool:
    """Room around the bars; the likely ratio, and where both are equal if that is in sight."""
    ends = [end for each in shown for end in (each.ratio_low, each.ratio_high)] + [likely]
    least, most = min(ends), max(ends)
    room = 0.06 * (most - least or 1.0)
    crosses = least - 4 * room <= 1 <= most + 4 * room
    if crosses:
        least, most = min(least, 1.0), max(most, 1.0)
        axes.axvline(1.0, color="#222222", linewidth=0.8, linestyle=_DASHES)
    axes.axvline(likely, color="#222222", linewidth=0.8)
    axes.set_xlim(least - room, most + room)
    return bool(crosses)


def _legend(figure: Any, crosses: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(color=_LOW, label="cost at its low end"),
        Patch(color=_HIGH, label="at its high end"),
        Line2D([], [], color="#222222", linewidth=0.8, label="all as likely"),
    ]
    if crosses:
        handles.append(Line2D([], [], color="#222222", linewidth=0.8, linestyle=_DASHES,
                              label="same cycles"))  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
