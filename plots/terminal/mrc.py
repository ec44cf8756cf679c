"""Miss ratios as a table: a row a number of entries, a column a page size."""

from __future__ import annotations

from collections.abc import Sequence

from mmulab.workloads.analysis.miss_ratio import HIT_RATIOS, MissRatios


def table(measured: MissRatios, sizes: Sequence[int] | None = None) -> str:
    """Miss ratio by entries, a column a page size; then the entries that hit ratios need."""
    entries = list(sizes or measured.sizes())
    names = [curve.page_size for curve in measured.curves]
    rate = measured.curves[0].rate
    sampled = f", {100 * rate:g} % of the pages sampled" if rate < 1 else ""
    lines = [
        f"{measured.trace}: {measured.accesses:,} accesses; fully associative LRU{sampled}",
        "",
        f"{'entries':>20}" + "".join(f"{name:>12}" for name in names),
    ]
    ratios = [curve.miss_ratio(entries) for curve in measured.curves]
    for row, count in enumerate(entries):
        cells = "".join(f"{100 * ratio[row]:>10.4f} %" for ratio in ratios)
        lines.append(f"{count:>20,}{cells}")
    lines.append("")
    for hit_ratio in HIT_RATIOS:
        needed = [curve.entries_for(hit_ratio) for curve in measured.curves]
        cells = "".join(f"{n:>12,}" if n else f"{'never':>12}" for n in needed)
        lines.append(f"{f'for {100 * hit_ratio:g} % hits':>20}{cells}")
    cold = "".join(f"{round(curve.cold):>12,}" for curve in measured.curves)
    return "\n".join([*lines, f"{'first touches':>20}{cold}"])
