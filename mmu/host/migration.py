"""Live migration of a VM from one host to another: pre-copy in rounds, or post-copy.

Pre-copy (Clark et al., NSDI 2005): all pages, then those stored to meanwhile (`host.logged`), until
a rule says that what is left may go while the VM stands still. What a round sends is what pages
held when it began, so that a page stored to in a round goes again. Post-copy (Hines and Gopalan,
VEE 2009): the VM stands still for its registers and gPT pages alone, and fetches each page that it
lacks; the others follow by themselves.

Both hosts reach the VM's disk. Left out: compression, several channels, throttling of the VM.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mmulab.mmu.errors import RunError, check_choice, check_range
from mmulab.mmu.host import copies, logged, transport
from mmulab.mmu.host.settings import MIB
from mmulab.mmu.host.storage import Storage
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import ELSEWHERE, Guest
from mmulab.mmu.memory.entries import PAGE_BYTES
from mmulab.mmu.memory.p2m import ON_OTHER_HOST, elsewhere
from mmulab.mmu.memory.status import OK, OUT_OF_HOST_FRAMES
from mmulab.mmu.vmm.dirty_log import LOGS

METHODS = (PRE_COPY, POST_COPY) = ("pre-copy", "post-copy")
RULES = (QEMU, XEN, CLARK) = ("qemu", "xen", "clark")

#: Bytes on the wire of a page, with what names it, and of one of zeros (QEMU migration/ram.c:
#: eight of offset and flags, one of zero; quoted from memory).
PAGE_ON_WIRE, ZERO_ON_WIRE = PAGE_BYTES + 8, 9

#: Of rule "clark": a round is as fast as the last one's pages were dirtied, and 50 Mbit/s more; the
#: last begins where 256 KiB are left (Clark et al., 5.3; quoted from memory).
FASTER, LEFT = 50e6 / 8, 256 << 10

BATCH = 64  # pages that follow by themselves at a time; an assumption
#: Cycles of looking at a leaf of the nested table for its D bit: an assumption, eight leaves a
#: line, and lines that come one after another.
LEAF_CYCLES = 5


@dataclass(frozen=True)
class MigrationSettings:
    """to: a host. method: "pre-copy" or "post-copy". bandwidth: bytes a second; latency: seconds,
    one way.

    Of pre-copy: log: how stores are seen (`vmm.dirty_log`). rule: when the VM stands still: "qemu",
    when what is left takes no more than `downtime`; "xen", when fewer than `least` pages are left,
    or after `rounds`, or when `factor` times the VM's pages have been sent; "clark", whose rounds
    begin at `slowest` bytes a second, when 256 KiB are left or a round would be faster than
    `bandwidth`. zeros: pages of zeros are told of, not sent. Of post-copy: push: pages follow by
    themselves. fails: seconds after which the other host is gone, 0: never.
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


@dataclass(frozen=True)
class Round:
    """One round. at: when it began. sent: pages; zeros: pages told of; seconds: until the next
    began; dirtied: pages stored to in it; accesses: that the VM made in it."""

    at: float
    sent: int
    zeros: int
    seconds: float
    dirtied: int
    accesses: int


@dataclass
class Report:
    """What a migration came to.

    outcome: "finished", "failed", "cancelled", as the VM was switched off meanwhile, or "under way"
    at the run's end. why: what ended the rounds. downtime: seconds that the VM stood still. sent:
    pages, those of all rounds; twice: of those, that had been sent before. faults, pushed: pages
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
    zeros: int = 0
    bytes: int = 0
    faults: int = 0
    pushed: int = 0
    leaves: int = 0
    cut: int = 0
    rounds: list[Round] = field(default_factory=list)


class Migration:
    """A migration under way: on the agenda of one of its hosts. at: when it has its next turn."""

    def __init__(self, settings: MigrationSettings, source: System, guest: Guest) -> None:
        self.settings = settings
        self.source, self.guest = source, guest
        self.target = source.peers[settings.to]
        self.place = self.target.guest(guest.name)
        self.at = source.now
        self.report = Report(
            guest.name, source.settings.name, settings.to, settings.method, settings.log,
            settings.rule, source.now,
        )  # fmt: skip
        self._known = np.zeros(guest.frames, bool)  # pages that have been sent
        self._told = np.zeros(guest.frames, bool)  # pages of zeros that have been told of
        self._dirty = np.zeros(guest.frames, np.int64)
        self._stage = self._end_round
        self._round: tuple[float, int, int, int] = (0.0, 0, 0, 0)
        self._rate = settings.slowest if settings.rule == CLARK else settings.bandwidth
        self._hand = self._left = 0

    def begin(self) -> None:
        """Raises RunError where the VM cannot be sent."""
        guest, settings = self.guest, self.settings
        guest.migration = self
        self.place.renew()
        self.place.paused = True
        self.place.vm.record[0]["host_size"] = 0  # pages of 4 KiB come, and are put as they come
        self.source.migrations.append(self.report)
        if settings.fails:
            self.source.plan(_Failure(self.source.now + settings.fails, self))
        if settings.method == POST_COPY:
            self._begin_post_copy()
            return
        mode = LOGS.index(settings.log)
        self.report.cut = int(logged.begin(guest.machine, mode))
        self._send_round(np.flatnonzero(guest.vm.p2m).astype(np.int64))

    def act(self, system: System) -> None:
        if self.guest.off and self.settings.method == PRE_COPY:
            self._give_up("cancelled")
        elif self.report.outcome == "under way":
            self._stage()

    def _plan(self, system: System, seconds: float) -> None:
        self.at = system.now + seconds
        system.plan(self)

    # --- Pre-copy --------------------------------------------------------------------

    def _send(self, gfns: np.ndarray) -> tuple[int, int, float]:
        """Sends pages as they are now: (sent, zeros, seconds that it takes)."""
        at = sent = zeros = 0

        def go_on() -> int:
            nonlocal at, sent, zeros
            status, at, more, told = transport.send(
                self.guest.machine, self.place.machine, gfns, at, self.settings.zeros
            )
            sent, zeros = sent + int(more), zeros + int(told)
            return int(status)

        self.target.until_ok(self.place, go_on)
        there = gfns[self.place.vm.p2m[gfns] > 0]
        self._told[gfns] = self.place.vm.p2m[gfns] == 0
        self.report.twice += int(self._known[there].sum())
        self._known[there] = True
        self.report.sent += sent
        self.report.zeros += zeros
        size = sent * PAGE_ON_WIRE + zeros * ZERO_ON_WIRE
        self.report.bytes += size
        return sent, zeros, size / self._rate + self.settings.latency

    def _send_round(self, gfns: np.ndarray) -> None:
        sent, zeros, seconds = self._send(gfns)
        self._round = self.source.now, sent, zeros, self.guest.accesses
        self._stage = self._end_round
        self._plan(self.source, seconds)

    def _end_round(self) -> None:
        """What was stored to in the round goes next, with the VM running or standing still."""
        count, looked = logged.collect(self.guest.machine, self._dirty)
        dirty = self._dirty[: int(count)].copy()
        self.report.leaves += int(looked)
        self.source.charge("migration", int(looked) * LEAF_CYCLES)
        begun, sent, zeros, accesses = self._round
        made, seconds = self.guest.accesses - accesses, self.source.now - begun
        self.report.rounds.append(Round(begun, sent, zeros, seconds, len(dirty), made))
        self.report.why = self._why_stop(len(dirty), seconds)
        if self.report.why:
            self._stop_and_copy(dirty)
        else:
            self._send_round(dirty)

    def _why_stop(self, left: int, seconds: float) -> str:
        """Why the VM stands still for what is left; empty where it does not yet."""
        settings, rounds = self.settings, len(self.report.rounds)
        size = left * PAGE_ON_WIRE
        if settings.rule == QEMU:
            return "downtime" if size <= settings.bandwidth * settings.downtime else ""
        if settings.rule == XEN:
            if left < settings.least:
                return "few pages left"
            if rounds >= settings.rounds:
                return "rounds"
            most = settings.factor * int(np.count_nonzero(self.guest.vm.p2m))
            return "pages sent" if self.report.sent > most else ""
        if size <= LEFT:
            return "few pages left"
        self._rate = size / seconds + FASTER if seconds else settings.bandwidth
        if self._rate < settings.bandwidth:
            return ""
        self._rate = settings.bandwidth
        return "rate"

    def _stop_and_copy(self, dirty: np.ndarray) -> None:
        """The rest, and what is not there as it is here: pages given up, paged out, new."""
        self.guest.paused = True
        self._rate = self.settings.bandwidth
        here, there = self.guest.vm.p2m, self.place.vm.p2m
        differ = ((np.sign(here) != np.sign(there)) & ~self._told) | (here < 0)
        differ[dirty] = True
        begun = self.source.now
        sent, zeros, seconds = self._send(np.flatnonzero(differ).astype(np.int64))
        self.report.rounds.append(Round(begun, sent, zeros, seconds, 0, 0))
        self.report.downtime = seconds
        self._stage = self._arrive
        self._plan(self.source, seconds)

    def _arrive(self) -> None:
        """The VM goes on at the other host, and is off here."""
        logged.end(self.guest.machine)
        self._begin_there()
        self._finish()

    def _begin_there(self) -> None:
        guest, place, target = self.guest, self.place, self.target
        target.now = max(target.now, self.source.now)
        transport.look_at_all(guest.machine)
        copies.copy_guest(guest.vm, place.vm)
        transport.forget_tables(place.machine)
        place.vm.record[0]["host_size"] = guest.vm.record[0]["host_size"]
        place.take_over(guest)
        target.run_now(place, lambda: int(copies.wake(place.machine)))
        place.ready_at = target.now
        place.migration, guest.state = self, ELSEWHERE
        place.note(target.now, "arrive", "running", self.report.downtime)

    def _finish(self) -> None:
        self.guest.switch_off()
        self._end("finished", self.target)

    def _end(self, outcome: str, now_at: System) -> None:
        self.report.outcome = outcome
        self.report.seconds = max(now_at.now, self.source.now) - self.report.begun
        for guest in (self.guest, self.place):
            guest.migration = None
            for due in guest.waiting_events:
                due.at = max(due.at, now_at.now)
                now_at.plan(due)
            guest.waiting_events = []

    def fail(self) -> None:
        """The other host is gone: the VM goes on here, and nothing is lost."""
        if self.report.outcome != "under way" or self.settings.method == POST_COPY:
            return
        self._give_up("failed")
        self.guest.paused = False
        self.guest.note(self.source.now, "migration failed", "running")

    def _give_up(self, outcome: str) -> None:
        """Nothing of it stays at the other host."""
        if self.report.outcome == "under way":
            logged.end(self.guest.machine)
            copies.give_back(self.place.machine)
            self.place.off = self.place.finished = True
            self._end(outcome, self.source)

    # --- Post-copy -------------------------------------------------------------------

    def _begin_post_copy(self) -> None:
        guest, place, settings = self.guest, self.place, self.settings
        guest.paused = True
        status, sent, left, told = transport.leave_behind(
            guest.machine, place.machine, settings.zeros
        )
        if status != OK:
            raise RunError(f"vm {guest.name}: host {settings.to} has no room for its page tables")
        report = self.report
        report.sent, report.zeros = int(sent), int(told)
        report.bytes = report.sent * PAGE_ON_WIRE + report.zeros * ZERO_ON_WIRE
        self._left = int(left)
        report.downtime = report.bytes / settings.bandwidth + settings.latency
        bandwidth = settings.bandwidth * PAGE_BYTES / PAGE_ON_WIRE
        self.target.network = Storage(2 * settings.latency, bandwidth)
        self._stage = self._begin_fetching
        self._plan(self.source, report.downtime)

    def _begin_fetching(self) -> None:
        self._begin_there()
        self._stage = self._follow
        self._plan(self.target, 0.0)

    def _remaining(self) -> int:
        _, wheres, _ = elsewhere(self.place.vm.p2m)
        return int((wheres == ON_OTHER_HOST).sum())

    def _follow(self) -> None:
        """Some pages come by themselves; the VM is whole when all have."""
        report, place = self.report, self.place
        batch_seconds = BATCH * PAGE_ON_WIRE / self.settings.bandwidth
        if self.settings.push or place.finished:

            def go_on() -> int:
                status, self._hand, got = transport.fetch(place.machine, self._hand, BATCH)
                report.pushed += int(got)
                return int(status) if status == OUT_OF_HOST_FRAMES else OK

            self.target.until_ok(place, go_on)
            if self.target.network:
                self.target.network.transfer(self.target.now, [self.target.host.remote])
        left = self._remaining()
        if left:
            if self._hand >= place.frames:
                self._hand = 0
            self._plan(self.target, batch_seconds)
            return
        report.faults = self._left - report.pushed
        report.sent += self._left
        report.bytes += self._left * PAGE_ON_WIRE
        self._finish()


@dataclass
class _Failure:
    at: float
    migration: Migration

    def act(self, system: System) -> None:
        self.migration.fail()
