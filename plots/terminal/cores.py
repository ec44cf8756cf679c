"""vCPUs and pCPUs of a scenario as tables."""

from __future__ import annotations

from mmulab.mmu.scenario.results import CoreResult, RunResult, VCPUResult

#: Counts of a vCPU that have a column: key and head.
_TOLD = (
    ("shootdowns", "shootdowns"),
    ("ipis_sent", "IPIs sent"),
    ("ipis_received", "received"),
    ("ipis_skipped", "lazy"),
    ("flushes_left", "left"),
    ("kicks_received", "kicked"),
)


def tables(run: RunResult) -> str:
    """A row a vCPU, then a row a pCPU."""
    told = any(vcpu.shootdowns for vm in run.vms for vcpu in vm.vcpus)
    heads = [f"{head:>11}" for _, head in _TOLD] if told else []
    lines = [
        f"{'vCPU':<20}{'pCPU':>5}{'moves':>7}{'accesses':>13}{'busy s':>9}{'steal s':>9}"
        f"{'waits s':>9}{''.join(heads)}"
    ]
    lines += [_vcpu(vm.name, vcpu, told) for vm in run.vms for vcpu in vm.vcpus]
    lines += ["", f"{'pCPU':<20}{'busy s':>9}{'busy':>8}{'switches':>10}"]
    whole = float(run.seconds[-1])
    return "\n".join([*lines, *(_pcpu(core, whole) for core in run.cores)])


def _vcpu(name: str, vcpu: VCPUResult, told: bool) -> str:
    counts = (f"{vcpu.shootdowns.get(key, 0):>11,}" for key, _ in _TOLD) if told else ()
    return (
        f"{f'{name[:16]}/{vcpu.number}':<20}{vcpu.pcpu:>5}{vcpu.moves:>7}{vcpu.accesses:>13,}"
        f"{vcpu.busy:>9.3f}{vcpu.steal:>9.3f}{vcpu.waits:>9.3f}{''.join(counts)}"
    )


def _pcpu(core: CoreResult, whole: float) -> str:
    name = f"{core.host} {core.core}".strip()
    busy = f"{100 * core.busy / whole:.0f} %" if whole else "-"
    return f"{name:<20}{core.busy:>9.3f}{busy:>8}{core.switches:>10,}"
