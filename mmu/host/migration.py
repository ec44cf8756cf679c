"""Live migration of a VM from one host to another: pre-copy in rounds, or post-copy.

Pre-copy (Clark et al., NSDI 2005): all pages, then those stored to meanwhile (`host.logged`), until
a rule says that what is left may go while the VM stands still. What a round sends is what pages
held when it began, so that a page stored to in a round goes again. Post-copy (Hines and Gopalan,
VEE 2009): the VM stands still for its registers and gPT pages alone, and fetches each page that it
lacks; the others follow by themselves. Hybrid: rounds of pre-copy, then post-copy of what was
stored to since.

Both hosts reach the VM's disk. Left out: compression of pages that go for the first time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmulab.mmu.errors import RunError
from mmulab.mmu.host import copies, logged, transport
from mmulab.mmu.host.deltas import Deltas
from mmulab.mmu.host.migration_report import (
    CLARK,
    FASTER,
    HYBRID,
    LEFT,
    PAGE_ON_WIRE,
    POST_COPY,
    QEMU,
    XEN,
    ZERO_ON_WIRE,
    MigrationSettings,
    Report,
    Round,
)
from mmulab.mmu.host.storage import Storage
from mmulab.mmu.host.system import System
from mmulab.mmu.host.throttle import Throttle
from mmulab.mmu.host.vm import ELSEWHERE, Guest
from mmulab.mmu.memory.entries import PAGE_BYTES
from mmulab.mmu.memory.p2m import ON_OTHER_HOST, elsewhere
from mmulab.mmu.memory.status import OK, OUT_OF_HOST_FRAMES
from mmulab.mmu.vmm.dirty_log import LOGS

BATCH = 64  # pages that follow by themselves at a time; an assumption
#: Cycles of looking at a leaf of the nested table for its D bit: an assumption, eight leaves a
#: line, and lines that come one after another.
LEAF_CYCLES = 5


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
        self._rate = settings.slowest if settings.rule == CLARK else settings.speed
        self._throttle = Throttle()
        self._held_back = guest.held_back
        self._deltas = Deltas(settings.delta_cache, settings.changed)
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
            self._begin_post_copy(np.ones(guest.frames, bool))
            return
        mode = LOGS.index(settings.log)
        self.report.cut = int(logged.begin(guest.machine, mode))
        self._send_round(np.flatnonzero(guest.vm.p2m).astype(np.int64))

    def act(self, system: System) -> None:
        if self.guest.off and self._here:
            self._give_up("cancelled")
        elif self.report.outcome == "under way":
            self._stage()

    @property
    def _here(self) -> bool:
        """Whether all of the VM's memory is still where it was."""
        return self._stage in (self._end_round, self._arrive)

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
        # QEMU's cache is begun when all pages have gone once.
        deltas = self._deltas.send(there) if self.report.rounds else 0
        self.report.deltas += deltas
        self.report.sent += sent
        self.report.zeros += zeros
        size = (sent - deltas) * PAGE_ON_WIRE + zeros * ZERO_ON_WIRE
        size += deltas * self._deltas.on_wire
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
        self.report.rounds.append(
            Round(begun, sent, zeros, seconds, len(dirty), made, self.guest.throttle)
        )
        self.report.why = self._why_stop(len(dirty), seconds)
        if self.report.why == POST_COPY:
            lacking = self._lacking(dirty)
            logged.end(self.guest.machine)
            self._begin_post_copy(lacking)
        elif self.report.why:
            self._stop_and_copy(dirty)
        else:
            if self.settings.converge:
                self.guest.throttle = self._throttle.look(sent, len(dirty))
            self._send_round(dirty)

    def _why_stop(self, left: int, seconds: float) -> str:
        """Why the VM stands still for what is left; empty where it does not yet."""
        settings, rounds = self.settings, len(self.report.rounds)
        size = left * PAGE_ON_WIRE
        if settings.method == HYBRID and rounds >= settings.passes:
            return POST_COPY
        if settings.rule == QEMU:
            return "downtime" if size <= settings.speed * settings.downtime else ""
        if settings.rule == XEN:
            if left < settings.least:
                return "few pages left"
            if rounds >= settings.rounds:
                return "rounds"
            most = settings.factor * int(np.count_nonzero(self.guest.vm.p2m))
            return "pages sent" if self.report.sent > most else ""
        if size <= LEFT:
            return "few pages left"
        self._rate = size / seconds + FASTER if seconds else settings.speed
        if self._rate < settings.speed:
            return ""
        self._rate = settings.speed
        return "rate"

    def _lacking(self, dirty: np.ndarray) -> np.ndarray:
        """By page, whether it is not there as it is here: stored to, given up, paged out, new."""
        here, there = self.guest.vm.p2m, self.place.vm.p2m
        lacking: np.ndarray = ((np.sign(here) != np.sign(there)) & ~self._told) | (here < 0)
        lacking[dirty] = True
        return lacking

    def _stop_and_copy(self, dirty: np.ndarray) -> None:
        """The rest goes while the VM stands still."""
        self.guest.paused = True
        self._rate = self.settings.speed
        lacking = self._lacking(dirty)
        begun = self.source.now
        sent, zeros, seconds = self._send(np.flatnonzero(lacking).astype(np.int64))
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
        self.guest.throttle = 0.0
        self.report.throttled = self.guest.held_back - self._held_back
        self.report.seconds = max(now_at.now, self.source.now) - self.report.begun
        for guest in (self.guest, self.place):
            guest.migration = None
            for due in guest.waiting_events:
                due.at = max(due.at, now_at.now)
                now_at.plan(due)
            guest.waiting_events = []

    def fail(self) -> None:
        """The other host is gone: the VM goes on here, and nothing is lost. Once it runs there, it
        cannot."""
        if self.report.outcome != "under way" or not self._here:
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

    def _begin_post_copy(self, lacking: np.ndarray) -> None:
        """lacking: by page, whether the other host does not have it."""
        guest, place, settings = self.guest, self.place, self.settings
        guest.paused = True
        status, sent, left, told = transport.leave_behind(
            guest.machine, place.machine, lacking, settings.zeros
        )
        if status != OK:
            raise RunError(f"vm {guest.name}: host {settings.to} has no room for its page tables")
        report = self.report
        size = int(sent) * PAGE_ON_WIRE + int(told) * ZERO_ON_WIRE
        report.twice += int((self._known & lacking & (place.vm.p2m != 0)).sum())
        report.sent, report.zeros = report.sent + int(sent), report.zeros + int(told)
        report.bytes += size
        self._left = int(left)
        report.downtime = size / settings.speed + settings.latency
        bandwidth = settings.speed * PAGE_BYTES / PAGE_ON_WIRE
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
        batch_seconds = BATCH * PAGE_ON_WIRE / self.settings.speed
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
