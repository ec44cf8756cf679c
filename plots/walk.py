"""The 2-D page walk as a grid: guest levels across, nested levels down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.mmu.by_hand.walkthrough import ENTRY_NAMES, Reference, Walk
from mmulab.plots.figures import COLOURS, new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL, _HIGH = 0.78, 0.66  # of a place that is 1 x 1

_ARROW = {"arrowstyle": "-|>,head_length=0.3,head_width=0.15", "color": "#444444", "linewidth": 0.9,
          "shrinkA": 0, "shrinkB": 0}  # fmt: skip


def _column(reference: Reference, levels: int) -> int:
    """Guest levels from the top down, then the page itself."""
    return levels - reference.guest_level if reference.guest_level else levels


def draw(walks: Sequence[Walk]) -> Figure:
    """One grid a technique; each cell is a reference, numbered in the order of the walk, which
    arrows follow from the root pointers on."""
    heights = [0.75 + 0.6 * _rows(walk) for walk in walks]
    figure = new_figure(7.5, sum(heights) + 0.4)
    axes = figure.subplots(len(walks), 1, squeeze=False, height_ratios=heights)
    for walk, (one,) in zip(walks, axes, strict=True):
        _grid(one, walk)
    handles = [_patch("guest_walk", "a guest's table, or the only one")]
    if any(reference.is_nested for walk in walks for reference in walk.references):
        handles.append(_patch("nested_walk", "the nested table"))
    figure.legend(
        handles=handles, title="a reference to", title_fontsize=9, loc="outside lower center",
        ncols=2, frameon=False, fontsize=9,
    )  # fmt: skip
    return figure


def _patch(category: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=COLOURS[category], label=label)


def _rows(walk: Walk) -> int:
    nested = any(reference.is_nested for reference in walk.references)
    return walk.host_levels + 1 if nested else 1


def _grid(axes: Any, walk: Walk) -> None:
    nested = _rows(walk) > 1
    bottom = _rows(walk) - 1
    cells: dict[tuple[int, int], list[tuple[int, Reference]]] = {}
    before = _root(axes, nested)
    for number, step in enumerate(walk.steps, start=1):
        for reference in step:
            y = walk.host_levels - reference.host_level if reference.is_nested else bottom
            place = (_column(reference, walk.levels), y)
            cells.setdefault(place, []).append((number, reference))
        if place != before:
            _arrow(axes, before, place)
        before = place
    for place, there in cells.items():
        _fill(axes, place, there)
    of_guest = [one for one in walk.references if not one.is_nested]
    of_tables = [one for one in of_guest if one.is_of_table] or of_guest
    kinds = {one.guest_level: one.table for one in of_tables}
    kind = "/".join(dict.fromkeys(one.table for one in of_tables))
    columns = [
        f"{kinds.get(level, kind)[0]}{ENTRY_NAMES[level]}" for level in range(walk.levels, 0, -1)
    ]
    columns += ["page"] if nested else []
    rows = [f"n{ENTRY_NAMES[level]}" for level in range(walk.host_levels, 0, -1)]
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(_rows(walk)), [*rows, kind] if nested else [kind])
    axes.set_xlim(-1.5, walk.levels + 0.6)
    axes.set_ylim(_rows(walk) - 0.4, -0.6)
    axes.set_title(
        f"{walk.technique}: {len(walk.references)} memory references{_steps(walk)} "
        f"for {walk.gva:#x}",
        fontsize=10,
        loc="left",
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)


def _steps(walk: Walk) -> str:
    """How many steps there are, where references go out together."""
    count = len(walk.steps)
    if count == len(walk.references):
        return ""
    return f" in {count} step{'s' if count != 1 else ''}"


def _fill(axes: Any, place: tuple[int, int], there: Sequence[tuple[int, Reference]]) -> None:
    """The references of a cell, side by side, each with the number of its step."""
    width = _CELL / len(there)
    for at, (number, reference) in enumerate(there):
        x = place[0] + (at - (len(there) - 1) / 2) * width
        colour = COLOURS["nested_walk" if reference.is_nested else "guest_walk"]
        axes.add_patch(_box(x, place[1], colour, width if len(there) == 1 else 0.9 * width))
        colour = "white" if reference.is_nested else "black"
        size = 11 if len(there) == 1 else 7
        axes.annotate(
            f"{number}", (x, place[1]), ha="center", va="center", color=colour, fontsize=size
        )


def _root(axes: Any, nested: bool) -> tuple[float, float]:
    """Where a walk begins: its place."""
    name = "gCR3, EPTP" if nested else "CR3"
    axes.annotate(name, (-1, 0), ha="center", va="center", fontsize=9)
    return (-1, 0)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one reference to the next: down within a column, else through the gap between."""
    (x, y), (to_x, to_y) = start, end
    if x == to_x:
        down = _HIGH / 2 if to_y > y else -_HIGH / 2
        tail, head = (x, y + down), (to_x, to_y - down)
    else:
        turn = to_x - 0.5
        if y != to_y:
            line = [(x + _CELL / 2, y), (turn, y), (turn, to_y)]
            axes.plot(*zip(*line, strict=True), color=_ARROW["color"], linewidth=0.9)
        tail = (turn, to_y) if y != to_y else (x + _CELL / 2, y)
        head = (to_x - _CELL / 2, to_y)
    axes.annotate("", xy=head, xytext=tail, arrowprops=_ARROW)


def _box(x: float, y: float, colour: str, width: float) -> Any:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch(
        (x - width / 2, y - _HIGH / 2),
        width,
        _HIGH,
        boxstyle=f"round,pad=0,rounding_size={min(0.12, width / 3):.3g}",
        color=colour,
    )


def write(walks: Sequence[Walk], path: str | Path) -> None:
    """Draws walks into a .svg, .png or .pdf file."""
    save(draw(walks), path)
