"""A host while it runs: VMs take turns on its cores and share its memory.

    settings --> System: Host + Guests + services, run by `step` until it returns False

Time is simulated: the cycles of whichever VM runs, at the host's clock. A VM that waits
for storage lets others run; when all wait, time goes on to the first that has its answer.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any, Protocol

import numpy as np

from mmulab.mmu.config import preset_files
from mmulab.mmu.errors import RunError
from mmulab.mmu.hardware.cores import build_cores
from mmulab.mmu.host import accounts, hugetlb
from mmulab.mmu.host.cores import PCPUs
from mmulab.mmu.host.failures import why_it_ends, why_short
from mmulab.mmu.host.paging import HostPaging
from mmulab.mmu.host.settings import WEIGHTED, HostSettings, VMSettings, refuse_fixed
from mmulab.mmu.host.storage import Storage
from mmulab.mmu.host.throttle import sleep_after
from mmulab.mmu.host.vm import ELSEWHERE, SPARE, SPARE_HUGE, Guest
from mmulab.mmu.machine.build import make_host
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.state import Disk
from mmulab.mmu.memory.status import OK, OUT_OF_DISK, OUT_OF_GUEST_FRAMES, OUT_OF_HOST_FRAMES
from mmulab.mmu.memory.vm import VM
from mmulab.mmu.memory.watermarks import set_watermarks
from mmulab.mmu.presets.overrides import override
from mmulab.mmu.presets.shootdowns import SHOOTDOWNS
from mmulab.mmu.techniques import registry, specs
from mmulab.mmu.trace import Trace

OpenTrace = Callable[[VMSettings], Trace]


class OutOfMemory(RunError):
    """The host has no frame left, nor a place to page to."""


class Service(Protocol):
    """The seam of a service: something that runs at times of its own beside the VMs.

    name: of its table in a scenario. next_tick: seconds of simulated time; `tick` sets the
    next one.
    """

    name: str
    next_tick: float

    def tick(self, system: System) -> None: ...

    def counters(self, system: System) -> dict[str, float]:
        """What it has done so far, by name."""
        ...

    def note(self, system: System) -> str:
        """Why it has done nothing, or less than it seems; empty otherwise."""
        ...


class Driver(Protocol):
    """Who drives the balloons of guests that cannot wait for the next tick."""

    def hold_to_limit(self, system: System, guest: Guest) -> None:
        """A guest is at its limit: its balloon grows, as far as it can."""
        ...

    def deflate_on_oom(self, guest: Guest) -> int:
        """A guest is out of memory: frames that its balloon gives back."""
        ...


class Due(Protocol):
    """Something that happens once: at, seconds of simulated time."""

    at: float

    def act(self, system: System) -> None: ...


class Frozen(Protocol):
    """A VM that never runs, and has frames all the same: see `host.life`."""

    name: str

    @property
    def vm(self) -> VM: ...


class System:
    """One host with its VMs, ready to run.

    seed: of everything random but the VMs' workloads. open_trace: makes the trace that a
    VM's workload names. now: seconds of simulated time. hertz: of the host's clock. services:
    what is put here takes part. driver: of the balloons, where there are any. cycles_of:
    cycles that services have taken, by name; they run on cores of their own. frozen: VMs that
    never run; snapshots: those that have a name, VM@snapshot. agenda: what is yet to happen, the
    next first. arrivals: kinds of VMs that come and go. peers: the hosts of the scenario, by name;
    network: by which pages come from those; migrations: reports of those that began here.
    image_blocks: room for saved memory, in pages; remote_blocks: for pages on another host.

    Raises InputError for a bad preset, setting or trace.
    """

    def __init__(
        self,
        settings: HostSettings,
        vms: Sequence[VMSettings],
        seed: int,
        open_trace: OpenTrace,
        image_blocks: int = 0,
        remote_blocks: int = 0,
    ) -> None:
        for vm in vms if settings.swap else ():
            refuse_fixed(vm, "page memory out", "leave the host's swap out")
        self.settings = settings
        self.hertz = settings.ghz * 1e9
        asked = [specs.parse(vm.technique) for vm in vms]
        techniques = [*registry.built_in(), *(spec.technique for spec in asked)]
        costs = specs.costs(techniques) | SHOOTDOWNS
        preset = preset_files.load(settings.preset, lambda: costs)
        for key, value in settings.set:
            preset = override(preset, key, value, costs)
        self.preset = preset
        sites = (sum(vm.memory for vm in vms) >> 12) + image_blocks
        total, swap = settings.memory >> 12, settings.swap >> 12
        self.host = make_host(total, True, swap, image_blocks, remote_blocks, sites)
        huge = any(vm.page_size != "4k" for vm in vms)
        set_watermarks(self.host.frames, SPARE_HUGE if huge else SPARE)
        # Techniques that ask for different walk caches share the preset's.
        own = {spec.technique.walk_caches(preset.walk_caches, spec.values) for spec in asked}
        walk_caches = own.pop() if len(own) == 1 else preset.walk_caches
        self.cores, self.units = build_cores(
            settings.cores, replace(preset, walk_caches=walk_caches), seed
        )
        self.guests = [
            Guest(number, vm, open_trace(vm), self.host, self.cores, preset, settings, seed)
            for number, vm in enumerate(vms, start=1)
        ]
        self.pcpus = PCPUs(settings, self.cores)
        self.pcpus.admit(self.guests)
        for guest in self.guests:
            if guest.settings.in_hugetlbfs:
                hugetlb.reserve(guest)
        self.rng = np.random.default_rng(seed)
        self.storage = Storage(settings.latency, settings.bandwidth)
        self.paging = HostPaging(self.host, self.guests, settings.victims, self.rng)
        self.services: list[Service] = []
        self.driver: Driver | None = None
        self.frozen: list[Frozen] = []
        self.snapshots: dict[str, Any] = {}
        self.agenda: list[Due] = []
        self.arrivals: list[Any] = []
        self.peers: dict[str, System] = {settings.name: self}
        self.network: Storage | None = None
        self.migrations: list[Any] = []
        self.cycles_of: dict[str, float] = {}
        self.now = 0.0
        self._numbers = len(self.guests)

    # --- What services use ---------------------------------------------------------

    @property
    def free(self) -> int:
        """Free host frames."""
        counts = self.host.frames.counts
        return int(counts[frames.TOTAL] - counts[frames.IN_USE])

    @property
    def total(self) -> int:
        """Host frames."""
        return int(self.host.frames.counts[frames.TOTAL])

    def free_up(self, want: int) -> bool:
        """Pages out what it takes to have so many frames and the high mark free; False where
        the host cannot."""
        need = max(want, int(self.host.frames.counts[frames.HIGH]))
        return self.paging.free_up(need) >= need

    def room_for(self, guest: Guest, count: int) -> bool:
        """Pages out so that a guest can take so many frames more: of its own where it is at its
        limit, of all otherwise. Those that are reserved to it are no matter then: a reservation
        is against others. False where nothing can leave."""
        above = guest.above_limit
        if above:
            batch = above + int(self.host.frames.counts[frames.MIN])
            return self.paging.take(guest, batch, down_to=0) > 0
        return self.free_up(count)

    @property
    def live(self) -> list[Guest]:
        """Guests that are switched on, and not suspended: one whose workload has ended keeps its
        memory."""
        return [g for g in self.guests if g.started and not g.off and not g.paused]

    def ended_before(self, time: float) -> str:
        """What a service says of something that was due after the run."""
        return f"it was due at {time:g} s, and the run ended at {self.now:.3g} s"

    def guest(self, name: str) -> Guest:
        """The VM of a name."""
        return next(guest for guest in self.guests if guest.name == name)

    def where(self, vm: str) -> System:
        """The host that a VM is on by now."""
        return next(s for s in self.peers.values() if s.has(vm) and s.guest(vm).state != ELSEWHERE)

    def has(self, vm: str) -> bool:
        """Whether a VM is, was or can come here."""
        return any(guest.name == vm for guest in self.guests)

    def plan(self, due: Due) -> None:
        """Puts something on the agenda, behind what is due at the same time."""
        insort(self.agenda, due, key=lambda each: each.at)

    def new_number(self) -> int:
        """A number that no VM of the host has had."""
        self._numbers += 1
        return self._numbers

    def until_ok(self, guest: Guest, go_on: Callable[[], int]) -> None:
        """Does something to a guest that can be begun again: where it fails for want of host
        frames, the host makes room."""
        self._mend_until_ok(guest, go_on)

    def run_now(self, guest: Guest, go_on: Callable[[], int]) -> None:
        """`until_ok` for what the guest itself does: the core switches to it."""
        self.pcpus.arrive(guest)
        self._mend_until_ok(guest, go_on)

    def boot(self, guest: Guest) -> None:
        """A guest boots that something is about to happen to, if it has not had its turn yet."""
        if not guest.started:
            self.run_now(guest, guest.start)
            guest.note(self.now, "start", "running")

    def write(self, blocks: int) -> float:
        """Seconds until so many blocks, which have gone to the store of images, are written."""
        self.storage.transfer(self.now, [self.host.images])
        return max(0.0, self.storage.busy_until - self.now) if blocks else 0.0

    def read(self, guest: Guest) -> float:
        """When what has been read for a guest is there."""
        done = self.storage.transfer(self.now, self._disks(guest))
        if self.network:
            done = max(done, self.network.transfer(self.now, [self.host.remote]))
        return done

    def _disks(self, guest: Guest) -> list[Disk]:
        return [guest.vm.disk, self.host.swap, self.host.images]

    def charge(self, service: str, cycles: float) -> None:
        """Cycles that a service has taken."""
        self.cycles_of[service] = self.cycles_of.get(service, 0.0) + cycles

    # --- Time ----------------------------------------------------------------------

    def step(self) -> bool:
        """One VM's turn, or what comes before the next, and what is due after it. False when every
        VM has ended and nothing is left to happen."""
        if self._is_idle():
            if not self.agenda:
                return False
            self.now = max(self.now, self.agenda[0].at)
            self._tick()
            return True
        guest = self._next()
        if self.free < int(self.host.frames.counts[frames.LOW]):
            self.paging.free_up(int(self.host.frames.counts[frames.HIGH]))
        self._switch_off_until(self.now)
        if not guest.off:
            self._take_turn(guest)
        self._tick()
        return True

    def _soonest(self) -> float:
        """When the first guest can run."""
        return min(
            (g.ready_at for g in self.guests if not g.finished and not g.paused), default=inf
        )

    def next_time(self) -> float:
        """When it has something to do; infinite where it has not."""
        due = min(self._soonest(), self.agenda[0].at if self.agenda else inf)
        return max(self.now, due)

    def _is_idle(self) -> bool:
        """True where no guest can run, or none before something else is due."""
        soonest = self._soonest()
        return soonest == inf or (bool(self.agenda) and self.agenda[0].at <= soonest)

    def _next(self) -> Guest:
        """The guest whose turn it is; time goes on to the first that can run."""
        guest, self.now = self.pcpus.next(self.guests, self.now)
        return guest

    def _quantum(self, guest: Guest) -> int:
        settings = self.settings
        if settings.scheduler != WEIGHTED:
            return settings.quantum
        mean = sum(g.settings.shares for g in self.guests) / len(self.guests)
        return max(1, int(settings.quantum * guest.settings.shares / mean))

    def _take_turn(self, guest: Guest) -> None:
        self._settle(guest)
        self.pcpus.begin(guest, self.now)
        if not guest.started:
            self._mend_until_ok(guest, guest.start)
            guest.note(self.now, "start", "running")
        guest.tell_time(self.now)
        guest.left = self._quantum(guest)
        self._mend_until_ok(guest, guest.go_on)
        self._settle(guest)
        before, guest.spent = guest.spent, accounts.spent(guest)
        taken = [now - then for now, then in zip(guest.spent, before, strict=True)]
        ran = max(taken) / self.hertz
        self.now = self.pcpus.end(guest, [cycles / self.hertz for cycles in taken])
        done_at = self.read(guest)
        done_at += guest.waiting
        guest.waiting = 0.0
        guest.stalled += done_at - self.now
        slept = sleep_after(ran, guest.throttle)
        guest.held_back += slept
        guest.ready_at = done_at + slept
        guest.ended_at = max(self.now, done_at)
        self.now = min(pcpu.free_at for pcpu in self.pcpus.all)

    @staticmethod
    def _settle(guest: Guest) -> None:
        """A guest's vCPUs drop what they have been told to. Raises RunError where one cannot."""
        if len(guest.vcpus) > 1 and guest.started:
            status = guest.turns.settle()
            if status != OK:
                raise RunError(f"vm {guest.name}: {why_it_ends(status, guest)}")

    def _mend_until_ok(self, guest: Guest, go_on: Callable[[], int]) -> None:
        """Runs a guest; where the host is short of frames, pages out and goes on."""
        fruitless = 0
        while (status := go_on()) != OK:
            if status in (OUT_OF_GUEST_FRAMES, OUT_OF_DISK) and self.driver:
                if self.driver.deflate_on_oom(guest):
                    continue
            if status != OUT_OF_HOST_FRAMES:
                raise RunError(
                    f"vm {guest.name}: at access {guest.accesses:,}: {why_it_ends(status, guest)}"
                )
            if guest.above_limit:
                self._hold_to_limit(guest)
                continue
            need = max(guest.need, int(self.host.frames.counts[frames.MIN]))
            high = int(self.host.frames.counts[frames.HIGH])
            if self.paging.free_up(max(need, high)) < need:
                fruitless += 1
            if fruitless:
                raise OutOfMemory(why_short(self.host, guest, self.now))

    def _hold_to_limit(self, guest: Guest) -> None:
        """Takes from a guest that is at its limit: first by its balloon, then by the host's
        paging (VMware, vSphere Resource Management, "Memory Reclamation")."""
        if self.driver:
            self.driver.hold_to_limit(self, guest)
        if guest.above_limit and not self.room_for(guest, 0):
            raise OutOfMemory(why_short(self.host, guest, self.now))

    def _tick(self) -> None:
        """What is due, in the order of its time: a service that catches up sees those VMs that
        were on then."""
        while (time := self._next_due()) <= self.now:
            self._tick_services(time)
            self._switch_off_until(time)
            while self.agenda and self.agenda[0].at <= time:
                self.agenda.pop(0).act(self)
        self._tick_services(self.now)

    def _next_due(self) -> float:
        """When the next VM is to be switched off, or something else is to happen."""
        stops = [g.settings.stop for g in self.guests if g.started and not g.off]
        times = [stop for stop in stops if stop > 0]
        return min(times + [self.agenda[0].at] if self.agenda else times, default=inf)

    def _tick_services(self, until: float) -> None:
        for service in self.services:
            while service.next_tick <= until:
                service.tick(self)

    def _switch_off_until(self, time: float) -> None:
        for guest in self.guests:
            if 0 < guest.settings.stop <= time and guest.started and not guest.off:
                guest.switch_off()
                guest.note(time, "stop", "off")
