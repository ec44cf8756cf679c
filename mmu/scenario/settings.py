"""A scenario: one host, the VMs on it, and what shares the host's memory between them.

Plain data, checked when it is made. Sizes are bytes, times seconds of simulated time;
`mmu.scenario.parsing` reads scenarios from TOML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmulab.mmu.errors import InputError
from mmulab.mmu.host.arrivals import ArrivalSettings
from mmulab.mmu.host.settings import MIB, HostSettings, VMSettings
from mmulab.mmu.scenario.lives import Event, check_hosts, check_lives
from mmulab.mmu.services.balloon import BalloonSettings
from mmulab.mmu.services.events.balloon import Balloon
from mmulab.mmu.services.ksm import KSMSettings
from mmulab.mmu.services.reporting import ReportingSettings


@dataclass(frozen=True)
class Scenario:
    """A host with its VMs, and others beside it; mechanisms that are None are off."""

    name: str
    host: HostSettings
    vms: tuple[VMSettings, ...]
    balloon: BalloonSettings | None = None
    ksm: KSMSettings | None = None
    reporting: ReportingSettings | None = None
    events: tuple[Event, ...] = ()
    seed: int = 1
    others: tuple[HostSettings, ...] = ()
    arrivals: tuple[ArrivalSettings, ...] = ()

    def __post_init__(self) -> None:
        if not self.kinds:
            raise InputError(f"scenario {self.name}: no VMs; expected at least one")
        names = Counter(vm.name for vm in self.kinds)
        for name, count in names.items():
            if count > 1:
                raise InputError(f"scenario {self.name}: two VMs are called {name!r}")
        check_hosts(self.hosts, self.kinds)
        check_lives(self.kinds, self.events, self.hosts)
        for event in self.events:
            if event.vm in {kind.vm.name for kind in self.arrivals}:
                raise InputError(f"{event}: {event.vm} are VMs that come and go; expected one VM")
        for event in self.events:
            if event.do != Balloon.name:
                continue
            if not self.balloon:
                raise InputError(f"an event sets the balloon of {event.vm}; ballooning is off")
            if self.balloon.policy != "fixed":
                raise InputError(
                    f"an event sets the balloon of {event.vm}; policy {self.balloon.policy!r} "
                    f"chooses targets by itself: set [balloon] policy = 'fixed'"
                )
        self._check_reservations()
        for vm in self.vms:
            if 0 < vm.limit < vm.memory and not self.host.swap:
                raise InputError(
                    f"vm {vm.name}: a limit below its memory needs a place for what is above it: "
                    f"give [host] swap"
                )

    @property
    def kinds(self) -> tuple[VMSettings, ...]:
        """The VMs, and what those are like that come and go."""
        return (*self.vms, *(kind.vm for kind in self.arrivals))

    @property
    def hosts(self) -> tuple[HostSettings, ...]:
        """All of them."""
        return self.host, *self.others

    def home(self, vm: VMSettings) -> HostSettings:
        """The host that a VM begins on."""
        return next((host for host in self.hosts if host.name == vm.host), self.host)

    def _check_reservations(self) -> None:
        """Those of VMs that are on at once must fit, at the time that one is switched on; what
        lies in hugetlbfs is taken before."""
        some = [vm for vm in self.vms if vm.reserved]
        for first in some:
            at = first.start
            reserved = sum(
                vm.reserved
                for vm in some
                if self.home(vm) == self.home(first)
                if (vm.start <= at or vm.in_hugetlbfs) and (at < vm.stop or not vm.stop)
            )
            memory = self.home(first).memory
            if reserved > memory:
                when = f"from {at:g} s on" if at else "in all"
                raise InputError(
                    f"scenario {self.name}: reservations of {reserved // MIB:,} MiB {when}; the "
                    f"host has {memory // MIB:,} MiB"
                )


def _event(plain: Mapping[str, Any]) -> Event:
    return Event(**{**plain, "arguments": tuple(tuple(pair) for pair in plain["arguments"])})


def _host(plain: Mapping[str, Any]) -> HostSettings:
    return HostSettings(**{**plain, "set": tuple(tuple(pair) for pair in plain["set"])})


def restored(plain: Mapping[str, Any]) -> Scenario:
    """The scenario of which `dataclasses.asdict` made plain data, also by way of JSON."""
    kinds = {"balloon": BalloonSettings, "ksm": KSMSettings, "reporting": ReportingSettings}
    return Scenario(
        name=plain["name"],
        host=_host(plain["host"]),
        others=tuple(_host(host) for host in plain["others"]),
        vms=tuple(VMSettings(**vm) for vm in plain["vms"]),
        events=tuple(_event(event) for event in plain["events"]),
        seed=plain["seed"],
        arrivals=tuple(
            ArrivalSettings(**{**kind, "vm": VMSettings(**kind["vm"])})
            for kind in plain.get("arrivals", ())
        ),
        **{name: kind(**plain[name]) for name, kind in kinds.items() if plain[name] is not None},
    )
