"""The life of a VM: it is suspended and resumed, frozen, cloned, restored, stopped and deleted.

What a host does to a VM between two of its turns. A snapshot is a VM that never runs: its memory
is shared with the VM that it was made of (`host.copies`), or lies in the store of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmulab.mmu.errors import RunError
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host import copies
from mmulab.mmu.host.settings import EAGER, WORKING_SET
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.machine.build import NO_VM, make_vcpu, make_vm
from mmulab.mmu.memory.p2m import IN_IMAGE, elsewhere
from mmulab.mmu.memory.state import GPT_PAGE
from mmulab.mmu.memory.status import OK, OUT_OF_DISK
from mmulab.mmu.memory.vm import VM

#: Seconds that the host takes to share a page, with its entries: an assumption, a fork of a process
#: on a real machine, 13 ms/GiB (Redis, "Diagnosing latency issues", quoted from memory). Both VMs
#: wait for it.
PAGE_SECONDS = 50e-9


@dataclass
class Frozen:
    """A VM that never runs. guest: the VM that it was made of. tables, entries: gPT pages of an
    image, and what they hold. recorder: the first VM that came back lazily; reached: the gfns of
    the image that it had reached."""

    name: str
    guest: Guest
    machine: Machine
    position: tuple[Any, ...]
    tables: np.ndarray
    entries: np.ndarray
    in_image: bool
    recorder: Guest | None = None
    reached: np.ndarray | None = None

    def relink(self) -> None:
        """Code lies at other addresses in each process: it is linked, never kept."""
        self.guest.link(self.machine.vm)

    @property
    def vm(self) -> VM:
        return self.machine.vm

    def image_gfns(self) -> np.ndarray:
        """gfns whose pages the image holds."""
        gfns, wheres, _ = elsewhere(self.vm.p2m)
        return gfns[wheres == IN_IMAGE].astype(np.int64)

    def working_set(self) -> np.ndarray:
        """What the recorder has reached by now, or by when it was asked first."""
        if self.reached is None and self.recorder is not None:
            gfns = self.image_gfns()
            self.reached = gfns[self.recorder.vm.p2m[gfns] > 0]
        return np.zeros(0, np.int64) if self.reached is None else self.reached


def _holder(system: System, guest: Guest) -> Machine:
    """A VM like a guest's that never runs."""
    number = system.new_number()
    vm = make_vm(
        guest.spec, guest.preset, guest.config, guest.host, number, guest.settings.disk >> 12, True
    )
    guest.link(vm)
    vm.record[0]["tracked"] = 1
    vcpu = make_vcpu(guest.spec, guest.preset, guest.config, number)
    return Machine(core=guest.core, host=guest.host, vcpu=vcpu, vm=vm, outer=NO_VM)


def freeze(system: System, guest: Guest, name: str, to_disk: bool) -> tuple[Frozen, float]:
    """A snapshot of a VM as it is now, and seconds that writing it takes."""
    machine = _holder(system, guest)
    tables = np.zeros(0, np.int64)
    if to_disk:
        is_table = (guest.vm.frames.frame["kind"] == GPT_PAGE) & (guest.vm.p2m > 0)
        tables = np.flatnonzero(is_table).astype(np.int64)
    entries = np.zeros((len(tables), 512), np.int64)
    if to_disk:
        status, written = copies.save(guest.machine, machine.vm, tables, entries)
        seconds = system.write(int(written))
    else:
        status = copies.share_all(guest.machine, machine.vm)
        seconds = guest.held * PAGE_SECONDS
    if status != OK:
        raise RunError(_why(int(status), guest))
    copies.copy_guest(guest.vm, machine.vm)  # with the tags that it has given to what was stored
    frozen = Frozen(name, guest, machine, guest.position, tables, entries, to_disk)
    system.frozen.append(frozen)
    _wait(system, guest, seconds)
    return frozen, seconds


def _wait(system: System, guest: Guest, seconds: float) -> None:
    """A VM does not run while its memory is copied."""
    guest.ready_at = max(guest.ready_at, system.now + seconds)


def _why(status: int, guest: Guest) -> str:
    what = "the store of images is full" if status == OUT_OF_DISK else "too many pages are shared"
    return f"vm {guest.name}: it cannot be copied: {what}"


def discard(system: System, frozen: Frozen) -> None:
    """A snapshot goes; what others share with it stays theirs."""
    copies.give_back(frozen.machine)
    system.frozen.remove(frozen)


def thaw(system: System, guest: Guest, frozen: Frozen, restore: str, position: Any) -> float:
    """A VM that has nothing goes on as a snapshot, which stays. Returns seconds that reading
    takes before it runs. position: of its workload."""
    begun = system.now
    _copy(system, guest, frozen.machine, position)
    if frozen.in_image:
        system.until_ok(
            guest, lambda: int(copies.load_tables(guest.machine, frozen.tables, frozen.entries))
        )
    first = np.zeros(0, np.int64)
    if restore == EAGER:
        first = np.flatnonzero(guest.vm.p2m).astype(np.int64)
    elif restore == WORKING_SET:
        first = frozen.working_set()
    if len(first):
        system.until_ok(guest, lambda: int(copies.load(guest.machine, first)))
    if restore != EAGER and frozen.in_image and frozen.recorder is None:
        frozen.recorder = guest
    _wake(system, guest)
    guest.ready_at = max(system.now + guest.held * PAGE_SECONDS, system.read(guest))
    return guest.ready_at - begun


def clone(system: System, source: Guest | Frozen, guest: Guest) -> float:
    """A VM that has nothing yet goes on as a copy of another, or of a snapshot. Returns seconds."""
    position = source.position if guest.settings.goes_on else None
    if isinstance(source, Frozen):
        return thaw(system, guest, source, guest.settings.restore, position)
    _copy(system, guest, source.machine, position)
    _wake(system, guest)
    seconds = source.held * PAGE_SECONDS
    _wait(system, source, seconds)
    guest.ready_at = system.now + seconds
    return seconds


def _copy(system: System, guest: Guest, source: Machine, position: Any) -> None:
    status = int(copies.share_all(source, guest.vm))
    if status != OK:
        raise RunError(_why(status, guest))
    copies.copy_guest(source.vm, guest.vm)  # with the tags that it has given to what was stored
    guest.go_to(position)
    guest.started, guest.paused, guest.finished, guest.off = True, False, False, False


def _wake(system: System, guest: Guest) -> None:
    system.run_now(guest, lambda: int(copies.wake(guest.machine)))


def suspend(guest: Guest) -> None:
    """A VM keeps its memory, and does not run."""
    guest.paused = True


def save(system: System, guest: Guest) -> float:
    """A VM goes to the store of images; its frames are free. Returns seconds."""
    frozen, seconds = freeze(system, guest, f"{guest.name}, suspended", True)
    guest.image_blocks = int(frozen.vm.record[0]["paged_out"])
    guest.saved = frozen
    switch_off(system, guest)
    return seconds


def resume(system: System, guest: Guest, restore: str) -> float:
    """A VM that was suspended goes on. Returns seconds."""
    if guest.saved is None:
        guest.paused = False
        guest.ready_at = max(guest.ready_at, system.now)
        return 0.0
    frozen, guest.saved = guest.saved, None
    guest.renew()
    seconds = thaw(system, guest, frozen, restore, frozen.position)
    discard(system, frozen)
    guest.image_blocks = 0
    return seconds


def delete_images(system: System, guest: Guest) -> None:
    """The disk of a VM that is off, its snapshots and its images go."""
    prefix = f"{guest.name}@"
    mine = [name for name in system.snapshots if name.startswith(prefix)]
    images = [system.snapshots.pop(name) for name in mine] + guest.images
    for frozen in images + ([guest.saved] if guest.saved else []):
        discard(system, frozen)
    guest.images, guest.saved, guest.image_blocks = [], None, 0
    guest.renew()
    guest.off = guest.finished = True


def switch_off(system: System, guest: Guest) -> None:
    """Everything that a VM has of the host goes back, but its disk and its images."""
    for frozen in system.frozen:
        if isinstance(frozen, Frozen) and frozen.recorder is guest:
            frozen.working_set()  # while it is there to be seen
    if guest.started and not guest.off:
        guest.switch_off()
    guest.off = guest.finished = True
