"""`drivers.lives` on two hosts, between which VMs are migrated."""

from __future__ import annotations

from typing import Any

from drivers.crowd import contents
from drivers.lives import Lives
from mmulab.mmu.check.host import check_system
from mmulab.mmu.host import cluster
from mmulab.mmu.host.migration import Migration
from mmulab.mmu.host.migration_report import MigrationSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import ELSEWHERE, Guest
from mmulab.mmu.memory import frames


class Travels(Lives):
    """Steps are of a VM where it is by then; those of its life wait while it is on its way."""

    def __init__(self, technique: str, **changes: Any) -> None:
        self.systems: list[System] = []
        super().__init__(technique, **changes)
        home = self.system
        there = System(
            home.settings, [guest.settings for guest in home.guests], 1,
            lambda vm: self.feeds[vm.name], self.images, 1 << 12,
        )  # fmt: skip
        for guest in there.guests:
            guest.state, guest.paused = ELSEWHERE, True
        for name, system in (("left", home), ("right", there)):
            system.settings = home.settings.__class__(**{**vars(home.settings), "name": name})
        self.systems = [home, there]
        cluster.join(self.systems)

    def _guest(self, vm: int) -> Guest:
        name = self.system.guests[vm % len(self.models)].name
        for system in self.systems:
            if system.guest(name).state != ELSEWHERE:
                self.system = system
        return self.system.guest(name)

    def _moving(self, vm: int) -> Migration | None:
        found = self._guest(vm).migration
        return found if isinstance(found, Migration) else None

    # --- What waits while a VM is on its way, or belongs to a host ----------------------

    def _on(self, vm: int) -> Guest | None:
        return None if self._moving(vm) else super()._on(vm)

    def _free_place(self, vm: int) -> Guest | None:
        return None if self._moving(vm) else super()._free_place(vm)

    def _clone(self, source: int, target: int) -> None:
        self._guest(source)
        here = self.system
        self._guest(target)
        if here is self.system:
            super()._clone(source, target)

    def _thaw(self, vm: int, which: int, restore: str) -> None:
        if self._moving(vm) or not self.snapshots:
            return
        if self.snapshots[which % len(self.snapshots)][0] in self.system.frozen:
            super()._thaw(vm, which, restore)

    def _forget(self, which: int) -> None:
        if self.snapshots:
            frozen = self.snapshots[which % len(self.snapshots)][0]
            self.system = next(s for s in self.systems if frozen in s.frozen)
            super()._forget(which)

    def _suspend(self, vm: int, to_disk: bool) -> None:
        if not self._moving(vm):
            super()._suspend(vm, to_disk)

    def _resume(self, vm: int, restore: str) -> None:
        if not self._moving(vm):
            super()._resume(vm, restore)

    def _delete(self, vm: int) -> None:
        if not self._moving(vm):
            super()._delete(vm)

    def _scan(self, budget: int) -> None:
        self.ksm.scan(self.systems[0], budget)

    # --- Migrations ---------------------------------------------------------------------

    def _depart(self, vm: int, log: str, method: str, zeros: bool) -> None:
        guest = self._live(vm)
        if guest is None or guest.migration or guest.saved:
            return
        to = "right" if self.system is self.systems[0] else "left"
        settings = MigrationSettings(
            to=to, log=log, method=method, zeros=zeros, rule="xen", rounds=3, least=5
        )
        Migration(settings, self.system, guest).begin()

    def _round(self) -> None:
        """What is next on the agenda of the hosts."""
        due = [system for system in self.systems if system.agenda]
        if due:
            system = min(due, key=lambda each: each.agenda[0].at)
            each = system.agenda.pop(0)
            system.now = max(system.now, each.at)
            each.act(system)
            for guest in (guest for s in self.systems for guest in s.guests):
                guest._feed.taken = 0
                guest.finished &= guest.off

    def _fail(self, vm: int) -> None:
        if migration := self._moving(vm):
            migration.fail()

    def arrive(self) -> None:
        """All that are on their way get there."""
        while any(system.agenda for system in self.systems):
            self._round()

    def empty(self) -> None:
        self.arrive()
        for vm in range(len(self.models)):
            self._delete(vm)
        while self.snapshots:
            self._forget(0)
        self.check()
        for system in self.systems:
            held = len(self.ksm.held()) if system is self.systems[0] else 0
            assert int(system.host.frames.counts[frames.IN_USE]) == held
            for disk in (system.host.swap, system.host.images, system.host.remote):
                assert not disk.references.any()

    def check(self) -> None:
        for system in self.systems or [self.system]:
            check_system(system)
        for vm, model in enumerate(self.models):
            guest = self._guest(vm)
            if guest.off or not guest.started:
                continue
            found = contents(guest, self.holes)
            for key, held in model.pages.items():
                where = f"{guest.name}: process {key[0]}, page {key[1]:#x}"
                assert key in found, f"{where} is gone"
                self.tags.compare(where, held, *found[key])
