"""What vCPUs and pCPUs did, of hosts of several cores."""

from __future__ import annotations

from collections.abc import Sequence

from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.report.counts import shootdowns_of
from mmulab.mmu.scenario.results import CoreResult, VCPUResult


def vcpus_of(system: System, guest: Guest) -> tuple[VCPUResult, ...]:
    """None where the host has one core."""
    if system.settings.cores == 1:
        return ()
    several = len(guest.vcpus) > 1
    return tuple(
        VCPUResult(
            number=number,
            pcpu=guest.on[number],
            accesses=int(guest.turns.kinds[number].sum()),
            busy=guest.spent[number] / system.hertz + guest.waits[number],
            steal=guest.steal[number],
            waits=guest.waits[number],
            moves=guest.moves[number],
            shootdowns=shootdowns_of(guest.vm, number) if several else {},
        )
        for number in range(len(guest.vcpus))
    )


def cores_of(systems: Sequence[System]) -> tuple[CoreResult, ...]:
    """Of all hosts, but those of one core."""
    return tuple(
        CoreResult(
            number, pcpu.busy, pcpu.switches, system.settings.name if len(systems) > 1 else ""
        )
        for system in systems
        if system.settings.cores > 1
        for number, pcpu in enumerate(system.pcpus.all)
    )
