"""Runs of scenarios: what each variant saved and cost, and each VM's part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mmulab.mmu.config.preset_files import called
from mmulab.mmu.scenario.results import RunResult, VMResult
from mmulab.plots.terminal import arrivals, cores, lives

Row = tuple[str, Callable[[RunResult], str]]

_FRAMES_PER_MIB = 256


def mib(frames: float) -> str:
    return f"{frames / _FRAMES_PER_MIB:,.1f}"


def _summed(name: str) -> Callable[[RunResult], str]:
    """Mean over time of a series of frames, of all VMs."""
    return lambda run: mib(run.mean(np.sum([vm.series[name] for vm in run.vms], axis=0)))


def _counted(*names: str) -> Callable[[RunResult], str]:
    return lambda run: f"{run.total(*names):,}"


def _ksmd(run: RunResult) -> str:
    """Part of one core that ksmd took."""
    cycles = run.services.get("ksm", {}).get("cycles", 0.0)
    seconds = cycles / (run.settings["host"]["ghz"] * 1e9)
    return f"{100 * seconds / run.seconds[-1]:.1f}" if run.seconds[-1] else "-"


def _slowdown(pick: Callable[[list[float]], float]) -> Callable[[RunResult], str]:
    return lambda run: f"{pick(run.slowdowns):.2f}" if run.slowdowns else "-"


ROWS: list[Row] = [
    ("simulated seconds", lambda run: f"{run.seconds[-1]:.3f}"),
    ("slowdown, worst VM", _slowdown(max)),
    ("slowdown, mean", _slowdown(lambda all_: sum(all_) / len(all_))),
    ("", lambda run: ""),
    ("MiB, mean over time", lambda run: ""),
    ("  saved by merging", lambda run: mib(run.mean(run.saved))),
    ("  in balloons", _summed("balloon")),
    ("  paged out by the host", _summed("paged_out")),
    ("  nPT and sPT pages", _summed("page_tables")),
    ("  free", lambda run: mib(run.mean(run.host["free"]))),
    ("", lambda run: ""),
    ("pages of 4 KiB", lambda run: ""),
    ("  host paged in", _counted("host_swap_ins", "host_refetches")),
    ("  host paged out", _counted("host_swap_outs")),
    ("  guests paged in", _counted("guest_swap_ins")),
    ("  guests paged out", _counted("guest_swap_outs")),
    ("  moved in all", lambda run: f"{run.blocks_moved:,}"),
    ("  double faults", _counted("double_faults")),
    ("  silent swap writes", _counted("silent_swap_writes")),
    ("  stale swap reads", _counted("stale_swap_reads")),
    ("  false swap reads", _counted("false_swap_reads")),
    ("  dropped by the host", _counted("host_drops")),
    ("  merged pages copied", _counted("host_copies")),
    ("ksmd, % of a core", _ksmd),
]

#: Rows that are left out where every run has nothing there.
_EMPTY = {"", "0", "0.0", "-"}


def table(runs: Sequence[RunResult]) -> str:
    """What each variant saved and cost, a column a variant."""
    return _grid([run.variant for run in runs], rows_of(runs))


def rows_of(runs: Sequence[RunResult]) -> list[tuple[str, list[str]]]:
    """What a row is of, indented below a heading, and a cell a variant; those that are empty are
    left out."""
    rows = [(label, [cell(run) for run in runs]) for label, cell in ROWS]
    kept = [row for row in rows if _is_heading(row) or set(row[1]) - _EMPTY]
    return _without_empty_sections(kept)


def _without_empty_sections(rows: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Drops headings with nothing below them, and blank lines that then follow one another."""
    kept: list[tuple[str, list[str]]] = []
    for row in reversed(rows):
        below = kept[-1][0] if kept else ""
        if _is_heading(row) and not below.startswith(" ") and (row[0] or not below):
            continue
        kept.append(row)
    return kept[::-1]


def _is_heading(row: tuple[str, list[str]]) -> bool:
    label, cells = row
    return not label or (not label.startswith(" ") and not any(cells))


def _grid(names: Sequence[str], rows: Sequence[tuple[str, list[str]]]) -> str:
    width = max(len(label) for label, _ in rows) + 1
    column = max(11, *(len(cell) + 2 for _, cells in rows for cell in cells), *map(len, names))
    lines = [" " * width + "".join(f"{name:>{column}}" for name in names)]
    for label, cells in rows:
        lines.append((f"{label:<{width}}" + "".join(f"{c:>{column}}" for c in cells)).rstrip())
    return "\n".join(lines)


def vm_table(run: RunResult) -> str:
    """Each VM at the end of a run, a row a VM; sizes in MiB, pages of 4 KiB."""
    width = max(9, *(len(vm.technique) for vm in run.vms))
    head = (
        f"{'VM':<16} {'technique':<{width}} {'accesses':>12} {'busy s':>8} {'stalled':>8} "
        f"{'slower':>7} {'private':>9} {'merged':>8} {'balloon':>8} {'host out':>8} "
        f"{'host in/out':>17} {'guest in/out':>17}"
    )
    lines = [head, *(_vm_row(vm, width) for vm in run.vms)]
    return "\n".join([*lines, "", cores.tables(run)] if run.cores else lines)


def _vm_row(vm: VMResult, width: int) -> str:
    last = {name: int(values[-1]) for name, values in vm.series.items()}
    stalled = f"{100 * vm.stalled / vm.busy:.0f} %" if vm.busy else "-"
    slower = f"{vm.slowdown:.2f}" if vm.slowdown is not None else "-"
    host = f"{last['host_swap_ins']:,}/{last['host_swap_outs']:,}"
    guest = f"{last['guest_swap_ins']:,}/{last['guest_swap_outs']:,}"
    return (
        f"{vm.name:<16.16} {vm.technique:<{width}} {vm.accesses:>12,} {vm.busy:>8.3f} {stalled:>8} "
        f"{slower:>7} {mib(last['private']):>9} {mib(last['merged']):>8} "
        f"{mib(last['balloon']):>8} {mib(last['paged_out']):>8} {host:>17} {guest:>17}"
    )


def services_text(run: RunResult) -> str:
    """The counters of each service, a line each."""
    lines = []
    for service, counters in run.services.items():
        shown = ", ".join(
            f"{name} {value:,.6g}" if isinstance(value, float) else f"{name} {value:,}"
            for name, value in counters.items()
            if value
        )
        if shown:
            lines.append(f"{service}: {shown}")
    return "\n".join(lines)


def notes(runs: Sequence[RunResult]) -> str:
    """What did nothing, a line each, with the variants in which it did. Of settings, only those
    of the last run, which is the scenario itself, or the nearest to it."""
    where: dict[str, list[str]] = {}
    for run in runs:
        for note in run.notes:
            if run is runs[-1] or " does nothing: " not in note:
                where.setdefault(note, []).append(run.variant)
    several = len(runs) > 1
    return "\n".join(
        f"note: {note}" + (f" ({', '.join(variants)})" if several else "")
        for note, variants in where.items()
    )


def holdings(run: RunResult) -> str:
    """Who held what when the host ran out of memory."""
    last = {name: int(values[-1]) for name, values in run.host.items()}
    parts = ", ".join(f"{name.replace('_', ' ')} {mib(n)}" for name, n in last.items())
    return f"{run.report}.\nHost, MiB: {parts}.\n{vm_table(run)}"


def title(runs: Sequence[RunResult]) -> str:
    """One line that says what was run on what."""
    settings = runs[-1].settings
    host, vms = settings["host"], settings["vms"]
    promised = sum(vm["memory"] for vm in vms)
    come = sum(kind["count"] for kind in settings.get("arrivals", ()))
    if come:
        return (
            f"{runs[0].scenario}: {come:,} VMs come and go, {len(vms)} stay, on a host of "
            f"{host['memory'] / 2**20:,.0f} MiB; {called(host['preset'])}, seed {settings['seed']}"
        )
    return (
        f"{runs[0].scenario}: {len(vms)} VM{'s' if len(vms) > 1 else ''} of "
        f"{promised / 2**20:,.0f} MiB in all on a host of {host['memory'] / 2**20:,.0f} MiB; "
        f"{called(host['preset'])}, seed {settings['seed']}"
    )


def text(runs: Sequence[RunResult]) -> str:
    """All that is printed of a run, or of a scenario's variants."""
    blocks = [title(runs), table(runs)]
    if len(runs) > 1:
        blocks[-1] += "\n\nVMs at the end of " + repr(runs[-1].variant) + ":"
    last = arrivals.without_places(runs[-1])
    if last.vms:
        blocks.append(vm_table(last))
    if last.arrivals:
        blocks.append(arrivals.text(last))
    of_lives = lives.text(last)
    if of_lives:
        blocks.append(of_lives)
    services = services_text(runs[-1])
    if services:
        blocks.append(services)
    noted = notes(runs)
    if noted:
        blocks.append(noted)
    blocks += [f"{run.variant}: {holdings(run)}" for run in runs if run.end != "finished"]
    return "\n\n".join(blocks)
