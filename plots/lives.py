"""Figures of VMs' lives: a migration over time, downtime by dirty rate, the memory of clones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmulab.mmu.host.migration_report import Report
from mmulab.mmu.scenario.results import RunResult
from mmulab.plots.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, RED, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#999999"
MANY = 10  # clones from which on their memory is what is drawn

_FRAMES_PER_MIB = 256


def has_clones(run: RunResult) -> bool:
    """True where a run is one of many clones."""
    return len(_clones(run)) >= MANY


def has_rounds(run: RunResult) -> bool:
    """True where the first migration of a run went in rounds."""
    return bool(run.migrations) and any(each.seconds for each in run.migrations[0].rounds)


def draw_migration(run: RunResult) -> Figure:
    """A time line of the first migration of a run: what each round sent and what was stored to in
    it, over the VM's standing still."""
    report = run.migrations[0]
    rounds = [each for each in report.rounds if each.seconds]
    figure = new_figure(8.0, 4.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    at = np.array([each.at for each in rounds]) - report.begun
    width = np.array([each.seconds for each in rounds])
    sent = np.array([each.sent for each in rounds])
    stood = np.array([not each.accesses for each in rounds])
    for which, colour, label in ((~stood, BLUE, "VM runs"), (stood, RED, "VM stands still")):
        if which.any():
            above.bar(
                1e3 * at[which], sent[which], 1e3 * width[which], align="edge", color=colour,
                edgecolor="white", linewidth=0.5, label=f"pages sent, {label}",
            )  # fmt: skip
    ends = 1e3 * (at + width)[~stood]
    dirtied = [each.dirtied for each in rounds if each.accesses]
    above.plot(ends, dirtied, "o", color="black", markersize=4, label="stored to in the round")
    above.set_yscale("log")
    above.set_ylim(bottom=1)
    above.set_title("pages, by round", fontsize=9, loc="left")
    pace = [each.accesses / each.seconds / 1e6 for each in rounds]
    below.step(
        1e3 * np.append(at, at[-1] + width[-1]), [*pace, pace[-1]], where="post", color=GREEN
    )
    below.set_title("accesses a microsecond that the VM makes", fontsize=9, loc="left")
    below.set_ylim(bottom=0)
    below.set_xlabel("milliseconds since it began")
    figure.legend(
        *above.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8,
        frameon=False,
    )  # fmt: skip
    for axis in (above, below):
        _tidy(axis)
    figure.suptitle(_migration_title(run, report), fontsize=10, x=0.01, ha="left")
    return figure


def _migration_title(run: RunResult, report: Report) -> str:
    why = f" ended by: {report.why}" if report.why else ""
    return (
        f"{run.scenario}: {report.method} ({report.log}, rule {report.rule}){why}\n"
        f"{report.twice:,} of {report.sent:,} pages sent again; the VM stands still for "
        f"{1e3 * report.downtime:.3g} of {1e3 * report.seconds:.3g} ms"
    )


def is_of_migrations(key: str, sweep: Mapping[str, Sequence[RunResult]]) -> bool:
    """True where what is swept is a setting of a migration."""
    every = [run for runs in sweep.values() for run in runs]
    return key.startswith("event.") and all(has_rounds(run) for run in every)


def draw_downtime(key: str, sweep: Mapping[str, Sequence[RunResult]]) -> Figure:
    """Downtime, and pages sent as a multiple of the VM's, by dirty rate over bandwidth."""
    figure = new_figure(8.0, 3.6)
    left, right = figure.subplots(1, 2)
    every = [run.migrations[0] for runs in sweep.values() for run in runs]
    fastest = max(_dirty_rate(report) for report in every)  # one VM: its own, whatever the network
    points = sorted(((fastest / _send_rate(r), r) for r in every), key=lambda pair: pair[0])
    ratios = [ratio for ratio, _ in points]
    reports = [report for _, report in points]
    whys = list(dict.fromkeys(report.why or report.outcome for report in reports))
    for why, colour in zip(whys, (BLUE, RED, GREEN, PINK), strict=False):
        mine = [n for n, r in enumerate(reports) if (r.why or r.outcome) == why]
        xs = [ratios[n] for n in mine]
        downtimes = [1e3 * reports[n].downtime for n in mine]
        left.plot(xs, downtimes, "o", color=colour, markersize=5, label=f"ended by: {why}")
        again = [reports[n].sent / max(1, reports[n].rounds[0].sent) for n in mine]
        right.plot(xs, again, "o", color=colour, markersize=5)
    left.plot(ratios, [1e3 * r.downtime for r in reports], color=GREY, linewidth=0.8, zorder=0)
    right.plot(
        ratios, [r.sent / max(1, r.rounds[0].sent) for r in reports], color=GREY, linewidth=0.8,
        zorder=0,
    )  # fmt: skip
    for axis, title in ((left, "downtime, ms"), (right, "pages sent, as multiples of the VM's")):
        if any(ratio > 0 for ratio in ratios):
            axis.set_xscale("log")
        axis.axvline(1, color="#444444", linewidth=0.8, linestyle=":")
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_xlabel("pages dirtied a second / pages sent a second", fontsize=8)
        if axis.get_xscale() == "log":
            _plain(axis.xaxis)
        _tidy(axis)
    left.set_yscale("log")
    _plain(left.yaxis)
    right.set_ylim(bottom=0)
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8,
        frameon=False,
    )  # fmt: skip
    scenario = next(iter(sweep.values()))[0].scenario
    figure.suptitle(f"{scenario}, by {key}", fontsize=10, x=0.01, ha="left")
    return figure


def _dirty_rate(report: Report) -> float:
    """The highest rate of a round at which distinct pages were stored to: pages a second."""
    runs = [each for each in report.rounds if each.accesses and each.seconds]
    return max((each.dirtied / each.seconds for each in runs), default=0.0)


def _send_rate(report: Report) -> float:
    """That at which pages were sent in the first round, latency included."""
    first = report.rounds[0]
    return first.sent / first.seconds if first.seconds and first.sent else np.inf


def _clones(run: RunResult) -> list[tuple[float, int]]:
    """(when it was made, frames that it was given) of each clone, in order."""
    firsts = (vm.life[0] for vm in run.vms if vm.life)
    return sorted((m.at, m.shared + m.private) for m in firsts if m.what == "clone")


def draw_clones(run: RunResult) -> Figure:
    """The host's memory by number of clones, against what they would take without sharing."""
    clones = _clones(run)
    count = np.arange(1, len(clones) + 1)
    times = np.array([at for at, _ in clones[1:]] + [run.seconds[-1]])
    where = np.minimum(np.searchsorted(run.seconds, times), len(run.seconds) - 1)
    kinds = (
        ("merged", GREEN, "shared"), ("guest_private", BLUE, "private"),
        ("page_tables", PINK, "nPT, sPT"),
    )  # fmt: skip
    figure = new_figure(8.0, 3.6)
    axis = figure.subplots()
    axis.stackplot(
        count,
        *(run.host[kind][where] / _FRAMES_PER_MIB for kind, _, _ in kinds),
        colors=[colour for _, colour, _ in kinds],
        labels=[label for _, _, label in kinds],
        linewidth=0,
    )
    top = axis.get_ylim()[1]
    alone = (1 + count) * clones[0][1] / _FRAMES_PER_MIB
    axis.plot(count, alone, color="black", linestyle="--", linewidth=1, label="without sharing")
    axis.set_ylim(0, top * 1.6)
    axis.set_xlim(1, len(clones))
    axis.set_xlabel("clones made")
    axis.set_ylabel("MiB of the host in use", fontsize=8)
    figure.legend(
        *axis.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8,
        frameon=False,
    )  # fmt: skip
    _tidy(axis)
    used = clones[0][1] / _FRAMES_PER_MIB
    title = f"{run.scenario}: {len(clones)} of a VM of {used:,.1f} MiB in use"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _plain(axis: Any) -> None:
    """Numbers of a logarithmic axis as they are."""
    from matplotlib.ticker import LogLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(lambda value, _: "")


def _tidy(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
