"""The comparison plot: where cycles go under each technique, a group for each trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from mmulab.mmu.report.cost import CATEGORIES, NOTHING, OF_CORES
from mmulab.mmu.report.results import Comparison, TechniqueResult
from mmulab.mmu.report.verdict import Pair
from mmulab.plots import sensitivity
from mmulab.plots.figures import COLOURS, new_figure, save
from mmulab.plots.terminal.compare import LABELS, in_lines, machine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIRST = ("work", "data", "guest_kernel")
_ORDER = (*_FIRST, *(c for c in CATEGORIES if c not in _FIRST), *OF_CORES)

#: Techniques up to which several traces stand one below the other.
MOST_BARS = 8

#: Times the longest bar that a whisker is drawn to.
WHISKER = 2.0

#: Of the median of a panel's bars, how many times as long one is drawn whole.
LONGEST = 4.0


def draw(comparisons: Sequence[Comparison], pairs: Sequence[Pair] = ()) -> Figure:
    """Left: cycles an access, stacked by category, with the range of the costs. Right: L2 TLB
    misses. pairs: one for each comparison, whose sensitivity to each cost is drawn below.

    Each trace has axes of its own. More than MOST_BARS techniques over several traces are small
    panels, without misses.
    """
    if len(comparisons) > 1 and len(comparisons[0].results) > MOST_BARS and not pairs:
        return _panels(comparisons)
    names = _names(comparisons[0])
    lines = len(names) * max(name.count("\n") + 1 for name in names)
    high = 1.3 + max(1.5, 0.5 + 0.18 * lines) * len(comparisons)
    below = [sensitivity.height(pair) for pair in pairs]
    figure = new_figure(9.0, high + sum(below))
    if not pairs:
        _cycles(figure, comparisons)
        return figure
    parts = figure.subfigures(1 + len(pairs), 1, height_ratios=[high, *below], squeeze=False)
    _cycles(parts[0][0], comparisons)
    for part, pair, comparison in zip(parts[1:, 0], pairs, comparisons, strict=True):
        sensitivity.draw(part, pair, f"{comparison.trace}: what each cost does")
    return figure


def _cycles(figure: Any, comparisons: Sequence[Comparison]) -> None:
    """A row for each comparison."""
    rows = len(comparisons)
    axes = figure.subplots(rows, 2, squeeze=False, width_ratios=[3, 1])
    used: dict[str, Any] = {}
    for comparison, (cycles, misses) in zip(comparisons, axes, strict=True):
        _stack(cycles, comparison, used)
        _misses(misses, comparison)
    axes[-1][0].set_xlabel("cycles per access")
    axes[-1][1].set_xlabel("per 1,000 accesses")
    axes[0][1].set_title("L2 TLB misses", fontsize=10, loc="left")
    figure.suptitle(
        machine(comparisons[0]),
        fontsize=10,
        x=0.01,
        ha="left",
    )
    _legend(figure, comparisons, used)


def _panels(comparisons: Sequence[Comparison]) -> Figure:
    """A panel a trace, four in a row, which share the names of the techniques."""
    columns = min(4, len(comparisons))
    rows = -(-len(comparisons) // columns)
    lines = len(_names(comparisons[0]))
    figure = new_figure(1.6 + 3.1 * columns, 1.2 + rows * (0.7 + 0.17 * lines))
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    used: dict[str, Any] = {}
    for number, panel in enumerate(axes.flat):
        if number >= len(comparisons):
            panel.remove()
            continue
        _cut_stack(panel, comparisons[number], used)
        if number + columns >= len(comparisons):
            panel.set_xlabel("cycles per access, costs as likely", fontsize=8)
    axes[0][0].invert_yaxis()
    figure.suptitle(machine(comparisons[0]), fontsize=10, x=0.01, ha="left")
    _legend(figure, comparisons, used)
    return figure


def _legend(figure: Any, comparisons: Sequence[Comparison], used: dict[str, Any]) -> None:
    from matplotlib.patches import Patch

    handles = [used[c] for c in _ORDER if c in used]
    labels = [LABELS[c] for c in _ORDER if c in used]
    if any(result.first_touch_percent > 0.5 for c in comparisons for result in c.results):
        handles.append(Patch(facecolor="#bbbbbb", edgecolor="white", hatch="////"))
        labels.append("of it, first touches")
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=5,
        fontsize=8,
        frameon=False,
    )


def _names(comparison: Comparison) -> list[str]:
    return ["\n".join(in_lines(result.technique)) for result in comparison.results]


def _stack(axes: Any, comparison: Comparison, used: dict[str, Any]) -> None:
    """Bars, and a whisker from every cost at its lowest to every cost at its highest. One that is
    many times as long as the bars is cut, and its end is said."""
    names = _names(comparison)
    ends = _bars(axes, names, comparison, used)
    ranges = [result.range_per_access for result in comparison.results]
    cut = WHISKER * max(ends)
    highs = [min(each.high, cut) for each in ranges]
    below = [each.likely - each.low for each in ranges]
    above = [high - each.likely for high, each in zip(highs, ranges, strict=True)]
    axes.errorbar(
        ends, names, xerr=[below, above], fmt="none", ecolor="#222222", elinewidth=0.8, capsize=2.5
    )
    for name, result, each in zip(names, comparison.results, ranges, strict=True):
        text = f"{each.likely:.2f} ({result.translation_percent:.0f} % translation)"
        if each.high > cut:
            text = f"\u25b8 to {each.high:.3g};  likely {text}"
        _label(axes, text, min(each.high, cut), name, 8)
    axes.set_xlim(0, 1.7 * max(highs))
    _tidy(axes)
    axes.set_title(comparison.trace, fontsize=10, loc="left")


def _cut_stack(axes: Any, comparison: Comparison, used: dict[str, Any]) -> None:
    """Bars of one of many panels: one that is many times as long as most is cut."""
    names = [result.technique for result in comparison.results]
    ends = _bars(axes, names, comparison, used)
    longest = max(end for end in ends if end <= LONGEST * median(ends))
    for name, end in zip(names, ends, strict=True):
        cut = "" if end <= longest else "\u25b8 "
        _label(axes, f"{cut}{end:.3g}", min(end, longest), name, 7)
    axes.set_xlim(0, 1.25 * longest)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(labelsize=8)
    axes.set_title(comparison.trace, fontsize=9, loc="left")


def _label(axes: Any, text: str, x: float, name: str, size: float) -> None:
    axes.annotate(
        f" {text}", (x, name), xytext=(3, 0), textcoords="offset points", va="center", fontsize=size
    )  # fmt: skip


def _bars(
    axes: Any, names: Sequence[str], comparison: Comparison, used: dict[str, Any]
) -> list[float]:
    """A bar for each technique: what goes on, then first touches, hatched. Returns their ends."""
    left = [0.0] * len(names)
    for hatch in ("", "////"):
        for category in _ORDER:
            widths = [_width(result, category, bool(hatch)) for result in comparison.results]
            if any(widths):
                bars = axes.barh(
                    names, widths, left=left, color=COLOURS[category], height=0.7,
                    hatch=hatch, edgecolor="white", linewidth=0,
                    label=LABELS[category] + (", first touches" if hatch else ""),
                )  # fmt: skip
                if not hatch:
                    used.setdefault(category, bars)
            left = [a + b for a, b in zip(left, widths, strict=True)]
    return left


def _width(result: TechniqueResult, category: str, of_first_touches: bool) -> float:
    """Cycles an access of a category that came of first touches, or the others."""
    first = result.first_touch.get(category, NOTHING).likely
    every = result.cycles.get(category, NOTHING).likely
    cycles = first if of_first_touches else every - first
    return cycles / result.counts["accesses"]


def _misses(axes: Any, comparison: Comparison) -> None:
    names = _names(comparison)
    rates = [1000 * r.counts["l2_tlb_misses"] / comparison.accesses for r in comparison.results]
    axes.barh(names, rates, color="#444444", height=0.7)
    for name, rate in zip(names, rates, strict=True):
        axes.annotate(
            f" {rate:.3g}", (rate, name), xytext=(3, 0), textcoords="offset points", va="center",
            fontsize=8,
        )  # fmt: skip
    axes.set_xlim(0, 1.35 * max(rates) if any(rates) else 1)
    axes.set_yticklabels([])
    _tidy(axes)


def _tidy(axes: Any) -> None:
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(labelsize=9)


def write(comparisons: Sequence[Comparison], path: str | Path, pairs: Sequence[Pair] = ()) -> None:
    """Draws comparisons into a .svg, .png or .pdf file."""
    save(draw(comparisons, pairs), path)
