"""What became of the VMs of a run: moments of their lives, and migrations."""

from __future__ import annotations

from mmulab.mmu.host.migration_report import Report
from mmulab.mmu.scenario.results import RunResult

MOST = 40  # moments that are printed
_USUAL = {"start", "stop", "end"}
_FRAMES_PER_MIB = 256


def text(run: RunResult) -> str:
    """A row a moment, a line a migration; empty where VMs only start and end."""
    rows = [
        (moment, vm.name)
        for vm in run.vms
        if {moment.what for moment in vm.life} - _USUAL
        for moment in vm.life
    ]
    if not rows:
        return ""
    rows.sort(key=lambda row: row[0].at)
    head = (
        f"{'VM':<16} {'at ms':>9} {'what':<10} {'took ms':>8}  {'state':<17} {'private':>8} "
        f"{'shared':>8} {'tables':>7} {'elsewhere':>9} {'storage':>8}"
    )
    lines = ["Lives, sizes in MiB:", head]
    for moment, name in rows[:MOST]:
        sizes = (
            moment.private, moment.shared, moment.page_tables, moment.elsewhere, moment.storage
        )  # fmt: skip
        shown = [f"{n / _FRAMES_PER_MIB:,.1f}" for n in sizes]
        lines.append(
            f"{name:<16.16} {1e3 * moment.at:>9,.2f} {moment.what:<10.10} "
            f"{1e3 * moment.seconds:>8,.2f}  {moment.state:<17} {shown[0]:>8} {shown[1]:>8} "
            f"{shown[2]:>7} {shown[3]:>9} {shown[4]:>8}"
        )
    if len(rows) > MOST:
        lines.append(f"... and {len(rows) - MOST:,} moments more; --json has them all")
    return "\n".join([*lines, *map(_migration, run.migrations)])


def _migration(report: Report) -> str:
    why = f" ({report.why})" if report.why else ""
    again = f"{len(report.rounds)} rounds, {report.twice:,} of {report.sent:,} pages sent again"
    late = f"{report.faults:,} of them waited for"
    how = {"pre-copy": again, "hybrid": f"{again}, {late}"}.get(
        report.method, f"{report.sent:,} pages, {late}"
    )
    if report.deltas:
        how += f", {report.deltas:,} as differences"
    if report.throttled:
        how += f", throttled for {1e3 * report.throttled:.3g} ms"
    return (
        f"{report.vm}: {report.source} to {report.target}, {report.method}: {report.outcome}{why}, "
        f"{how}, {1e3 * report.downtime:.3g} ms still of {1e3 * report.seconds:.3g} ms"
    )
