"""Comparisons of techniques as tables: a column for each, or a row where there are too many."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest

from mmulab.mmu.report.cost import NOTHING
from mmulab.mmu.report.results import Comparison, TechniqueResult
from mmulab.plots.terminal.compare import LABELS, bars, in_lines, title
from mmulab.plots.terminal.verdict import sentences

#: Techniques up to which each has a column.
MOST_COLUMNS = 6

#: Of a row: its head in two lines, and its cell for a technique, of which the other is the first.
Column = tuple[str, str, Callable[[TechniqueResult, TechniqueResult], str]]


def table(comparison: Comparison) -> str:
    """A comparison as a table, a bar for each technique below it, and what to know of it."""
    is_narrow = len(comparison.results) <= MOST_COLUMNS
    lines = [title(comparison), "", *(_by_column if is_narrow else _by_row)(comparison), ""]
    lines += [bars(comparison), *sentences(comparison)]
    return "\n".join([*lines, *(f"warning: {each}" for each in comparison.warnings)])


def by_column(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """All that is counted: what a row is of, indented below a heading, and a cell a technique."""
    return [(label, [cell(r) for r in comparison.results]) for label, cell in _rows(comparison)]


def by_row(comparison: Comparison) -> list[list[str]]:
    """The sums of what is counted, a row a technique; as of HEADS."""
    first = comparison.results[0]
    return [
        [result.technique, *(cell(result, first) for _, _, cell in _COLUMNS)]
        for result in comparison.results
    ]


def _by_column(comparison: Comparison) -> list[str]:
    """A column a technique, all that is counted."""
    names = [result.technique for result in comparison.results]
    rows = by_column(comparison)
    width = max(len(label) for label, _ in rows)
    widest = max(12, *(len(cell) + 2 for _, cells in rows for cell in cells))
    heads = [in_lines(name) for name in names]
    columns = [max(widest, *(len(line) + 2 for line in head)) for head in heads]
    rows = [("", list(line)) for line in zip_longest(*heads, fillvalue="")] + rows
    lines = []
    for label, cells in rows:
        line = "".join(f"{cell:>{wide}}" for cell, wide in zip(cells, columns, strict=True))
        lines.append(f"{label:<{width}}{line}".rstrip())
    return lines


_COLUMNS: tuple[Column, ...] = (
    ("cycles", "an access", lambda r, _: f"{r.cycles_per_access:.3f}"),
    ("low to high", "", lambda r, _: _range(r)),
    ("times", "the first", lambda r, first: f"{r.cycles_per_access / first.cycles_per_access:.2f}"),
    ("translation", "", lambda r, _: f"{r.translation_percent:.1f} %"),
    ("first", "touches", lambda r, _: f"{r.first_touch_percent:.1f} %"),
    ("L2 TLB", "misses", lambda r, _: _percent(r.counts["l2_tlb_misses"], _lookups(r))),
    ("references", "a walk", lambda r, _: f"{r.references_per_walk:.2f}"),
    ("exits", "in 1,000", lambda r, _: f"{1000 * r.total_exits / r.counts['accesses']:.3g}"),
)

#: What the cells of `by_row` are.
HEADS = ("technique", *(f"{head} {below}".rstrip() for head, below, _ in _COLUMNS))


def _by_row(comparison: Comparison) -> list[str]:
    """A row a technique, the sums of what is counted."""
    rows: list[list[str]] = [
        ["", *(head for head, _, _ in _COLUMNS)], ["", *(below for _, below, _ in _COLUMNS)]
    ]  # fmt: skip
    rows += by_row(comparison)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        line = "".join(f"  {cell:>{wide}}" for cell, wide in zip(cells, widths[1:], strict=True))
        lines.append(f"{name:<{widths[0]}}{line}".rstrip())
    return lines


Row = tuple[str, Callable[[TechniqueResult], str]]


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3f} %" if whole else "-"


def _lookups(result: TechniqueResult) -> int:
    """Look-ups of pages, of which misses are a part."""
    return int(result.counts["accesses"] + result.counts["straddles"])


def _rows(comparison: Comparison) -> list[Row]:
    def per_access(category: str) -> Callable[[TechniqueResult], str]:
        return lambda r: f"{_likely(r, category) / comparison.accesses:.3f}"

    def exits(reason: str) -> Callable[[TechniqueResult], str]:
        return lambda r: f"{r.exits.get(reason, 0):,}"

    rows: list[Row] = [
        ("cycles per access", lambda r: f"{r.cycles_per_access:.3f}"),
        ("  with costs low to high", _range),
        ("time in translation", lambda r: f"{r.translation_percent:.1f} %"),
        ("first touches of memory", lambda r: f"{r.first_touch_percent:.1f} %"),
        ("", lambda r: ""),
        ("L1 TLB misses", lambda r: _percent(r.counts["l1_tlb_misses"], _lookups(r))),
        ("L2 TLB misses", lambda r: _percent(r.counts["l2_tlb_misses"], _lookups(r))),
        ("page walks", lambda r: f"{r.counts['walks']:,}"),
        ("references per walk", lambda r: f"{r.references_per_walk:.2f}"),
        ("  cycles waited for", _waited),
        ("guest page faults", lambda r: f"{r.counts['guest_faults']:,}"),
        ("guest PTE writes", lambda r: f"{r.counts['pte_writes']:,}"),
        ("VM exits", lambda r: f"{r.total_exits:,}"),
    ]
    for reason, label in _exit_labels(comparison).items():
        if any(result.exits.get(reason) for result in comparison.results):
            rows.append((f"  {label}", exits(reason)))
    rows += [("", lambda r: ""), ("cycles per access in", lambda r: "")]
    for category, label in LABELS.items():
        if any(_likely(result, category) for result in comparison.results):
            rows.append((f"  {label}", per_access(category)))
    return rows + (_of_cores() if comparison.results[0].cores else [])


def _likely(result: TechniqueResult, category: str) -> float:
    """Likely cycles of a category, 0 where it is of several cores and there is one."""
    return result.cycles.get(category, NOTHING).likely


def _of_cores() -> list[Row]:
    """What several cores did."""

    def told(name: str) -> Callable[[TechniqueResult], str]:
        return lambda r: f"{r.shootdowns[name]:,}"

    return [
        ("", lambda r: ""),
        ("cores", lambda r: f"{sum(core.accesses > 0 for core in r.cores)} of {len(r.cores)} ran"),
        ("  cycles of the slowest", lambda r: f"{r.slowest.cycles.likely:.4g}"),
        ("shootdowns", told("shootdowns")),
        ("  IPIs sent", told("ipis_sent")),
        ("  IPIs a lazy TLB saved", told("ipis_skipped")),
        ("flushes by the VMM elsewhere", told("remote_flushes")),
        ("  cores kicked", told("kicks_sent")),
    ]


def _range(result: TechniqueResult) -> str:
    """Cycles an access with every cost at its lowest, and at its highest."""
    low, _, high = result.range_per_access
    return f"{low:.3g} to {high:.3g}"


def _waited(result: TechniqueResult) -> str:
    """Of cycles of walks, the part that overlap does not hide."""
    return f"{100 * result.overlap.of('walks').likely:.0f} %"


def _exit_labels(comparison: Comparison) -> dict[str, str]:
    """What each exit reason is called; those of techniques with few of them first."""
    labels: dict[str, str] = {}
    for result in sorted(comparison.results, key=lambda result: len(result.labels)):
        labels |= {reason: text for reason, text in result.labels.items() if reason not in labels}
    return labels
