"""What a study found, as a table: a row for each set of values, a column for each series."""

from __future__ import annotations

from collections.abc import Sequence

from mmulab.mmu.report.study_results import Cell, Series, StudyResults

#: Failures that are shown.
MOST = 5


def table(results: StudyResults, metrics: Sequence[str] = ()) -> str:
    """The metrics, those that `StudyResults.chosen` gives, by what was varied. Over seeds, the
    mean, and half of what lies between the least and the most."""
    chosen = results.chosen(metrics)
    header, lines = cells(results, chosen)
    names = results.varied
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    rows = []
    for line in [header, *lines]:
        padded = [
            cell.ljust(width) if at < len(names) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        rows.append("  ".join(padded).rstrip())
    return "\n".join([heading(results, chosen), "", *rows, *_failures(results)])


def cells(results: StudyResults, metrics: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """(head, rows): what was varied, then the numbers of these metrics."""
    series, found = results.table(metrics)
    head = [*results.varied, *(_title(one, metrics) for one in series)]
    rows = [[*at, *(_number(of.get(one)) for one in series)] for at, of in found.items()]
    return head, rows


def heading(results: StudyResults, metrics: Sequence[str]) -> str:
    """What the table is of, and over what."""
    seeds = len(results.axes.get("seed", ()))
    over = f"; means of {seeds} seeds, ± half of their range" if seeds > 1 else ""
    what = metrics[0] if len(metrics) == 1 else f"{len(metrics)} metrics"
    fixed = [f"{key} {values[0]}" for key, values in results.axes.items() if len(values) == 1]
    of = f", {', '.join(fixed)}" if fixed else ""
    return f"{results.name}: {what} of {len(results.runs):,} runs{of}{over}"


def failures(results: StudyResults) -> list[str]:
    """Runs that failed, and why: the first of them, a line each."""
    found = results.failures
    lines = []
    for run, why in list(found.items())[:MOST]:
        axes = " ".join(f"{key}={value}" for key, value in results.runs[run].items())
        lines.append(f"  {axes or run}: {why}")
    if len(found) > MOST:
        lines.append(f"  and {len(found) - MOST:,} more")
    return lines


def _failures(results: StudyResults) -> list[str]:
    lines = []
    if results.failures:
        lines += ["", f"{len(results.failures):,} runs failed:", *failures(results)]
    if results.missing:
        lines += ["", f"{results.missing:,} runs are missing"]
    return lines


def _title(one: Series, metrics: Sequence[str]) -> str:
    named = [one.subject] if one.subject else []
    return " ".join(named + [one.metric] * (len(metrics) > 1 or not named))


def _number(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return _short(cell.value) + (f" ±{_short(cell.half)}" if cell.seeds > 1 else "")


def _short(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.3f}" if abs(value) >= 0.01 else f"{value:.3g}"
