"""Ballooning: how much of its memory each guest may use, and making it so.

Policies say how large each balloon should be (`services/policies`). The driver in the guest may
fall short of that: when nothing is left that the guest could page out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmulab.mmu.config import python_files
from mmulab.mmu.errors import check_choice, check_range
from mmulab.mmu.guest.drivers import balloon
from mmulab.mmu.host import reclaim
from mmulab.mmu.host.settings import MIB
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.status import OUT_OF_HOST_FRAMES
from mmulab.mmu.services import esx
from mmulab.mmu.services.policies import files
from mmulab.mmu.services.policies.asked import UNKNOWN, BalloonPolicy, HostMemory, VMs
from mmulab.mmu.services.policies.esx import Esx
from mmulab.mmu.services.policies.fixed import Fixed
from mmulab.mmu.services.policies.proxmox import Proxmox

POLICIES = ("esx", "esxi", "proxmox", "fixed")

#: Pages that a guest takes back at a time (Linux drivers/virtio/virtio_balloon.c,
#: VIRTIO_BALLOON_OOM_NR_PAGES; the default of its parameter oom_pages, earlier).
OOM_PAGES = 256

_ROUNDING = 1e-9
"""Seconds or pages: a sum of periods is not quite their product."""


@dataclass(frozen=True)
class BalloonSettings:
    """Ballooning.

    policy: "esx" or "esxi" (targets by shares and the idle-memory tax, when the host is short;
    with the states of 2002 or of vSphere 6), "proxmox" (a part of the host's memory is to be
    used, by shares), "fixed" (each VM's `balloon`, and events), or a Python file of yours.
    period: seconds between two looks at the targets. tax: part of an idle page's price that is
    taken away. sample: pages of a VM whose use is watched in each period (Waldspurger, OSDI
    2002, 5.3: 100 in 30 s). target, step: of "proxmox": the part of the host's memory that
    should be in use, and bytes by which a VM changes in a look at most. rate: pages a
    second that a driver inflates or deflates by at most. deflate_on_oom: a guest that is out of
    memory takes pages back from its balloon (VIRTIO_BALLOON_F_DEFLATE_ON_OOM: Virtio 1.2,
    5.5.3), and does not give them again until its target changes: as Linux's driver, which
    looks at its target when that changes. One that is still on its way would go on, there.
    """

    policy: str = "esx"
    period: float = 1.0  # assumption
    tax: float = 0.75  # Waldspurger 2002, 5.2
    sample: int = 100
    sample_period: float = 30.0  # Waldspurger 2002, 5.3
    target: float = 0.8  # pve-manager PVE/Service/pvestatd.pm; its looks are 10 s apart
    step: int = 100 * MIB  # as target
    rate: float = 250_000  # assumption: 1 GB a second, near what memory can be zeroed at
    deflate_on_oom: bool = False  # QEMU hw/virtio/virtio-balloon.c: deflate-on-oom is off

    def __post_init__(self) -> None:
        if python_files.is_file(self.policy):
            files.load(self.policy)
        else:
            check_choice("balloon policy", self.policy, POLICIES)
        check_range("balloon period", self.period, 1e-6, 1e6, " s")
        check_range("balloon sample period", self.sample_period, 1e-6, 1e6, " s")
        check_range("balloon tax", self.tax, 0, 0.999)
        check_range("balloon sample", self.sample, 1, 1_000_000)
        check_range("balloon target", self.target, 0, 1)
        check_range("balloon step", self.step, 4096, 1 << 42, " bytes")
        check_range("balloon rate", self.rate, 1, 1e12)

    @property
    def by_shares(self) -> bool:
        """Whether the policy may go by shares."""
        return self.policy != "fixed"


def make_policy(settings: BalloonSettings, system: System) -> BalloonPolicy:
    """The policy that settings name. Raises InputError."""
    if settings.policy == "fixed":
        return Fixed({guest.name: guest.settings.balloon >> 12 for guest in system.guests})
    if settings.policy == "proxmox":
        return Proxmox(settings.target, settings.step >> 12)
    if settings.policy == "esx":
        return Esx(settings.tax, esx.Thresholds())
    if settings.policy == "esxi":
        return Esx(settings.tax, esx.of_esxi(system.total))
    return files.Asked.of_file(settings.policy)


class Balloon:
    """The balloon service.

    events: (seconds, name of a VM, bytes): from that time on, "fixed" wants so much of it.
    policy: chooses targets at each look, in place of the one that the settings name.
    """

    name = "balloon"

    def __init__(
        self,
        settings: BalloonSettings,
        system: System,
        events: Iterable[tuple[float, str, int]] = (),
        policy: files.Targets | None = None,
    ) -> None:
        self.settings = settings
        self.next_tick = settings.period
        self.policy = files.Asked(policy) if policy else make_policy(settings, system)
        self.events = sorted(events, key=lambda event: event[0])
        self.use = esx.ActiveMemory(len(system.guests))
        self.state = esx.State.HIGH
        self.inflated = self.deflated = self.refused = self.paged = 0
        self.on_oom = 0
        self.ticks = 0
        self._told: dict[int, int] = {}
        self._given_way: dict[int, int] = {}  # targets that guests out of memory did not reach
        self.ticks_in = dict.fromkeys(self.policy.thresholds.states, 0)
        self._sampled: dict[int, np.ndarray] = {}
        self._next_sample = 0.0
        self._seen: dict[int, tuple[int, int]] = {}
        system.driver = self
        for guest in system.guests:
            guest.vm.record[0]["deflate_on_oom"] = settings.deflate_on_oom

    def tick(self, system: System) -> None:
        due = self.next_tick
        self.next_tick += self.settings.period
        self.ticks += 1
        if self.policy.watches and system.now >= self._next_sample:
            self._sample(system)
        self._heed_events(due)
        guests = system.live
        if not guests:
            return
        thresholds = self.policy.thresholds
        self.state = esx.next_state(self.state, system.free, system.total, thresholds)
        self.ticks_in[self.state] += 1
        host = HostMemory(system.free, system.total, due, self.state)
        plan = self.policy.plan(VMs.of([self._look(guest) for guest in guests]), host)
        columns = (plan.balloon, plan.page, plan.blocked, plan.due)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for guest, (target, page, blocked, deserved) in zip(guests, rows, strict=True):
            target = min(max(self._least(guest), int(target)), guest.frames)
            left = guest.frames - target
            system.paging.grants[guest.number] = left if deserved == UNKNOWN else deserved
            self._drive(system, guest, target, page)
            if blocked:
                guest.ready_at = max(guest.ready_at, self.next_tick)

    # --- Looking -------------------------------------------------------------------

    def _look(self, guest: Guest) -> dict[str, Any]:
        """A row of `VMs`."""
        stats, counts = guest.counted.stats[0], guest.vm.frames.counts
        now = int(stats["guest_swap_ins"]), int(stats["host_swap_ins"])
        before = self._seen.get(guest.number, (0, 0))
        self._seen[guest.number] = now
        return dict(
            name=guest.name,
            memory=guest.frames,
            held=guest.held,
            balloon=guest.ballooned,
            free=int(counts[frames.TOTAL] - counts[frames.IN_USE]),
            shares=guest.settings.shares,
            reservation=guest.reservation,
            limit=guest.limit,
            active=self._active(guest),
            guest_swap_ins=now[0] - before[0],
            host_swap_ins=now[1] - before[1],
        )

    def _active(self, guest: Guest) -> float:
        """Part of its memory that a guest uses; all of it as long as nothing is known."""
        vm = guest.number - 1
        return float(self.use.estimate[vm]) if self.use.periods[vm] else 1.0

    def _sample(self, system: System) -> None:
        """Ends a sampling period and begins the next: which of some random pages are used?"""
        self._next_sample = system.now + self.settings.sample_period
        for guest in system.live:
            watched = self._sampled.get(guest.number)
            if watched is not None and len(watched):
                used = int(reclaim.reached(guest.machine, watched))
                self.use.end_period(guest.number - 1, used, len(watched))
            chosen = guest.gfns(system.rng, self.settings.sample)
            reclaim.watch(guest.machine, chosen)
            self._sampled[guest.number] = chosen

    def _heed_events(self, due: float) -> None:
        """due: when the tick is, which may be made up for later, at the end of a VM's turn."""
        while self.events and self.events[0][0] <= due + _ROUNDING:
            _, vm, size = self.events.pop(0)
            if isinstance(self.policy, Fixed):
                self.policy.targets[vm] = size >> 12

    # --- Acting --------------------------------------------------------------------

    def _drive(self, system: System, guest: Guest, target: int, pages: int) -> None:
        """Tells a guest's driver its target, and pages out so many pages besides."""
        most = self._allowance()
        self._told[guest.number] = target
        change = min(most, abs(target - guest.ballooned))
        if target < guest.ballooned:
            self.deflated += int(balloon.deflate(guest.machine, change))
        elif change and self._given_way.get(guest.number) != target:
            self._given_way.pop(guest.number, None)
            given = self._inflate(system, guest, change)
            self.inflated += given
            self.refused += change - given
        if pages:
            self.paged += system.paging.take(guest, min(most, pages))

    def _inflate(self, system: System, guest: Guest, count: int) -> int:
        """Frames that the driver gave; host frames are found where its paging needs them."""
        given = 0
        while given < count:
            status, more = balloon.inflate(guest.machine, count - given)
            given += int(more)
            if status != OUT_OF_HOST_FRAMES or not system.room_for(guest, count):
                break
        return given

    def _allowance(self) -> int:
        """Pages that a driver may move in this tick: what the rate allows in all ticks so far,
        less what it allowed in those before."""
        pages = self.settings.rate * self.settings.period
        before = int(pages * (self.ticks - 1) + _ROUNDING)
        return int(pages * self.ticks + _ROUNDING) - before

    def _least(self, guest: Guest) -> int:
        """What a balloon keeps of what it took to hold a guest to its limit."""
        return min(guest.ballooned, guest.frames - guest.limit + guest.margin)

    def hold_to_limit(self, system: System, guest: Guest) -> None:
        """Leaves the guest what its limit allows; it waits as long as its driver takes. One that
        has no disk to page to is left alone: it would be out of memory."""
        if not guest.settings.disk:
            return
        count = guest.frames - guest.limit + guest.margin - guest.ballooned
        if count > 0:
            given = self._inflate(system, guest, count)
            self.inflated += given
            guest.waiting += given / self.settings.rate

    def deflate_on_oom(self, guest: Guest) -> int:
        """Frames that a guest takes back because it is out of memory (Linux
        drivers/virtio/virtio_balloon.c, virtio_balloon_oom_notify())."""
        if not self.settings.deflate_on_oom:
            return 0
        given = int(balloon.deflate(guest.machine, OOM_PAGES))
        self.deflated += given
        self.on_oom += given
        self._given_way[guest.number] = self._told.get(guest.number, 0)
        return given

    def counters(self, system: System) -> dict[str, float]:
        """Frames inflated, deflated (of those because a guest was out of memory) and refused in
        all, and paged out in their place; frames in balloons now; ticks in each reclamation
        state."""
        return {
            "inflated": self.inflated,
            "deflated": self.deflated,
            "deflated_on_oom": self.on_oom,
            "refused": self.refused,
            "paged": self.paged,
            "frames": sum(guest.ballooned for guest in system.guests),
            **{f"ticks_{state.name.lower()}": n for state, n in self.ticks_in.items()},
        }

    def note(self, system: System) -> str:
        if self.events:
            at, vm, _ = self.events[0]
            return f"an event never came: a target of {vm}: {system.ended_before(at)}"
        if self.inflated or self.paged:
            return ""
        return "never acted: " + self._why_idle(system)

    def _why_idle(self, system: System) -> str:
        if not self.ticks:
            return f"{system.ended_before(self.next_tick)}; set a shorter [balloon] period"
        if self.refused:
            return "no guest had a page to give; a guest pages to its [[vm]] disk"
        return self.policy.note()
