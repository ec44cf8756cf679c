"""A scenario: one host, the VMs on it, and what shares the host's memory between them.

Plain data, checked when it is made. Sizes are bytes, times seconds of simulated time;
`mmu.scenario.parsing` reads scenarios from TOML.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmulab.mmu.errors import InputError, check_choice
from mmulab.mmu.host.settings import MIB, HostSettings, VMSettings
from mmulab.mmu.services.balloon import BalloonSettings
from mmulab.mmu.services.ksm import KSMSettings
from mmulab.mmu.services.reporting import ReportingSettings


@dataclass(frozen=True)
class Event:
    """At a time, a VM's balloon gets a target (bytes)."""

    at: float
    vm: str
    balloon: int


@dataclass(frozen=True)
class Scenario:
    """A host with its VMs; mechanisms that are None are off."""

    name: str
    host: HostSettings
    vms: tuple[VMSettings, ...]
    balloon: BalloonSettings | None = None
    ksm: KSMSettings | None = None
    reporting: ReportingSettings | None = None
    events: tuple[Event, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.vms:
            raise InputError(f"scenario {self.name}: no VMs; expected at least one")
        if len(self.vms) > 1000:
            raise InputError(f"scenario {self.name}: {len(self.vms)} VMs; expected 1,000 at most")
        names = [vm.name for vm in self.vms]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"scenario {self.name}: two VMs are called {name!r}")
        for event in self.events:
            check_choice("vm of an event", event.vm, tuple(names))
            if not self.balloon:
                raise InputError(f"an event sets the balloon of {event.vm}; ballooning is off")
        reserved = sum(vm.reservation for vm in self.vms)
        if reserved > self.host.memory:
            raise InputError(
                f"scenario {self.name}: reservations of {reserved // MIB:,} MiB in all; the host "
                f"has {self.host.memory // MIB:,} MiB"
            )
