"""What a host and its VMs are configured with, checked when it is made.

Sizes are bytes, times seconds of simulated time. Defaults are those of the systems modelled
and name them.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmulab.mmu.config import Config, guest_thp
from mmulab.mmu.errors import InputError, check_choice, check_range
from mmulab.mmu.machine.vcpus import check_vcpus
from mmulab.mmu.memory.cpus import REMOTE_FLUSHES
from mmulab.mmu.memory.entries import INDEX_BITS, SIZE_NAMES
from mmulab.mmu.presets import DEFAULT
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.specs import parse

#: What a VMM's process takes guest memory from.
BACKINGS = (ANONYMOUS, HUGETLBFS) = ("anonymous", "hugetlbfs")

VICTIMS = ("clock", "random", "shares")
SCHEDULERS = (ROUND_ROBIN, WEIGHTED, CREDIT, PINNED, GANG) = (
    "round-robin", "weighted", "credit", "pinned", "gang",
)  # fmt: skip
#: How saved memory comes back: a frame for each page before the VM runs; as it is reached; or what
#: the first VM that came back lazily had reached is read first, in one go (REAP: Ustiugov et al.,
#: ASPLOS 2021).
RESTORES = (EAGER, LAZY, WORKING_SET) = ("eager", "lazy", "working-set")
PAGE_SIZES = ("4k", "2m", "thp")  # of guests: a 1 GiB page could never be reclaimed

MIB = 1 << 20


@dataclass(frozen=True)
class HostSettings:
    """The host.

    memory: bytes. preset: the processor; `set` changes its numbers. ghz: of its clock, which
    turns cycles into seconds. quantum: accesses that a VM runs before the next has its turn.
    cores: pCPUs, each with TLBs, walk caches and caches of its own but for the last, at most 256.
    scheduler: "round-robin", "weighted" by shares, "credit", "pinned" or "gang" (`host.cores`).
    vpid: TLB entries tagged by VM; None: as the preset has it. swap: bytes of the host's swap
    device, 0: none. victims: which pages
    the host takes when it is short: "clock" (not used since the last look; Linux), "random"
    (ESX), or "shares" (random pages of the VMs that hold more than their due; ESX). latency,
    bandwidth: of the storage that swap device and guests' disks lie on, seconds a request and
    bytes a second. name: of one of several.
    """

    memory: int
    preset: str = DEFAULT
    set: tuple[tuple[str, str], ...] = ()
    ghz: float = 2.0  # base clock of the Xeon Platinum 8480+ (Sapphire Rapids), intel.com/ark
    quantum: int = 100_000  # assumption: some 0.5 ms; Linux's CFS slices from 0.75 ms up
    scheduler: str = "round-robin"
    vpid: bool | None = None
    swap: int = 0
    victims: str = "clock"
    latency: float = 100e-6  # assumption: an NVMe drive's 4 KiB read, software included
    bandwidth: float = 2e9  # assumption: an NVMe drive of four PCIe 3.0 lanes
    name: str = ""
    cores: int = 1

    def __post_init__(self) -> None:
        check_range("cores", self.cores, 1, 256)
        check_range("host memory", self.memory / MIB, 1, 1 << 22, " MiB")
        check_range("host swap", self.swap / MIB, 0, 1 << 22, " MiB")
        check_range("ghz", self.ghz, 0.01, 100)
        check_range("quantum", self.quantum, 100, 1 << 30)
        check_range("latency", self.latency, 0, 10, " s")
        check_range("bandwidth", self.bandwidth, 1e3, 1e15, " bytes/s")
        check_choice("victims", self.victims, VICTIMS)
        check_choice("scheduler", self.scheduler, SCHEDULERS)


def refuse_fixed(vm: VMSettings, what: str, instead: str) -> None:
    """Raises InputError where a VM's technique forbids to change what backs its pages. what: the
    VMM was to do; instead: what to set."""
    why = parse(vm.technique).technique.fixed
    if why:
        raise InputError(f"vm {vm.name}: technique {vm.technique} cannot {what}: {why}; {instead}")


def refuse_unmovable(vm: VMSettings, what: str) -> None:
    """Raises InputError where a VM's state cannot be copied. what: it was to do."""
    if vm.vcpus > 1:
        raise InputError(f"vm {vm.name}: it has {vm.vcpus} vCPUs, and one of one can {what}")
    if vm.in_hugetlbfs:
        raise InputError(f"vm {vm.name}: it lies in hugetlbfs, and cannot {what}")
    if not parse(vm.technique).technique.movable:
        known = " or ".join(t.name for t in registry.built_in() if t.movable)
        raise InputError(
            f"vm {vm.name}: technique {vm.technique} cannot {what}: its VMM keeps what is not "
            f"made again from the guest's memory; expected {known}"
        )


@dataclass(frozen=True)
class VMSettings:
    """A VM.

    workload: what a trace is named by: a file, a generator, @name. memory: what the guest
    believes it has. guest_thp: its policy of huge pages, where page_size is "thp"
    (`config.guest_thp`). disk: bytes of the disk that the guest pages to, 0: it does not page.
    shares, reservation, limit: of host memory, as ESX has them; limit 0: its memory; frames that
    it shares with others do not count. backing: "anonymous", or "hugetlbfs": pages of
    `host_page_size`, for all of its memory, that are the VM's from the host's start until it is
    off; they are not paged out or merged, and what the guest gives up frees nothing. start, stop:
    seconds, when it is switched on and off; stop 0: never. A VM whose workload has ended keeps its
    memory until it is off. repeat: begin the workload again. mergeable: deduplication may merge its
    pages. map_disk: the VMM knows which pages equal blocks of the guest's disk, and drops those
    instead of writing them; emulate_writes: overwriting a page that the host has paged out reads
    nothing (VSwapper's mapper and preventer: Amit et al., ASPLOS 2014). balloon: bytes that a
    "fixed" policy wants of it.
    seed: of its workload. clone_of: the VM, or VM@snapshot, that it is a copy of from its start
    on. goes_on: the copy goes on with what that was doing; else it begins its own workload.
    restore: of a snapshot on disk: "eager", "lazy" or "working-set" (`host.life`). host: that it
    begins on, where there are several. vcpus: on which its guest runs the workload's threads; pin:
    the pCPU of each, as "0,2", with a scheduler that pins. remote_flush: how the guest tells its
    other vCPUs to flush: "ipi", "preempted" or "hypercall" (`memory.cpus`).
    """

    name: str
    workload: str
    memory: int
    technique: str = "nested"
    page_size: str = "4k"
    host_page_size: str = "4k"
    levels: int = 4
    shadow_policy: str = "unsync"
    guest_thp: str = "fault"
    disk: int = 0
    shares: int = 1000
    reservation: int = 0
    limit: int = 0
    backing: str = ANONYMOUS
    start: float = 0.0
    stop: float = 0.0
    repeat: bool = False
    mergeable: bool = True
    map_disk: bool = False
    emulate_writes: bool = False
    balloon: int = 0
    seed: int = 1
    clone_of: str = ""
    goes_on: bool = True
    restore: str = "lazy"
    host: str = ""
    vcpus: int = 1
    pin: str = ""
    remote_flush: str = "ipi"

    def __post_init__(self) -> None:
        what = f"vm {self.name}"
        spec = parse(self.technique)
        if self.map_disk:
            refuse_fixed(self, "page memory out", "leave map_disk out")
        if not spec.technique.virtual:
            raise InputError(
                f"{what}: technique {self.technique!r} has no VMM that could share its memory; "
                f"expected {' or '.join(t.name for t in registry.built_in() if t.virtual)}"
            )
        check_range(f"{what}: memory", self.memory / MIB, 1, 1 << 22, " MiB")
        check_range(f"{what}: disk", self.disk / MIB, 0, 1 << 22, " MiB")
        check_range(f"{what}: shares", self.shares, 1, 1_000_000)
        check_choice(f"{what}: backing", self.backing, BACKINGS)
        check_range(f"{what}: reservation", self.reservation, 0, self.memory, " bytes")
        if self.limit:
            check_range(
                f"{what}: limit", self.limit, max(1, self.reservation), self.memory, " bytes"
            )
        check_range(f"{what}: balloon", self.balloon, 0, self.memory, " bytes")
        check_range(f"{what}: start", self.start, 0, 1e9, " s")
        if self.stop:
            check_range(f"{what}: stop", self.stop, self.start, 1e9, " s")
        elif self.repeat:
            raise InputError(f"{what}: a workload that repeats needs a time to stop")
        check_choice(f"{what}: page size", self.page_size, PAGE_SIZES)
        self._check_thp(what)
        for size in (self.host_page_size, spec.values.get("host_page_size", "4k")):
            check_choice(f"{what}: host page size", size, SIZE_NAMES)
        check_choice(f"{what}: restore", self.restore, RESTORES)
        check_vcpus(what, spec.technique, self.vcpus)
        check_choice(f"{what}: remote flush", self.remote_flush, REMOTE_FLUSHES)
        self.pins  # noqa: B018 - raises
        if self.clone_of:
            refuse_unmovable(self, "be a copy")
        if self.in_hugetlbfs:
            self._check_hugetlbfs(what)

    def _check_thp(self, what: str) -> None:
        try:
            policy = guest_thp.parse(self.guest_thp)
            Config(page_size=self.page_size, guest_thp=self.guest_thp)
        except InputError as error:
            raise InputError(f"{what}: {error}") from None
        if guest_thp.RATE in policy.given:
            raise InputError(f"{what}: {guest_thp.RATE} does nothing: the host tells it the time")

    @property
    def pins(self) -> tuple[int, ...]:
        """The pCPU of each vCPU; none where it has none of its own."""
        if not self.pin:
            return ()
        try:
            pins = tuple(int(each) for each in self.pin.split(","))
        except ValueError:
            pins = ()
        if len(pins) != self.vcpus or min(pins) < 0 or len(set(pins)) < len(pins):
            raise InputError(
                f"vm {self.name}: pin {self.pin!r}; expected {self.vcpus} different numbers of "
                f"pCPUs, as '0,2'"
            )
        return pins

    @property
    def in_hugetlbfs(self) -> bool:
        return self.backing == HUGETLBFS

    @property
    def reserved(self) -> int:
        """Bytes of host memory that are its own whatever others need."""
        return self.memory if self.in_hugetlbfs else self.reservation

    def _check_hugetlbfs(self, what: str) -> None:
        config = Config(host_page_size=self.host_page_size)
        size = SIZE_NAMES.index(parse(self.technique, config).values.get("host_page_size", "4k"))
        if not size:
            raise InputError(
                f"{what}: hugetlbfs has pages of 2m and 1g; set host_page_size to one of them"
            )
        if self.memory % (4096 << (INDEX_BITS * size)):
            raise InputError(
                f"{what}: memory of {self.memory:,} bytes in hugetlbfs is no whole number of pages "
                f"of {SIZE_NAMES[size]}"
            )
        if 0 < self.limit < self.memory:
            raise InputError(
                f"{what}: a limit below its memory, all of which hugetlbfs gives it; leave limit "
                f"out, or set backing = 'anonymous'"
            )
