"""What a live migration is told, and what it came to: see `host.migration`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmulab.mmu.errors import InputError, check_choice, check_range
from mmulab.mmu.host.settings import MIB
from mmulab.mmu.memory.entries import PAGE_BYTES
from mmulab.mmu.vmm.dirty_log import LOGS

METHODS = (PRE_COPY, POST_COPY, HYBRID) = ("pre-copy", "post-copy", "hybrid")
RULES = (QEMU, XEN, CLARK) = ("qemu", "xen", "clark")

#: Bytes on the wire of a page, with what names it, and of one of zeros (QEMU migration/ram.c:
#: eight of offset and flags, one of zero; quoted from memory).
PAGE_ON_WIRE, ZERO_ON_WIRE = PAGE_BYTES + 8, 9

#: Of rule "clark": a round is as fast as the last one's pages were dirtied, and 50 Mbit/s more; the
#: last begins where 256 KiB are left (Clark et al., 5.3; quoted from memory).
FASTER, LEFT = 50e6 / 8, 256 << 10


@dataclass(frozen=True)
class MigrationSettings:
    """to: a host. method: "pre-copy" or "post-copy". bandwidth: bytes a second; latency: seconds,
    one way.

    Of pre-copy: log: how stores are seen (`vmm.dirty_log`). rule: when the VM stands still: "qemu",
    when what is left takes no more than `downtime`; "xen", when fewer than `least` pages are left,
    or after `rounds`, or when `factor` times the VM's pages have been sent; "clark", whose rounds
    begin at `slowest` bytes a second, when 256 KiB are left or a round would be faster than
    `bandwidth`. converge: the VM is throttled where the rounds do not get shorter
    (`host.throttle`). delta_cache: bytes of pages as they were sent, by which a page that goes
    again is told of as its difference (`host.deltas`); 0: none. changed: the part of a page that is
    new then. zeros: pages of zeros are told of, not sent.

    Of post-copy: push: pages follow by themselves. Of hybrid: passes: rounds of pre-copy before it.
    channels: of the network at once, each of `channel` bytes a second at most, 0: no less than
    `bandwidth`. fails: seconds after which the other host is gone, 0: never.
    """

    to: str
    method: str = PRE_COPY
    log: str = "write-protection"
    rule: str = QEMU
    bandwidth: float = 128 * MIB  # QEMU migration/options.c: max-bandwidth
    latency: float = 100e-6  # assumption: two hosts in one rack
    downtime: float = 0.3  # QEMU migration/options.c: downtime-limit
    rounds: int = 30  # Xen tools/libxc/xc_linux_save.c: DEF_MAX_ITERS
    factor: float = 3.0  # the same: DEF_MAX_FACTOR
    least: int = 50  # the same
    slowest: float = 12.5e6  # assumption: 100 Mbit/s
    converge: bool = False  # QEMU's capability auto-converge, off by default
    delta_cache: int = 0  # QEMU's capability xbzrle, off by default; its cache, 64 MiB
    changed: float = 0.1  # assumption, from one word to all of a page; the trace has no bytes
    passes: int = 1  # QEMU docs/devel/migration/postcopy.rst: it is begun after the first pass
    channels: int = 1  # QEMU's capability multifd, off by default; its channels, 2
    channel: float = 0.0  # assumption: one stream fills the network
    zeros: bool = True
    push: bool = True
    fails: float = 0.0

    def __post_init__(self) -> None:
        check_choice("migrate method", self.method, METHODS)
        check_choice("migrate log", self.log, LOGS[1:])
        check_choice("migrate rule", self.rule, RULES)
        check_range("migrate bandwidth", self.bandwidth, 1e3, 1e15, " bytes/s")
        check_range("migrate latency", self.latency, 0, 10, " s")
        check_range("migrate downtime", self.downtime, 0, 1e6, " s")
        check_range("migrate rounds", self.rounds, 1, 1_000_000)
        check_range("migrate factor", self.factor, 1, 1e6)
        check_range("migrate least", self.least, 0, 1 << 30)
        check_range("migrate slowest", self.slowest, 1e3, self.bandwidth, " bytes/s")
        check_range("migrate fails", self.fails, 0, 1e6, " s")
        check_range("migrate delta_cache", self.delta_cache, 0, 1 << 50, " bytes")
        check_range("migrate changed", self.changed, 0, 1)
        check_range("migrate passes", self.passes, 1, 1_000_000)
        check_range("migrate channels", self.channels, 1, 255)  # QEMU's are numbered by a byte
        check_range("migrate channel", self.channel, 0, 1e15, " bytes/s")
        if self.fails and self.method != PRE_COPY:
            raise InputError(
                f"migrate fails: a VM that is migrated by {self.method} has parts of its memory on "
                "both hosts, and could not go on; set method = 'pre-copy'"
            )

    @property
    def speed(self) -> float:
        """Bytes a second of all channels."""
        return min(self.bandwidth, self.channels * self.channel or self.bandwidth)


@dataclass(frozen=True)
class Round:
    """One round. at: when it began. sent: pages; zeros: pages told of; seconds: until the next
    began; dirtied: pages stored to in it; accesses: that the VM made in it. throttle: the part of
    the time that the VM was held back."""

    at: float
    sent: int
    zeros: int
    seconds: float
    dirtied: int
    accesses: int
    throttle: float = 0.0


@dataclass
class Report:
    """What a migration came to.

    outcome: "finished", "failed", "cancelled", as the VM was switched off meanwhile, or "under way"
    at the run's end. why: what ended the rounds. downtime: seconds that the VM stood still. sent:
    pages, those of all rounds; twice: of those, that had been sent before; deltas: of those, that
    went as a difference. throttled: seconds that the VM was held back. faults, pushed: pages
    that a post-copied VM waited for, and that came by themselves. leaves: of the nested table that
    were looked at; cut: large host pages that were cut.
    """

    vm: str
    source: str
    target: str
    method: str
    log: str
    rule: str
    begun: float
    outcome: str = "under way"
    why: str = ""
    seconds: float = 0.0
    downtime: float = 0.0
    sent: int = 0
    twice: int = 0
    deltas: int = 0
    throttled: float = 0.0
    zeros: int = 0
    bytes: int = 0
    faults: int = 0
    pushed: int = 0
    leaves: int = 0
    cut: int = 0
    rounds: list[Round] = field(default_factory=list)
