"""What a scenario saves and costs as one setting changes, as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mmulab.mmu.scenario.results import RunResult
from mmulab.plots.terminal.scenario import mib

#: value of the setting -> its runs, a variant each.
Sweep = Mapping[str, Sequence[RunResult]]


def saved(run: RunResult) -> float:
    """Host memory that a run saves, MiB: by merging, in balloons, by paging out; means."""
    frames = run.mean(run.saved)
    for name in ("balloon", "paged_out"):
        frames += sum(run.mean(vm.series[name]) for vm in run.vms)
    return frames / 256


def cost(run: RunResult) -> float:
    """Mean slowdown of the VMs; NaN where there is no baseline."""
    return sum(run.slowdowns) / len(run.slowdowns) if run.slowdowns else float("nan")


def _ratio(value: float) -> str:
    """A dash where there is no baseline."""
    return f"{value:.3f}" if value == value else "-"


def table(key: str, sweep: Sweep) -> str:
    """A row for each value and variant."""
    columns: list[tuple[str, Callable[[RunResult], str]]] = [
        ("slowdown", lambda run: _ratio(cost(run))),
        ("worst", lambda run: _ratio(max(run.slowdowns, default=float("nan")))),
        ("pages moved", lambda run: f"{run.blocks_moved:,}"),
        ("double faults", lambda run: f"{run.total('double_faults'):,}"),
        ("copies", lambda run: f"{run.total('host_copies'):,}"),
        ("merged, MiB", lambda run: mib(run.mean(run.saved))),
        ("saved, MiB", lambda run: f"{saved(run):,.1f}"),
        ("end", lambda run: run.end),
    ]
    width = max(len(key), *map(len, sweep)) + 2
    lines = [f"{key:<{width}}{'variant':<12}" + "".join(f"{name:>15}" for name, _ in columns)]
    for value, runs in sweep.items():
        for run in runs:
            cells = "".join(f"{cell(run):>15}" for _, cell in columns)
            lines.append(f"{value:<{width}}{run.variant:<12}{cells}")
    return "\n".join(lines)
