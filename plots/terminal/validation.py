"""A validation as a table: predicted against measured, and hardware's counts against simulated."""

from __future__ import annotations

from collections.abc import Sequence

from mmulab.workloads.probes.counters import Row
from mmulab.workloads.probes.validation import Validation


def table(result: Validation) -> str:
    """A row a point: ns an access, measured and predicted, and the error."""
    techniques = result.techniques
    width = max(10, *(len(each) + 2 for each in techniques))
    lines = [
        f"{result.facts.model}; preset {result.preset}, {result.clock_ghz:g} GHz; "
        "ns an access, range in brackets",
        "",
        f"{'':<34}{'pages':>6}{'measured':>10}"
        + "".join(f"{each:>{width}}" for each in techniques)
        + f"{'error':>8}",
    ]
    for point in result.points:
        cells = "".join(f"{point.predicted[each][1]:>{width}.2f}" for each in techniques)
        low, _, high = point.predicted[result.technique]
        lines.append(
            f"{point.workload:<34}{point.page_size:>6}{point.measured.value:>10.2f}{cells}"
            f"{100 * point.error(result.technique):>6.0f} %  [{low:.2f}, {high:.2f}]"
        )
    lines.append("")
    for each in techniques:
        lines.append(f"median error, {each}: {100 * result.median_error(each):.0f} %")
    inside = sum(point.holds(result.technique) for point in result.points)
    lines.append(
        f"nearest: {result.technique}; rank correlation {result.rank_correlation:.2f}; "
        f"{inside} of {len(result.points)} within the predicted range"
    )
    for name, (predicted, measured) in result.kernel.items():
        lines.append(f"{name}: {measured.value:,.0f} ns a page, predicted {predicted:,.0f}")
    if result.facts.virtual:
        lines.append(
            f"A virtual machine ({result.facts.virtual}): the kernel's events contain VM exits "
            "and are not compared."
        )
    return "\n".join([*lines, *(f"Not run: {problem}." for problem in result.problems)])


def counters(rows: Sequence[Row]) -> str:
    """A row a quantity: hardware's count, each technique's, and their quotient."""
    techniques = list(rows[0].simulated)
    lines = [f"{'':<42}{'hardware':>16}" + "".join(f"{each:>24}" for each in techniques)]
    for row in rows:
        counted = "not counted" if row.hardware is None else f"{row.hardware:,.0f}"
        cells = ""
        for each in techniques:
            value = row.simulated[each]
            times = f" ({value / row.hardware:.2f})" if row.hardware else ""
            cells += f"{f'{value:,.0f}{times}':>24}"
        lines.append(f"{row.label:<42}{counted:>16}{cells}")
    lines.append("")
    return "\n".join([*lines, *(f"{row.label}: {' + '.join(row.events)}" for row in rows)])
