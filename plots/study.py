"""What a study found, as figures: lines over an axis of numbers, or grouped bars with their
geometric mean.

A panel for each value of one more axis, a series for each technique (or VM) and the values of all
other axes. Whiskers are the range of the seeds, where there are several; else that of the costs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import exp, fsum, isclose, log
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

from mmulab.mmu.config.units import parse_bytes
from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.report.study_results import Cell, StudyResults
from mmulab.plots.figures import MARKERS, SERIES, look, new_figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUMBER = re.compile(r"\d+(\.\d+)?[KMGT]?", re.IGNORECASE)

#: Numbers on an axis from which it is drawn as lines, unless asked for otherwise.
LINES_FROM = 3

#: Panels that one figure may have.
MOST_PANELS = 12

_MEAN = "geometric mean"


class Layout(NamedTuple):
    """What goes where. x: the axis across; "" where nothing varies. panels: the axis with a panel
    for each value, or "". others: those that are told apart by series."""

    metric: str
    x: str
    lines: bool
    panels: str
    others: tuple[str, ...]


def layout(
    results: StudyResults, metric: str = "", by: str = "", normal: str = "", bars: bool = False
) -> Layout:
    """What a figure of a study shows. metric: the first that is shown unless given. by: the axis
    across; else the last that has numbers, or the first. normal: the series that bars are
    normalised to. Raises InputError for an unknown metric or axis, or too many panels."""
    chosen = results.chosen([metric] if metric else [])[0]
    varied = results.varied
    if by and by not in results.axes:
        raise unknown("axis", by, results.axes)
    numeric = [key for key in varied if _is_numeric(results.axes[key])]
    x = by or (numeric[-1] if numeric and not bars else (varied or [""])[0])
    rest = [key for key in varied if key != x]
    panels = max(rest, key=lambda key: (key == "trace", -rest.index(key))) if rest else ""
    if panels and len(results.axes[panels]) > MOST_PANELS:
        raise InputError(
            f"{len(results.axes[panels])} values of {panels}: expected {MOST_PANELS} panels at "
            "most; choose some with --where"
        )
    lines = bool(x) and _is_numeric(results.axes[x]) and not (bars or normal)
    return Layout(chosen, x, lines, panels, tuple(key for key in rest if key != panels))


def draw(
    results: StudyResults, metric: str = "", by: str = "", normal: str = "", bars: bool = False,
) -> Figure:  # fmt: skip
    """The figure, as `layout` has it. Raises InputError."""
    shown = layout(results, metric, by, normal, bars)
    values = results.axes[shown.panels] if shown.panels else ("",)
    panels = {value: _series(results, shown, value) for value in values}
    panels = {value: of for value, of in panels.items() if of}
    if not panels:
        raise InputError(f"study {results.name}: no number of {shown.metric}")
    if normal:
        panels = {value: _normalised(shown, of, normal, value) for value, of in panels.items()}
    columns = min(len(panels), _across() if shown.lines else _across() // 2)
    rows = -(-len(panels) // columns)
    figure = new_figure(1.2 + 3.4 * columns, 0.9 + 2.6 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    names = list(dict.fromkeys(name for of in panels.values() for name in of))
    for axes, (value, of) in zip(grid.flat, panels.items(), strict=False):
        (_lines if shown.lines else _bars)(axes, of, names, shown, results)
        axes.set_title(value, loc="left", fontsize=9)
        tidy(axes)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(_label(shown.metric) + (f",\nto {normal}" if normal else ""))
    handles, labels = next(iter(grid.flat)).get_legend_handles_labels()
    if len(labels) > 1 or labels[0]:
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(_across(), len(labels)),
            frameon=False, fontsize=8,
        )  # fmt: skip
    wide = look.get().width or figure.get_size_inches()[0]
    caption = fill(_caption(results, shown, panels), int(15 * wide))
    figure.suptitle(caption, x=0.01, ha="left", fontsize=9)
    return figure


def _across() -> int:
    """Panels of lines, or entries of a legend, side by side: fewer in a column of a page."""
    return 2 if 0 < look.get().width < 5 else 4


Points = dict[str, Cell]


def _series(results: StudyResults, shown: Layout, panel: str) -> dict[str, Points]:
    """Numbers by series and by the value across, of one panel."""
    keys = [key for key in (shown.x, shown.panels, *shown.others) if key]
    found: dict[str, Points] = {}
    for at, of in results.cells([shown.metric], keys).items():
        named = dict(zip(keys, at, strict=True))
        if shown.panels and named[shown.panels] != panel:
            continue
        for series, cell in of.items():
            name = ", ".join(filter(None, (series.subject, *(named[key] for key in shown.others))))
            found.setdefault(name, {})[named.get(shown.x, "")] = cell
    return found


def _normalised(
    shown: Layout, series: dict[str, Points], normal: str, panel: str
) -> dict[str, Points]:
    """Numbers as multiples of those of one technique (or VM) with the same other values."""
    subjects = {name.partition(", ")[0] if shown.others else name for name in series}
    if normal not in subjects:
        raise unknown("series", normal, subjects)
    found = {}
    for name, points in series.items():
        others = name.partition(", ")[2] if shown.others else ""
        base = series[", ".join(filter(None, (normal, others)))]
        found[name] = {
            at: _over(cell, base[at], f"{panel} {at} {normal}")
            for at, cell in points.items() if at in base
        }  # fmt: skip
    return found


def _over(cell: Cell, base: Cell, what: str) -> Cell:
    if not base.value:
        raise InputError(f"{what}: is 0; expected a number to divide by")
    low, value, high, least, most = (number / base.value for number in cell[:5])
    return Cell(low, value, high, least, most, cell.seeds)


def _lines(
    axes: Any, series: Mapping[str, Points], names: Sequence[str], shown: Layout,
    results: StudyResults,
) -> None:  # fmt: skip
    ticks = results.axes[shown.x]
    for name, points in series.items():
        at = names.index(name)
        found = sorted((_number(value), cell) for value, cell in points.items())
        axes.errorbar(
            [x for x, _ in found], [cell.value for _, cell in found],
            yerr=_whiskers([cell for _, cell in found]), label=name,
            color=SERIES[at % len(SERIES)], marker=MARKERS[at % len(MARKERS)],
            markersize=4.5, markerfacecolor="none", linewidth=1.3, elinewidth=0.7, capsize=2,
        )  # fmt: skip
    numbers = sorted(map(_number, ticks))
    if _is_geometric(numbers):
        axes.set_xscale("log", base=2)
    if len(ticks) <= 8:
        axes.set_xticks(list(map(_number, ticks)), ticks)
        axes.minorticks_off()
    axes.set_xlabel(shown.x)
    axes.set_ylim(bottom=0)


def _bars(
    axes: Any, series: Mapping[str, Points], names: Sequence[str], shown: Layout,
    results: StudyResults,
) -> None:  # fmt: skip
    groups = list(results.axes[shown.x]) if shown.x else [""]
    means = len(groups) > 1 and all(c.value > 0 for of in series.values() for c in of.values())
    width = 0.8 / len(names)
    for name, points in series.items():
        at = names.index(name)
        cells = dict(points)
        if means:
            cells[_MEAN] = _geometric(list(points.values()))
        places = [[*groups, _MEAN].index(value) + (at + 0.5) * width - 0.4 for value in cells]
        axes.bar(
            places, [cell.value for cell in cells.values()], width,
            yerr=_whiskers(list(cells.values())), label=name, color=SERIES[at % len(SERIES)],
            error_kw={"elinewidth": 0.8, "capsize": 2, "ecolor": "#222222"},
        )  # fmt: skip
    labels = [*groups, _MEAN] if means else groups
    longest = max(map(len, labels), default=0)
    turned = {"rotation": 30, "ha": "right"} if longest * len(labels) > 36 else {}
    axes.set_xticks(range(len(labels)), labels, **turned)
    axes.set_xlabel(shown.x)


def _whiskers(cells: Sequence[Cell]) -> list[list[float]] | None:
    """How far they go down and up: over seeds, or else over the costs; None for neither."""
    ends = [_ends(cell) for cell in cells]
    if all(low == high for low, high in ends):
        return None
    return [
        [cell.value - low for cell, (low, _) in zip(cells, ends, strict=True)],
        [high - cell.value for cell, (_, high) in zip(cells, ends, strict=True)],
    ]


def _ends(cell: Cell) -> tuple[float, float]:
    return (cell.least, cell.most) if cell.seeds > 1 else (cell.low, cell.high)


def _geometric(cells: Sequence[Cell]) -> Cell:
    """The geometric mean, which has no range: those of its parts do not come together."""
    mean = exp(fsum(log(cell.value) for cell in cells) / len(cells))
    return Cell(mean, mean, mean, mean, mean, 1)


def _caption(results: StudyResults, shown: Layout, panels: Mapping[str, Any]) -> str:
    cells = [c for of in panels.values() for points in of.values() for c in points.values()]
    fixed = [f"{key} {of[0]}" for key, of in results.axes.items() if len(of) == 1]
    seeds = max(cell.seeds for cell in cells)
    if seeds > 1:
        fixed.append(f"means of {seeds} seeds, whiskers: least to most")
    elif any(cell.low != cell.high for cell in cells):
        fixed.append("whiskers: costs low to high")
    same = "all panels in one scale" if len(panels) > 1 else ""
    return "; ".join([f"{results.name}: {_label(shown.metric)}", *fixed, *filter(None, [same])])


def _label(metric: str) -> str:
    return metric.replace("_", " ")


def _is_numeric(values: Sequence[str]) -> bool:
    return len(values) >= LINES_FROM and all(map(_NUMBER.fullmatch, values))


def _number(text: str) -> float:
    return float(parse_bytes(text)) if text[-1:].isalpha() else float(text)


def _is_geometric(numbers: Sequence[float]) -> bool:
    if len(numbers) < 3 or numbers[0] <= 0:
        return False
    steps = [b / a for a, b in zip(numbers, numbers[1:], strict=False)]
    return all(isclose(step, steps[0], rel_tol=0.01) for step in steps) and steps[0] > 1.01


def write(results: StudyResults, path: str | Path, **how: Any) -> None:
    """Draws a study into a .svg, .png or .pdf file. how: as for `draw`."""
    save(draw(results, **how), path)
