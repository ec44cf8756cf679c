"""Figures of scenarios: memory and paging over time, and what each mechanism costs each VM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mmulab.mmu.scenario.results import RunResult, VMResult
from mmulab.plots import lives
from mmulab.plots.figures import new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours of memory by kind (Okabe and Ito's palette, as in plots.figures).
MEMORY = {
    "private": ("#0072b2", "private"),
    "merged": ("#009e73", "merged"),
    "page_tables": ("#cc79a7", "nPT, sPT"),
    "balloon": ("#f0e442", "balloon"),
    "paged_out": ("#d55e00", "paged out by the host"),
    "free": ("#eeeeee", "free"),
}
PAGING = {
    "host_swap_ins": ("#d55e00", "-", "host, in"),
    "host_swap_outs": ("#d55e00", ":", "host, out"),
    "guest_swap_ins": ("#56b4e9", "-", "guests, in"),
    "guest_swap_outs": ("#56b4e9", ":", "guests, out"),
}
#: Of variants, none of them a colour above: Paul Tol's muted palette (SRON/EPS/TN/09-002).
VARIANTS = ("#999999", "#332288", "#882255", "#ddcc77", "#117733", "#88ccee", "#aa4499", "#44aa99")
MOST_PANELS = 6  # VMs with a panel of their own; more are drawn as one

_FRAMES_PER_MIB = 256


def draw(runs: Sequence[RunResult]) -> Figure:
    """One run: a migration over time, the memory of many clones, or its VMs' memory and its paging
    over time. Several variants: the host's memory
    over time under each, slowdowns by VM, and pages moved."""
    if len(runs) > 1:
        return _draw_variants(runs)
    if lives.has_rounds(runs[0]):
        return lives.draw_migration(runs[0])
    return lives.draw_clones(runs[0]) if lives.has_clones(runs[0]) else _draw_run(runs[0])


def _draw_run(run: RunResult) -> Figure:
    alone = len(run.vms) <= MOST_PANELS
    panels = len(run.vms) if alone else 1
    figure = new_figure(8.0, 1.6 + 1.4 * (panels + 1))
    axes = figure.subplots(panels + 1, 1, sharex=True)
    if alone:
        for vm, axis in zip(run.vms, axes, strict=False):
            _memory(axis, run.seconds, vm.series, ("private", "merged", "balloon", "paged_out"))
            axis.set_title(f"{vm.name} ({vm.technique})", fontsize=9, loc="left")
    else:
        _memory(axes[0], run.seconds, _all_vms(run), ("private", "merged", "balloon", "paged_out"))
        axes[0].set_title(f"{len(run.vms)} VMs", fontsize=9, loc="left")
    _paging(axes[-1], run)
    axes[-1].set_xlabel("simulated seconds")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=4, fontsize=8,
        frameon=False,
    )  # fmt: skip
    figure.suptitle(f"{run.scenario}, {run.variant}", fontsize=10, x=0.01, ha="left")
    return figure


def _all_vms(run: RunResult) -> dict[str, np.ndarray]:
    return {name: np.sum([vm.series[name] for vm in run.vms], axis=0) for name in run.vms[0].series}


def _memory(axis: Any, seconds: np.ndarray, series: dict[str, np.ndarray], kinds: Any) -> None:
    """Stacked areas of frames, in MiB, by what became of them."""
    axis.stackplot(
        seconds,
        *(series[kind] / _FRAMES_PER_MIB for kind in kinds),
        colors=[MEMORY[kind][0] for kind in kinds],
        labels=[MEMORY[kind][1] for kind in kinds],
        linewidth=0,
    )
    axis.set_ylabel("MiB", fontsize=8)
    axis.margins(x=0, y=0.05)
    _tidy(axis)


def _paging(axis: Any, run: RunResult) -> None:
    """Pages moved so far, the host's and the guests'."""
    series = _all_vms(run)
    for name, (colour, style, label) in PAGING.items():
        if series[name].any():
            axis.plot(run.seconds, series[name], style, color=colour, label=label, linewidth=1.2)
    axis.set_title("pages moved so far", fontsize=9, loc="left")
    axis.set_ylabel("pages of 4 KiB", fontsize=8)
    axis.yaxis.set_major_formatter(thousands)
    axis.margins(x=0)
    axis.set_ylim(bottom=0)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8, frameon=False, ncols=4)
    _tidy(axis)


def _draw_variants(runs: Sequence[RunResult]) -> Figure:
    columns = min(4, len(runs))
    rows = -(-len(runs) // columns)
    figure = new_figure(2.6 * columns, 1.0 + 1.9 * rows + 3.0)
    above, below = cast(Any, figure.subfigures(2, 1, height_ratios=[1.9 * rows + 0.4, 3.0]))
    axes = above.subplots(rows, columns, squeeze=False, sharey=True)
    kinds = ("guest_private", "merged", "page_tables", "free")
    names = dict(zip(kinds, ("private", "merged", "page_tables", "free"), strict=True))
    for run, axis in zip(runs, axes.flat, strict=False):
        series = {names[kind]: run.host[kind] for kind in kinds}
        _memory(axis, run.seconds, series, tuple(names.values()))
        _of_guests(axis, run)
        end = "" if run.end == "finished" else f": {run.end}"
        axis.set_title(f"{run.variant}{end}", fontsize=9, loc="left")
        axis.set_ylabel("")
    for axis in axes.flat[len(runs) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel("host MiB", fontsize=8)
    above.supxlabel("simulated seconds", fontsize=8)
    above.legend(
        *axes[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=6, fontsize=8,
        frameon=False,
    )  # fmt: skip
    slowdown, moved = below.subplots(1, 2, width_ratios=[3, 2])
    _slowdowns(slowdown, runs)
    _moved(moved, runs)
    figure.suptitle(runs[0].scenario, fontsize=10, x=0.01, ha="left")
    return figure


def _of_guests(axis: Any, run: RunResult) -> None:
    """Guests' memory that is not on the host, as lines: in balloons, and paged out by the host."""
    series = _all_vms(run)
    for kind, style, label in (
        ("balloon", "-", "in guests' balloons"), ("paged_out", "--", "paged out by the host")
    ):  # fmt: skip
        axis.plot(
            run.seconds, series[kind] / _FRAMES_PER_MIB, style, color=MEMORY[kind][0], label=label,
            linewidth=1.4,
        )  # fmt: skip


def _slowdowns(axis: Any, runs: Sequence[RunResult]) -> None:
    """A group of bars for each VM, a bar for each variant but the baseline."""
    shown = [(run, VARIANTS[i % len(VARIANTS)]) for i, run in enumerate(runs) if i]
    labels, rows = _groups(runs)
    width = 0.8 / max(1, len(shown))
    for position, (run, colour) in enumerate(shown):
        heights = [_mean_slowdown([run.vms[i] for i in members]) for members in rows]
        at = np.arange(len(rows)) + (position + 0.5) * width - 0.4
        axis.bar(at, heights, width, color=colour, label=run.variant)
    axis.axhline(1, color="#444444", linewidth=0.8)
    axis.set_xticks(range(len(rows)), labels, fontsize=8)
    if any(max(run.slowdowns, default=1) > 20 for run, _ in shown):
        axis.set_yscale("log")
    axis.set_title("slowdown against ample memory", fontsize=9, loc="left")
    axis.set_ylabel("times as long an access", fontsize=8)
    axis.legend(fontsize=7, frameon=False, ncols=8, loc="upper left", bbox_to_anchor=(0, -0.08))
    _tidy(axis)


def _groups(runs: Sequence[RunResult]) -> tuple[list[str], list[list[int]]]:
    """VMs to draw: each alone, or, where there are many, those of one [[vm]] table as one."""
    names = [vm.name for vm in runs[0].vms]
    if len(names) <= MOST_PANELS:
        return names, [[i] for i in range(len(names))]
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        stem, _, number = name.rpartition("-")
        groups.setdefault(stem if number.isdigit() else name, []).append(i)
    labels = [f"{n} ({len(m)})" if len(m) > 1 else n for n, m in groups.items()]
    return labels, list(groups.values())


def _mean_slowdown(vms: Sequence[VMResult]) -> float:
    known = [vm.slowdown for vm in vms if vm.slowdown is not None]
    return sum(known) / len(known) if known else 0.0


def _moved(axis: Any, runs: Sequence[RunResult]) -> None:
    """Pages that paging moved in all, stacked by who and which way."""
    names = [run.variant for run in runs]
    left = np.zeros(len(runs))
    for name, (colour, style, label) in PAGING.items():
        counts = np.array([run.total(name) for run in runs], np.float64)
        if counts.any():
            hatch = "" if style == "-" else "////"
            axis.barh(
                names, counts, left=left, color=colour, hatch=hatch, edgecolor="white",
                linewidth=0, label=label, height=0.7,
            )  # fmt: skip
            left += counts
    axis.invert_yaxis()
    axis.set_title("pages moved", fontsize=9, loc="left")
    axis.set_ylabel("variant", fontsize=8)
    axis.set_xlabel("pages of 4 KiB", fontsize=8)
    axis.xaxis.set_major_formatter(thousands)
    axis.set_xlim(0, 1.02 * max(1.0, left.max()))
    if left.any():
        axis.legend(fontsize=7, frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.17))
    _tidy(axis)


def thousands(value: float, _position: int) -> str:
    return f"{value:,.0f}"


def _tidy(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def write(runs: Sequence[RunResult], path: str | Path) -> None:
    """Draws a run, or a scenario's variants, into a .svg, .png or .pdf file."""
    save(draw(runs), path)
