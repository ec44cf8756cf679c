"""How many VMs fit, as a table."""

from __future__ import annotations

from mmulab.mmu.report.consolidation import Consolidation, Tried


def which(percentile: float) -> str:
    """Of which VM a slowdown is."""
    return "the worst VM" if percentile == 100 else f"{percentile:g}th percentile of the VMs"


def table(found: Consolidation) -> str:
    """A row for each set of mechanisms, and what each number of VMs came to."""
    lines = [
        f"{found.scenario}: VMs of {found.vm_memory / 2**20:,.0f} MiB that fit on a host of "
        f"{found.host_memory / 2**20:,.0f} MiB at {found.slowdown:g} times the time alone, "
        f"{which(found.percentile)}",
        "",
        f"{'mechanisms':<32}{'VMs':>6}{'x memory':>10}{'slowdown':>10}{'worst':>8}  one more",
    ]
    for each in found.sets:
        by_count = {tried.vms: tried for tried in each.tried}
        last = by_count.get(each.vms)
        typical, worst = (last.slowdown, last.worst) if last else (None, None)
        more = "not tried" if each.most else _said(by_count[each.vms + 1])
        part = each.vms * found.vm_memory / found.host_memory
        lines.append(
            f"{each.mechanisms:<32}{each.vms:>6,}{part:>10.2f}{_number(typical):>10}"
            f"{_number(worst):>8}  {more}"
        )
    lines += ["", "slowdown by number of VMs"]
    for each in found.sets:
        shown = "  ".join(f"{tried.vms}: {_said(tried)}" for tried in each.tried)
        lines.append(f"{each.mechanisms:<32}{shown}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _said(tried: Tried) -> str:
    return tried.why.split(";")[0].split(": ")[-1] if tried.why else _number(tried.slowdown)
