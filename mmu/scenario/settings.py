"""A scenario: one host, the VMs on it, and what shares the host's memory between them.

Plain data, checked when it is made. Sizes are bytes, times seconds of simulated time.
Defaults are those of the systems modelled and name them; `workloads.scenario_file` reads
scenarios from TOML.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.memory.entries import SIZE_NAMES
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.specs import parse

VICTIMS = ("clock", "random", "shares")
SCHEDULERS = ("round-robin", "weighted")
MERGE_METHODS = ("ksm", "hints")
BALLOON_POLICIES = ("esx", "fixed")
PAGE_SIZES = ("4k", "2m", "thp")  # of guests: a 1 GiB page could never be reclaimed

MIB = 1 << 20


def _check(what: str, value: float, low: float, high: float, unit: str = "") -> None:
    if not low <= value <= high:
        raise InputError(f"{what}: {value:g}{unit}; expected {low:g} to {high:g}{unit}")


def _choice(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise unknown(what, value, known)


@dataclass(frozen=True)
class HostSettings:
    """The host.

    memory: bytes. preset: the processor; `set` changes its numbers. ghz: of its clock, which
    turns cycles into seconds. quantum: accesses that a VM runs before the next has its turn.
    scheduler: "round-robin", or "weighted" by shares. vpid: TLB entries tagged by VM; None:
    as the preset has it. swap: bytes of the host's swap device, 0: none. victims: which pages
    the host takes when it is short: "clock" (not used since the last look; Linux), "random"
    (ESX), or "shares" (random pages of the VMs that hold more than their due; ESX). latency,
    bandwidth: of the storage that swap device and guests' disks lie on, seconds a request and
    bytes a second.
    """

    memory: int
    preset: str = "skylake-sp"
    set: tuple[tuple[str, str], ...] = ()
    ghz: float = 2.1  # base clock of the Xeon Platinum 8176 (Skylake-SP), intel.com/ark
    quantum: int = 100_000  # assumption: some 0.5 ms; Linux's CFS slices from 0.75 ms up
    scheduler: str = "round-robin"
    vpid: bool | None = None
    swap: int = 0
    victims: str = "clock"
    latency: float = 100e-6  # assumption: an NVMe drive's 4 KiB read, software included
    bandwidth: float = 2e9  # assumption: an NVMe drive of four PCIe 3.0 lanes

    def __post_init__(self) -> None:
        _check("host memory", self.memory / MIB, 1, 1 << 22, " MiB")
        _check("host swap", self.swap / MIB, 0, 1 << 22, " MiB")
        _check("ghz", self.ghz, 0.01, 100)
        _check("quantum", self.quantum, 100, 1 << 30)
        _check("latency", self.latency, 0, 10, " s")
        _check("bandwidth", self.bandwidth, 1e3, 1e15, " bytes/s")
        _choice("victims", self.victims, VICTIMS)
        _choice("scheduler", self.scheduler, SCHEDULERS)


@dataclass(frozen=True)
class VMSettings:
    """A VM.

    workload: what a trace is named by: a file, a generator, @name. memory: what the guest
    believes it has. disk: bytes of the disk that the guest pages to, 0: it does not page.
    shares, reservation, limit: of host memory, as ESX has them; limit 0: its memory. start,
    stop: seconds, when it is switched on and off; stop 0: never. A VM whose workload has ended
    keeps its memory until it is off. repeat: begin the workload again. mergeable:
    deduplication may merge its pages. map_disk: the VMM knows which pages equal blocks of the
    guest's disk, and drops those instead of writing them; emulate_writes: overwriting a page
    that the host has paged out reads nothing (VSwapper's mapper and preventer: Amit et al.,
    ASPLOS 2014). balloon: bytes that a "fixed" policy wants of it. seed: of its workload.
    """

    name: str
    workload: str
    memory: int
    technique: str = "nested"
    page_size: str = "4k"
    host_page_size: str = "4k"
    levels: int = 4
    shadow_policy: str = "unsync"
    disk: int = 0
    shares: int = 1000
    reservation: int = 0
    limit: int = 0
    start: float = 0.0
    stop: float = 0.0
    repeat: bool = False
    mergeable: bool = True
    map_disk: bool = False
    emulate_writes: bool = False
    balloon: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        what = f"vm {self.name}"
        about = parse(self.technique).technique
        if not about.virtual:
            raise InputError(
                f"{what}: technique {self.technique!r} has no VMM that could share its memory; "
                f"expected {' or '.join(t.name for t in registry.built_in() if t.virtual)}"
            )
        _check(f"{what}: memory", self.memory / MIB, 1, 1 << 22, " MiB")
        _check(f"{what}: disk", self.disk / MIB, 0, 1 << 22, " MiB")
        _check(f"{what}: shares", self.shares, 1, 1_000_000)
        _check(f"{what}: reservation", self.reservation, 0, self.memory, " bytes")
        if self.limit:
            _check(f"{what}: limit", self.limit, max(1, self.reservation), self.memory, " bytes")
        _check(f"{what}: balloon", self.balloon, 0, self.memory, " bytes")
        _check(f"{what}: start", self.start, 0, 1e9, " s")
        if self.stop:
            _check(f"{what}: stop", self.stop, self.start, 1e9, " s")
        elif self.repeat:
            raise InputError(f"{what}: a workload that repeats needs a time to stop")
        _choice(f"{what}: page size", self.page_size, PAGE_SIZES)
        _choice(f"{what}: host page size", self.host_page_size, SIZE_NAMES[:2])


@dataclass(frozen=True)
class BalloonSettings:
    """Ballooning.

    policy: "esx" (targets by shares and the idle-memory tax, when the host is short) or
    "fixed" (each VM's `balloon`, and events). period: seconds between two looks at the
    targets. tax: part of an idle page's price that is taken away. sample: pages of a VM whose
    use is watched in each period (Waldspurger, OSDI 2002, 5.3: 100 in 30 s). rate: pages a
    second that a driver inflates or deflates by at most.
    """

    policy: str = "esx"
    period: float = 1.0  # assumption
    tax: float = 0.75  # Waldspurger 2002, 5.2
    sample: int = 100
    sample_period: float = 30.0  # Waldspurger 2002, 5.3
    rate: float = 250_000  # assumption: 1 GB a second, near what memory can be zeroed at

    def __post_init__(self) -> None:
        _choice("balloon policy", self.policy, BALLOON_POLICIES)
        _check("balloon period", self.period, 1e-6, 1e6, " s")
        _check("balloon sample period", self.sample_period, 1e-6, 1e6, " s")
        _check("balloon tax", self.tax, 0, 0.999)
        _check("balloon sample", self.sample, 1, 1_000_000)
        _check("balloon rate", self.rate, 1, 1e12)


@dataclass(frozen=True)
class KSMSettings:
    """Linux's ksmd; names and defaults of /sys/kernel/mm/ksm (mm/ksm.c).

    method: "ksm", or "hints" for ESX's content-based sharing (Waldspurger, OSDI 2002, 4),
    which shares a page at first sight. sleep: seconds between two batches. cycles_per_page:
    what looking at a page costs.
    """

    method: str = "ksm"
    pages_to_scan: int = 100
    sleep: float = 0.020
    max_page_sharing: int = 256
    use_zero_pages: bool = False
    smart_scan: bool = True
    cycles_per_page: float = 1000.0  # assumption: a 4 KiB checksum at 8 bytes a cycle, and a tree

    def __post_init__(self) -> None:
        _choice("ksm method", self.method, MERGE_METHODS)
        _check("ksm pages_to_scan", self.pages_to_scan, 1, 1 << 30)
        _check("ksm sleep", self.sleep, 1e-6, 1e6, " s")
        _check("ksm max_page_sharing", self.max_page_sharing, 2, 1 << 30)
        _check("ksm cycles_per_page", self.cycles_per_page, 0, 1e9)


@dataclass(frozen=True)
class ReportingSettings:
    """Free-page reporting of virtio-balloon (Linux mm/page_reporting.c): the guest tells
    of free blocks of 2**order frames every `period` seconds."""

    order: int = 9
    period: float = 2.0

    def __post_init__(self) -> None:
        _check("reporting order", self.order, 0, 18)
        _check("reporting period", self.period, 1e-6, 1e6, " s")


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
    settings: dict[str, Any] = field(default_factory=dict, compare=False)

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
            _choice("vm of an event", event.vm, tuple(names))
            if not self.balloon:
                raise InputError(f"an event sets the balloon of {event.vm}; ballooning is off")
        reserved = sum(vm.reservation for vm in self.vms)
        if reserved > self.host.memory:
            raise InputError(
                f"scenario {self.name}: reservations of {reserved // MIB:,} MiB in all; the host "
                f"has {self.host.memory // MIB:,} MiB"
            )


def names_of(kind: type) -> list[str]:
    """Settings that a table of a scenario may have."""
    return [f.name for f in fields(kind)]
