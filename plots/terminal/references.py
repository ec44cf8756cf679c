"""Memory references of page walks by level of guest's and nested table, as a grid."""

from __future__ import annotations

from mmulab.mmu.report.results import Comparison, TechniqueResult

_WIDTH = 9
_OWN = "itself"


def _cells(result: TechniqueResult) -> dict[tuple[str, str], float]:
    """References a walk by (row, column): what is located and the level of the table that is read
    for it, or a table and itself."""
    walks = max(1, result.counts["walks"])
    cells = {}
    for each in result.references:
        what, _, located = each["site"].partition(" of ")
        place = (located.removeprefix("the "), what) if located else (what, _OWN)
        cells[place] = sum(each["served_by"]) / walks
    return cells


def _grid(result: TechniqueResult) -> str:
    cells = _cells(result)
    rows = sorted({row for row, _ in cells if row != "page"}, reverse=True)
    rows += ["page"] * any(row == "page" for row, _ in cells)
    columns = sorted({column for _, column in cells if column != _OWN}, reverse=True)
    columns += [_OWN] * any(column == _OWN for _, column in cells)
    lines = [f"{result.technique}: references a walk, of {result.counts['walks']:,} walks"]
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
    columns the nested tables that a walk reads to locate them, and the guest's own."""
    return "\n\n".join(_grid(result) for result in comparison.results)
