"""Miss ratios of every geometry as a table: a row a number of sets, a column a number of ways."""

from __future__ import annotations

from mmulab.workloads.analysis.geometries import Geometries, SizeGeometries


def table(measured: Geometries) -> str:
    """A table for each page size: misses a look-up, in percent of pages touched."""
    l1 = measured.l1
    front = f" behind an L1 of {l1.sets} sets x {l1.ways} ways" if l1 else ""
    lines = [f"{measured.trace}: {measured.accesses:,} accesses; LRU{front}, misses a page touched"]
    if measured.ignored:
        counts = ", ".join(f"{count:,} {name}" for name, count in measured.ignored.items())
        lines.append(f"ignored, though they take translations away: {counts}")
    for each in measured.sizes:
        lines += ["", *_of_size(each, measured)]
    return "\n".join(lines)


def columns(ways: int) -> list[int]:
    """Numbers of ways that have room in a table: powers of two, and the last."""
    found = [1 << n for n in range(ways.bit_length())]
    return found if found[-1] == ways else [*found, ways]


def _of_size(each: SizeGeometries, measured: Geometries) -> list[str]:
    shown = columns(measured.ways)
    table = each.table()
    head = f"{each.page_size + ' pages, sets':>20}" + "".join(f"{f'{n} ways':>13}" for n in shown)
    rows = []
    for level, sets in enumerate(measured.sets):
        ratios = (100 * table[level, ways - 1] / each.touches for ways in shown)
        rows.append(f"{sets:>20,}" + "".join(f"{ratio:>11.4f} %" for ratio in ratios))
    return [head, *rows]
