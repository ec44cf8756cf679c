"""The pCPUs of a host: who runs on each, until when it is busy, and who is next.

    round-robin   VMs in turn, for the same number of accesses
    weighted      in turn, for more or fewer by their shares
    credit        as Xen's: each 30 ms a VM is given credits by its shares, and pays with the time
                  of its vCPUs; who has some left goes before who has not, in turn
    pinned        in turn; each vCPU on one pCPU: `pin`, or the next that nobody has been given
    gang          in turn; all vCPUs of a VM begin at once, when as many pCPUs are free (Ousterhout,
                  Scheduling Techniques for Concurrent Systems, ICDCS 1982; ESX's co-scheduling)

A VM's turn is a quantum of its workload, in the workload's order, on all of its vCPUs; what each
has done takes time on the pCPU that it is on, from when that is free. The next turn begins when all
have done theirs: threads meet once a quantum, an assumption. A vCPU goes where it can begin first,
if it can choose to where it was. Turns begin in the order of their times, ties in that of VMs.

An IPI to a vCPU that waits for its pCPU is waited for until that runs. Left out: the preemption of
a vCPU that holds a lock; vCPUs that a VMM moves within a turn; NUMA; simultaneous multithreading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from mmulab.mmu.errors import InputError
from mmulab.mmu.hardware.state import Core
from mmulab.mmu.host import world_switch
from mmulab.mmu.host.settings import CREDIT, GANG, PINNED, HostSettings
from mmulab.mmu.host.vm import Guest

#: Seconds between two accountings of credits (Xen, xen/common/sched/credit.c,
#: CSCHED_DEFAULT_TSLICE_MS).
ACCOUNTING = 0.03


@dataclass
class PCPU:
    """One of them. free_at: seconds, when it has done what it has begun. busy: seconds that vCPUs
    ran on it. runs: (VM, vCPU) that it runs, or ran last. switches: from one vCPU to another."""

    core: Core
    free_at: float = 0.0
    busy: float = 0.0
    runs: tuple[Guest, int] | None = None
    switches: int = 0


@dataclass
class Turn:
    """A VM's turn. where, begins: pCPU and seconds, by vCPU."""

    guest: Guest
    where: dict[int, int] = field(default_factory=dict)
    begins: dict[int, float] = field(default_factory=dict)


class PCPUs:
    """Raises InputError where a VM has more vCPUs than there are pCPUs, or is pinned beyond."""

    def __init__(self, settings: HostSettings, cores: Sequence[Core]) -> None:
        self.settings = settings
        self.all = [PCPU(core) for core in cores]
        self._turn: Turn | None = None
        self._next = 0
        self._pins: dict[str, tuple[int, ...]] = {}
        self._credits: dict[int, float] = {}
        self._accounted = 0.0

    def admit(self, guests: Sequence[Guest]) -> None:
        """Says where pinned vCPUs run."""
        given = 0
        for guest in guests:
            vcpus, pins = guest.settings.vcpus, guest.settings.pins
            if vcpus > len(self.all) or max(pins, default=0) >= len(self.all):
                pinned = f", pinned to {guest.settings.pin}," if pins else ""
                raise InputError(
                    f"vm {guest.name}: {vcpus} vCPUs{pinned} on a host of {len(self.all)} cores; "
                    f"give [host] cores more"
                )
            if self.settings.scheduler == PINNED:
                if not pins:
                    pins = tuple((given + n) % len(self.all) for n in range(vcpus))
                    given += vcpus
                self._pins[guest.name] = pins

    # --- Who is next ---------------------------------------------------------------

    def _begins_at(self, guest: Guest, free_at: Sequence[float]) -> float:
        """When a VM's next turn can begin. free_at: of all pCPUs, ascending."""
        pins = self._pins.get(guest.name)
        if pins:
            free = self.all[pins[guest.turns.at]].free_at
        elif self.settings.scheduler == GANG:
            free = free_at[len(_with_work(guest)) - 1]
        else:
            free = free_at[0]
        return max(guest.ready_at, free)

    def next(self, guests: Sequence[Guest], now: float) -> tuple[Guest, float]:
        """The VM whose turn it is, and when that begins: one of them can run."""
        free_at = sorted(pcpu.free_at for pcpu in self.all)
        count = len(guests)
        in_turn = (guests[(self._next + n) % count] for n in range(count))
        can_run = [guest for guest in in_turn if not guest.finished and not guest.paused]
        now = max(now, self._soonest(can_run, free_at))
        self._advance(now)
        ready = [
            guest
            for guest in can_run
            if guest.ready_at <= now and self._begins_at(guest, free_at) <= now
        ]
        chosen = ready[0]
        if self.settings.scheduler == CREDIT:
            self._account(guests, now)
            chosen = next((g for g in ready if self._credits.get(g.number, 0.0) > 0), chosen)
        self._next = (guests.index(chosen) + 1) % count
        return chosen, now

    def _soonest(self, guests: Sequence[Guest], free_at: Sequence[float]) -> float:
        """When the first of them can begin, which is never before it is ready: of the thousands
        that are yet to come, none is asked."""
        soonest = inf
        for guest in guests:
            if guest.ready_at < soonest:
                soonest = min(soonest, self._begins_at(guest, free_at))
        return soonest

    def _advance(self, now: float) -> None:
        """No pCPU has anything to do before."""
        for pcpu in self.all:
            pcpu.free_at = max(pcpu.free_at, now)

    def _account(self, guests: Sequence[Guest], now: float) -> None:
        """Gives credits, in seconds of a pCPU, for the time since it last did."""
        periods = int((now - self._accounted) / ACCOUNTING)
        if periods == 0 and self._credits:
            return
        self._accounted += periods * ACCOUNTING
        active = [g for g in guests if not g.finished and not g.paused]
        shares = sum(g.settings.shares for g in active)
        whole = max(1, periods) * ACCOUNTING * len(self.all)
        for guest in active:
            given = whole * guest.settings.shares / shares
            had = self._credits.get(guest.number, 0.0)
            self._credits[guest.number] = min(had + given, ACCOUNTING * guest.settings.vcpus)

    # --- A turn --------------------------------------------------------------------

    def begin(self, guest: Guest, now: float) -> None:
        """A VM's turn begins: pCPUs for its vCPUs that have threads."""
        self._advance(now)
        self._turn = turn = Turn(guest)
        for number in _with_work(guest):
            self._place(turn, number)
        if self.settings.scheduler == GANG:
            at = max(turn.begins.values())
            turn.begins = dict.fromkeys(turn.begins, at)
        first = min(turn.begins.values())
        for number in range(len(guest.vcpus)):
            guest.vm.cpu[number]["off"] = turn.begins.get(number, first) > first
        guest.arrive = self.arrive
        self.arrive(guest)

    def _place(self, turn: Turn, number: int) -> None:
        guest = turn.guest
        pins = self._pins.get(guest.name)
        free = {n: pcpu.free_at for n, pcpu in enumerate(self.all)}
        if pins:
            where = pins[number]
        else:
            others = free.keys() - turn.where.values()
            where = min(others, key=lambda n: (free[n], n != guest.on[number], n))
        turn.where[number], turn.begins[number] = where, free[where]

    def arrive(self, guest: Guest) -> None:
        """The vCPU whose turn it is begins to run."""
        number = guest.turns.at
        where = guest.on[number]
        if self._turn and self._turn.guest is guest:
            if number not in self._turn.where:  # its first thread begins in this turn
                self._place(self._turn, number)
            where = self._turn.where[number]
        has_moved = where != guest.on[number]
        if has_moved:
            self._depart(guest, number)
            guest.on[number] = where
        pcpu = self.all[where]
        if pcpu.runs == (guest, number):
            return
        if pcpu.runs is not None:
            other, vcpu = pcpu.runs
            world_switch.leave(other.machine_of(vcpu))
            pcpu.switches += 1
        if pcpu.runs is not None or has_moved:
            world_switch.enter(guest.machine)
        if has_moved:
            # What it left here before may have changed since (Linux KVM, vmx_vcpu_load_vmcs():
            # KVM_REQ_TLB_FLUSH where vmx->loaded_vmcs->cpu != cpu).
            world_switch.flush(guest.machine)
        pcpu.runs = guest, number

    def _depart(self, guest: Guest, number: int) -> None:
        """A vCPU leaves its pCPU for another."""
        old = self.all[guest.on[number]]
        if old.runs == (guest, number):
            world_switch.leave(guest.machine_of(number))
            old.runs = None
        guest.moves[number] += 1

    def end(self, guest: Guest, seconds: Sequence[float]) -> float:
        """A VM's turn is over, in which its vCPUs ran for so long. Returns when all have ended."""
        turn = self._turn
        assert turn is not None and turn.guest is guest
        self._turn, guest.arrive = None, None
        ends = [max(turn.begins.values())]
        for number, begun in turn.begins.items():
            waited = self._waited(turn, number)
            guest.waits[number] += waited
            if seconds[number] + waited == 0:
                continue
            pcpu = self.all[turn.where[number]]
            guest.steal[number] += max(0.0, begun - guest.ready_at)
            pcpu.busy += seconds[number] + waited
            pcpu.free_at = begun + waited + seconds[number]
            ends.append(pcpu.free_at)
            if guest.number in self._credits:
                self._credits[guest.number] -= seconds[number] + waited
        guest.vm.cpu["off"] = 0
        return max(ends)

    @staticmethod
    def _waited(turn: Turn, number: int) -> float:
        """Seconds that a vCPU waited for others that did not run when it sent them an IPI."""
        here = turn.guest.vm.cpu[number]
        late = [
            begun - turn.begins[number]
            for other, begun in turn.begins.items()
            if int(here["waited_for"]) >> other & 1
        ]
        here["waited_for"] = 0
        return max(0.0, *late) if late else 0.0


def _with_work(guest: Guest) -> list[int]:
    """vCPUs that have threads, and the one whose turn it is."""
    threads = guest.vm.cpu["threads"]
    return [n for n in range(len(guest.vcpus)) if threads[n] or n == guest.turns.at]
