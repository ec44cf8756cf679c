"""Ballooning: how much of its memory each guest may use, and making it so.

    esx     what each VM may hold follows from shares, reservations, limits and how much of
            its memory it uses, when the host is short (Waldspurger, OSDI 2002)
    fixed   what the scenario says, and its events
    a function of yours: see `Balloon.policy`

The driver in the guest may fall short of its target: when nothing is left that the guest
could page out. Under "esx", the host then pages out as well (state hard), and lets VMs
above their due wait (state low).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmu.guest import balloon
from mmu.services import esx
from mmu.state import OUT_OF_HOST_FRAMES
from mmu.vmm import reclaim

if TYPE_CHECKING:
    from mmu.scenario.guest import Guest
    from mmu.scenario.model import BalloonSettings
    from mmu.scenario.system import System


#: Part of host memory above the high mark within which nothing is done: an assumption.
MARGIN = 0.02


@dataclass(frozen=True)
class VMState:
    """What a policy is told of a VM, in frames: its memory; what the host holds for it; its
    balloon; its settings; the part of its memory that it uses, 0 to 1; and pages that the
    guest and the host have read back from disk since the last look."""

    name: str
    memory: int
    held: int
    balloon: int
    shares: int
    reservation: int
    limit: int
    active: float
    guest_swap_ins: int
    host_swap_ins: int


#: (VMs, free host frames, host frames in all) -> balloon targets in frames, one a VM.
Policy = Callable[[Sequence[VMState], int, int], Sequence[int]]


class Balloon:
    """The balloon service. policy: chooses targets at each tick."""

    name = "balloon"

    def __init__(self, settings: BalloonSettings, system: System) -> None:
        self.settings = settings
        self.next_tick = settings.period
        self.policy: Policy = self._esx if settings.policy == "esx" else self._fixed
        self.targets = {guest.name: guest.settings.balloon >> 12 for guest in system.guests}
        self.events = sorted(system.scenario.events, key=lambda event: event.at)
        self.use = {guest.number: esx.WorkingSet(settings.sample) for guest in system.guests}
        self.state = "high"
        self.inflated = self.deflated = self.refused = 0
        self.ticks_in = dict.fromkeys(esx.STATES, 0)
        self._sampled: dict[int, np.ndarray] = {}
        self._next_sample = 0.0
        self._seen: dict[int, tuple[int, int]] = {}

    def tick(self, system: System) -> None:
        self.next_tick += self.settings.period
        if system.now >= self._next_sample:
            self._sample(system)
        self._heed_events(system)
        guests = system.live
        if not guests:
            return
        self.state = esx.state(system.free / system.total, self.state)
        self.ticks_in[self.state] += 1
        states = [self._look(guest) for guest in guests]
        targets = self.policy(states, system.free, system.total)
        for guest, target in zip(guests, targets, strict=True):
            self._drive(system, guest, min(max(0, int(target)), guest.frames))

    # --- Policies ------------------------------------------------------------------

    def _fixed(self, vms: Sequence[VMState], free: int, total: int) -> list[int]:
        return [self.targets[vm.name] for vm in vms]

    def _esx(self, vms: Sequence[VMState], free: int, total: int) -> list[int]:
        """Balloons that leave each VM what `esx.targets` grants it. Above the high mark balloons
        only shrink; below it they only grow; just above it all stays as it is, so that pages
        are not taken only to be given back."""
        held = np.array([vm.held for vm in vms], np.int64)
        low = np.array([vm.reservation for vm in vms], np.int64)
        high = np.array([min(vm.limit, vm.memory) for vm in vms], np.int64)
        slack = free - int(esx.THRESHOLDS["high"] * total)
        margin = int(MARGIN * total)
        if 0 <= slack < margin:
            return [vm.balloon for vm in vms]
        slack -= margin // 2
        if slack >= 0:
            low = np.maximum(low, np.minimum(held, high))
        else:
            high = np.minimum(high, np.maximum(held, low))
        shares = np.array([vm.shares for vm in vms], np.float64)
        active = np.array([vm.active for vm in vms])
        granted = esx.targets(
            shares, low, high, active, max(0, int(held.sum()) + slack), self.settings.tax
        )
        balloons = [vm.memory - int(grant) for vm, grant in zip(vms, granted, strict=True)]
        keep = min if slack >= 0 else max
        return [keep(size, vm.balloon) for size, vm in zip(balloons, vms, strict=True)]

    # --- Looking -------------------------------------------------------------------

    def _look(self, guest: Guest) -> VMState:
        stats = guest.machine.core.stats[0]
        now = int(stats["guest_swap_ins"]), int(stats["host_swap_ins"])
        before = self._seen.get(guest.number, (0, 0))
        self._seen[guest.number] = now
        return VMState(
            name=guest.name,
            memory=guest.frames,
            held=guest.held,
            balloon=guest.ballooned,
            shares=guest.settings.shares,
            reservation=guest.reservation,
            limit=guest.limit,
            active=self.use[guest.number].active,
            guest_swap_ins=now[0] - before[0],
            host_swap_ins=now[1] - before[1],
        )

    def _sample(self, system: System) -> None:
        """Ends a sampling period and begins the next: which of some random pages are used?"""
        self._next_sample = system.now + self.settings.sample_period
        for guest in system.live:
            watched = self._sampled.get(guest.number)
            if watched is not None and len(watched):
                used = int(reclaim.reached(guest.machine, watched))
                self.use[guest.number].observe(used / len(watched))
            chosen = guest.gfns(system.rng, self.settings.sample)
            reclaim.watch(guest.machine, chosen)
            self._sampled[guest.number] = chosen

    def _heed_events(self, system: System) -> None:
        while self.events and self.events[0].at <= system.now:
            event = self.events.pop(0)
            self.targets[event.vm] = event.balloon >> 12

    # --- Acting --------------------------------------------------------------------

    def _drive(self, system: System, guest: Guest, target: int) -> None:
        """Tells a guest's driver its target, and what it cannot reach to the host's paging."""
        most = max(1, int(self.settings.rate * self.settings.period))
        system.paging.grants[guest.number] = guest.frames - target
        change = min(most, abs(target - guest.ballooned))
        if target < guest.ballooned:
            self.deflated += int(balloon.deflate(guest.machine, change))
        elif change:
            given = self._inflate(system, guest, change)
            self.inflated += given
            self.refused += change - given
        if self.settings.policy == "esx" and self.state == "low":
            if guest.held > guest.frames - target:
                guest.ready_at = max(guest.ready_at, self.next_tick)

    def _inflate(self, system: System, guest: Guest, count: int) -> int:
        """Frames that the driver gave; host frames are found where its paging needs them."""
        given = 0
        while given < count:
            status, more = balloon.inflate(guest.machine, count - given)
            given += int(more)
            if status != OUT_OF_HOST_FRAMES or not system.free_up(count):
                break
        return given

    def counters(self, system: System) -> dict[str, float]:
        """Frames inflated, deflated and refused in all; frames in balloons now; ticks in each
        reclaim state."""
        return {
            "inflated": self.inflated,
            "deflated": self.deflated,
            "refused": self.refused,
            "frames": sum(guest.ballooned for guest in system.guests),
            **{f"ticks_{name}": count for name, count in self.ticks_in.items()},
        }
