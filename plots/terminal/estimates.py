"""Estimates from a sample of a trace as a table, each with half of its interval."""

from __future__ import annotations

from mmulab.mmu.sampling.results import Estimates, TechniqueEstimate
from mmulab.mmu.sampling.statistics import Estimate
from mmulab.plots.terminal.compare import machine


def table(estimates: Estimates) -> str:
    """A row a technique, and what to know of it."""
    warm = f" after {estimates.warmup:,} of warm-up" if estimates.warmup else ""
    units = sum(estimates.population)
    lines = [
        f"{estimates.trace}: {estimates.accesses:,} accesses{warm}; {machine(estimates)}",
        f"estimated ({estimates.intervals}) from {estimates.units:,} of {units:,} units of "
        f"{estimates.unit:,} accesses, with intervals of 95 %",
        "",
    ]
    rows = [_HEAD, _BELOW, *(_row(each) for each in estimates.results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        line = "".join(f"  {cell:>{wide}}" for cell, wide in zip(cells, widths[1:], strict=True))
        lines.append(f"{name:<{widths[0]}}{line}".rstrip())
    return "\n".join([*lines, *(f"warning: {each}" for each in estimates.warnings)])


_HEAD = ["", "cycles", "times", "costs", "L2 TLB misses", "references", "guest faults", "exits"]
_BELOW = ["", "an access", "the first", "low to high", "", "a walk", "in 1,000", "in 1,000"]


def _row(result: TechniqueEstimate) -> list[str]:
    metrics = result.metrics
    accesses = metrics["counts.accesses"].value
    return [
        result.technique,
        with_margin(result.cycles_per_access),
        with_margin(result.times),
        f"{result.costs.low:.3g} to {result.costs.high:.3g}",
        with_margin(metrics["l2_tlb_miss_ratio"], 100) + " %",
        with_margin(metrics["references_per_walk"]),
        with_margin(metrics["counts.guest_faults"], 1000 / accesses),
        with_margin(metrics["total_exits"], 1000 / accesses),
    ]


def with_margin(estimate: Estimate, scale: float = 1.0) -> str:
    """A number with half of its interval, both to the second digit of that."""
    value = scale * estimate.value
    if estimate.margin is None:
        return f"{value:.3g}"
    margin = scale * estimate.margin
    digits = 0
    while margin and margin * 10**digits < 9.5 and digits < 6:
        digits += 1
    return f"{value:.{digits or 3}f} ± {margin:.{digits}f}" if margin else f"{value:.3g}"
