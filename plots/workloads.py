"""Generators side by side: reuse, working set and page-table writes of each.

    python -m mmulab.plots.workloads docs/workloads.svg

draws the figure of docs/workloads.md and prints its table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mmulab.mmu import presets, simulate
from mmulab.mmu.config import Config
from mmulab.plots.figures import new_figure, save
from mmulab.plots.terminal.info import size_text
from mmulab.workloads import generators
from mmulab.workloads.analysis.summary import TraceInfo, summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACCESSES = 2_000_000
_COLUMNS = 4


class Measured(NamedTuple):
    """A workload. pte_writes: of the guest kernel, a thousand accesses."""

    name: str
    info: TraceInfo
    pte_writes: float


def measure(specs: Sequence[str]) -> list[Measured]:
    """Sums each generator's trace up and runs it natively, for what the guest OS writes."""
    measured = []
    for spec in specs:
        info = summarise(generators.create(spec))
        comparison = simulate.compare(
            generators.create(spec), presets.load(presets.DEFAULT), Config(), ["native"]
        )
        writes = comparison.results[0].counts["pte_writes"]
        measured.append(Measured(spec.partition(":")[0], info, 1000 * writes / info.accesses))
    return measured


def table(measured: Sequence[Measured]) -> str:
    """A Markdown table, a row a workload."""
    lines = [
        "| generator | pages touched | working set of 33,334 accesses | TLB entries for 99 % hits "
        "| PTE writes a 1,000 accesses |",
        "|---|---|---|---|---|",
    ]
    for name, info, writes in measured:
        pages = info.pages["4k"]
        mean = sum(info.working_set) / len(info.working_set)
        entries = info.entries_for_99["4k"]
        lines.append(
            f"| `{name}` | {pages:,} ({size_text(4096 * pages)}) | {mean:,.0f} pages | "
            f"{f'{entries:,}' if entries else 'never'} | {writes:.2f} |"
        )
    return "\n".join(lines)


def draw(measured: Sequence[Measured]) -> Figure:
    """A panel a workload: touches of 4 KiB pages by stack distance; first touches at the right."""
    rows = -(-len(measured) // _COLUMNS)
    figure = new_figure(2.4 * _COLUMNS, 1.45 * rows)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    longest = max(len(info.reuse) for _, info, _ in measured)
    for each, (name, info, writes) in zip(axes.flat, measured, strict=False):
        touches = sum(info.reuse) + info.first_touches
        shares = [100 * count / touches for count in info.reuse]
        each.bar(range(len(shares)), shares, color="#0072b2", width=0.9)
        each.bar(longest + 1, 100 * info.first_touches / touches, color="#d55e00", width=0.9)
        each.set_title(f"{name}: {writes:.3g} PTE writes", fontsize=8, loc="left")
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=7)
        each.set_yscale("symlog", linthresh=1, linscale=0.5)
        each.set_ylim(0, 100)
        each.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100 %"])
        ticks = range(0, longest, 5)
        each.set_xticks([*ticks, longest + 1], [*(f"{1 << t:,}" for t in ticks), "first"])
    for each in axes.flat[len(measured) :]:
        each.set_visible(False)
    figure.supxlabel("stack distance of 4K pages; first touches", fontsize=8)
    return figure


def main() -> None:
    measured = measure([f"{name}:accesses={ACCESSES}" for name in generators.names()])
    print(table(measured))
    save(draw(measured), sys.argv[1])


if __name__ == "__main__":
    main()
