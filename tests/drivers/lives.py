"""`drivers.crowd` with VMs that are suspended, cloned, frozen, restored, stopped and deleted."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from models.guest_contents import Model

from drivers.crowd import Crowd
from mmulab.mmu.host import life
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory import frames
from mmulab.mmu.services.ksm import KSMSettings

RESTORES = ["eager", "lazy", "working-set"]


class Lives(Crowd):
    """Each VM has a model; so has each snapshot, which is a copy of it as it was then."""

    images = 1 << 16
    holes = True

    def __init__(
        self, technique: str, vms: int = 3, late: int = 1, host_mib: int = 16,
        ept_ad: bool = True, **changes: Any,
    ) -> None:  # fmt: skip
        settings = {"memory": 4 << 20, "disk": 32 << 20, "technique": technique, **changes}
        each = [VMSettings(name=f"vm{i}", workload="-", **settings) for i in range(vms)]
        host = HostSettings(
            memory=host_mib << 20, preset="skylake-sp", set=(("ept_ad", str(ept_ad).lower()),),
            swap=32 << 20,
        )  # fmt: skip
        merging = KSMSettings(max_page_sharing=3, use_zero_pages=True, smart_scan=False)
        self.snapshots: list[tuple[life.Frozen, Model]] = []
        super().__init__(host, each, merging, late)

    def _model(self, vm: int) -> Model | None:
        return None if self._guest(vm).paused else super()._model(vm)

    def _live(self, vm: int) -> Guest | None:
        guest = super()._live(vm)
        return None if guest is None or guest.paused else guest

    def _on(self, vm: int) -> Guest | None:
        """A guest that has memory, running or not."""
        guest = self._guest(vm)
        return guest if guest.started and not guest.off else None

    def _free_place(self, vm: int) -> Guest | None:
        """A guest that has nothing, made new."""
        guest = self._guest(vm)
        if guest.started and not guest.off:
            return None
        life.delete_images(self.system, guest)
        guest.renew()
        return guest

    def _put(self, vm: int, model: Model) -> None:
        self.models[vm % len(self.models)] = deepcopy(model)
        self._guest(vm).finished = False
        self._guest(vm)._feed.taken = 0  # what it is given from now on is all that there is

    def _clone(self, source: int, target: int) -> None:
        begun = self._on(source)
        if begun and (guest := self._free_place(target)):
            life.clone(self.system, begun, guest)
            self._put(target, self.models[source % len(self.models)])

    def _freeze(self, vm: int, to_disk: bool) -> None:
        if (guest := self._on(vm)) and len(self.snapshots) < 4:
            frozen, _ = life.freeze(
                self.system, guest, f"{guest.name}@{len(self.snapshots)}", to_disk
            )
            self.snapshots.append((frozen, deepcopy(self.models[vm % len(self.models)])))

    def _thaw(self, vm: int, which: int, restore: str) -> None:
        """A VM goes back to a snapshot, or comes to be as another's."""
        if not self.snapshots:
            return
        frozen, model = self.snapshots[which % len(self.snapshots)]
        guest = self._guest(vm)
        life.switch_off(self.system, guest)
        if place := self._free_place(vm):
            life.thaw(self.system, place, frozen, restore, frozen.position)
            self._put(vm, model)

    def _forget(self, which: int) -> None:
        if self.snapshots:
            frozen, _ = self.snapshots.pop(which % len(self.snapshots))
            life.discard(self.system, frozen)

    def _suspend(self, vm: int, to_disk: bool) -> None:
        if guest := self._live(vm):
            if to_disk:
                life.save(self.system, guest)
            else:
                life.suspend(guest)

    def _resume(self, vm: int, restore: str) -> None:
        guest = self._guest(vm)
        if guest.saved or (guest.paused and not guest.off):
            life.resume(self.system, guest, restore)
            guest.finished = False
            guest._feed.taken = 0

    def _off(self, vm: int) -> None:
        if guest := self._on(vm):
            life.switch_off(self.system, guest)

    def _delete(self, vm: int) -> None:
        guest = self._guest(vm)
        if guest.started:
            life.switch_off(self.system, guest)
            life.delete_images(self.system, guest)

    def empty(self) -> None:
        """Everything goes; what must hold then: the buddy blocks are whole."""
        for vm in range(len(self.models)):
            self._delete(vm)
        while self.snapshots:
            self._forget(0)
        self.check()
        zero = len(self.ksm.held())
        counts = self.system.host.frames.counts
        assert int(counts[frames.IN_USE]) == zero
        for disk in (self.system.host.swap, self.system.host.images):
            assert not disk.references.any()


def count(guest: Guest, *names: str) -> Callable[[], dict[str, int]]:
    """What a guest does from now on: a call tells, by name of a statistic."""
    before = {name: int(guest.vcpu.stats[0][name]) for name in names}
    exits = guest.vcpu.exits.copy()

    def since() -> dict[str, int]:
        found = {name: int(guest.vcpu.stats[0][name]) - n for name, n in before.items()}
        for number, each in enumerate(guest.spec.technique.exits):
            found[each.reason] = int(guest.vcpu.exits[number] - exits[number])
        return found

    return since
