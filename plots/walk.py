"""The 2-D page walk as a grid: guest levels across, nested levels down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.mmu.by_hand.walkthrough import ENTRY_NAMES, Reference, Walk
from mmulab.plots.figures import COLOURS, new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL = 0.86


def _column(reference: Reference, levels: int) -> int:
    """Guest levels from the top down, then the page itself."""
    return levels - reference.guest_level if reference.guest_level else levels


def draw(walks: Sequence[Walk]) -> Figure:
    """One grid a technique; each cell is a reference, numbered in the order of the walk."""
    heights = [0.75 + 0.55 * _rows(walk) for walk in walks]
    figure = new_figure(7.5, sum(heights))
    axes = figure.subplots(len(walks), 1, squeeze=False, height_ratios=heights)
    for walk, (one,) in zip(walks, axes, strict=True):
        _grid(one, walk)
    return figure


def _rows(walk: Walk) -> int:
    nested = any(reference.is_nested for reference in walk.references)
    return walk.host_levels + 1 if nested else 1


def _grid(axes: Any, walk: Walk) -> None:
    nested = _rows(walk) > 1
    bottom = _rows(walk) - 1
    cells: dict[tuple[int, int], list[tuple[int, Reference]]] = {}
    for number, step in enumerate(walk.steps, start=1):
        for reference in step:
            y = walk.host_levels - reference.host_level if reference.is_nested else bottom
            cells.setdefault((_column(reference, walk.levels), y), []).append((number, reference))
    for place, there in cells.items():
        _fill(axes, place, there)
    own = [each for step in walk.steps for each in step if not each.is_nested]
    kind = next((each.table for each in own if each.is_of_table), own[0].table)
    columns = [f"{kind[0]}{ENTRY_NAMES[level]}" for level in range(walk.levels, 0, -1)]
    columns += ["page"] if nested else []
    rows = [f"n{ENTRY_NAMES[level]}" for level in range(walk.host_levels, 0, -1)]
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(_rows(walk)), [*rows, kind] if nested else [kind])
    axes.set_xlim(-0.6, walk.levels + 0.6)
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


def _box(x: float, y: float, colour: str, width: float) -> Any:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch(
        (x - width / 2, y - _CELL / 2),
        width,
        _CELL,
        boxstyle=f"round,pad=0,rounding_size={min(0.12, width / 3):.3g}",
        color=colour,
    )


def write(walks: Sequence[Walk], path: str | Path) -> None:
    """Draws walks into a .svg, .png or .pdf file."""
    save(draw(walks), path)
