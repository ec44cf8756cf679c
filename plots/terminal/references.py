"""Memory references of page walks by level of guest's and nested table, as a grid: how many a walk
makes, or how many cycles they take."""

from __future__ import annotations

from typing import Any

from mmulab.mmu.hardware.walks.sites import PREFETCH
from mmulab.mmu.report.results import Comparison, TechniqueResult

_WIDTH = 9
_OWN = "itself"

#: A number by (row, column): what is located and the level of the table that is read for it, or a
#: table and itself.
Cells = dict[tuple[str, str], float]


def _place(site: str) -> tuple[str, str]:
    what, _, located = site.partition(" of ")
    return (located.removeprefix("the "), what) if located else (what, _OWN)


def _cells(result: TechniqueResult, ahead: bool, walks: int) -> Cells:
    """References a walk, of prefetches or of the others."""
    return {
        _place(each["site"].removeprefix(f"{PREFETCH} ")): sum(each["served_by"]) / max(1, walks)
        for each in result.references
        if (each["dimension"] == PREFETCH) == ahead
    }


def _grid(head: str, cells: Cells, last: str, downwards: bool) -> str:
    """A table. last: the row that comes after all others. downwards: higher names first."""
    rows = sorted({row for row, _ in cells if row != last}, reverse=downwards)
    rows += [last] * any(row == last for row, _ in cells)
    columns = sorted({column for _, column in cells if column != _OWN}, reverse=downwards)
    columns += [_OWN] * any(column == _OWN for _, column in cells)
    lines = [head]
    width = max([6, *(len(row) + 1 for row in rows)])
    lines.append(f"{'':<{width}}" + "".join(f"{column:>{_WIDTH}}" for column in (*columns, "all")))
    for row in rows:
        numbers = [cells.get((row, column)) for column in columns]
        numbers.append(sum(number or 0 for number in numbers))
        lines.append(f"{row:<{width}}" + "".join(_text(number) for number in numbers))
    totals = [sum(cells.get((row, column), 0) for row in rows) for column in columns]
    totals.append(sum(totals))
    return "\n".join([*lines, f"{'all':<{width}}" + "".join(_text(number) for number in totals)])


def _text(number: float | None) -> str:
    """A dash where a walk never made the reference, which may be since a cache had it."""
    return f"{'-' if number is None else f'{number:.3f}':>{_WIDTH}}"


def grids(comparison: Comparison) -> str:
    """A grid for each technique. Its rows are the guest's tables from the top, and the page; its
    columns the nested tables that a walk reads to locate them, and the guest's own. Walks of TLB
    prefetches have one of their own."""
    shown = []
    for each in comparison.results:
        walks, ahead = each.counts["walks"], each.counts["tlb_prefetches"]
        head = f"{each.technique}: references a walk, of {walks:,} walks"
        shown.append(_grid(head, _cells(each, False, walks), "page", True))
        if ahead:
            head = f"{each.technique}: references a TLB prefetch, of {ahead:,}"
            shown.append(_grid(head, _cells(each, True, ahead), "page", True))
    return "\n\n".join(shown)


def _spent(result: TechniqueResult, cycles: list[float], settings: dict[str, Any]) -> Cells:
    """Cycles a walk."""
    walks = max(1, result.counts["walks"])
    cells: Cells = {}
    for each in result.references:
        if each["dimension"] == PREFETCH:
            continue
        located, read = _place(each["site"])
        row = _numbered("G", located, settings["levels"]) if located != "page" else "UD"
        column = _numbered("H", read, settings["host_levels"]) if read != _OWN else _OWN
        hidden = each.get("hidden", [0] * len(cycles))
        waited = zip(each["served_by"], hidden, cycles, strict=True)
        spent = sum((served - beside) * cost for served, beside, cost in waited)
        cells[row, column] = cells.get((row, column), 0) + spent / walks
    return cells


def _numbered(letter: str, table: str, levels: int) -> str:
    """A table by its number from the root's on: gL4 is G1. What is no level keeps its name."""
    level = table[2:]
    return f"{letter}{levels + 1 - int(level)}" if level.isdigit() else table


def latencies(comparison: Comparison) -> str:
    """A grid of cycles a walk for each technique, likely ones of what serves each reference that
    is not hidden behind others. G1 is the guest's top-level table, H1 the host's, UD the page, as
    in the artifacts of DMT and SagePTE."""
    cycles = [
        cost.value
        for key, cost in comparison.costs.items()
        if key == "memory_latency" or (key.startswith("cache.") and key.endswith(".latency"))
    ]
    return "\n\n".join(
        _grid(
            f"{each.technique}: cycles a walk by reference, of {each.counts['walks']:,} walks",
            _spent(each, cycles, comparison.settings),
            "UD",
            False,
        )
        for each in comparison.results
    )
