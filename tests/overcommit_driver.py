"""Drives the VMs of one host step by step, beside a model of what each process wrote."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np

from mmu.bits import P
from mmu.check.host import check_system
from mmu.check.tables import Tables
from mmu.guest import balloon
from mmu.scenario.guest import Guest
from mmu.scenario.model import HostSettings, KSMSettings, Scenario, VMSettings
from mmu.scenario.system import System
from mmu.services.ksm import KSM
from mmu.trace import (
    CONTENT,
    EVENT,
    EXEC,
    EXIT,
    FORK,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    STORE,
    SWITCH,
    Chunk,
)
from mmu.vmm import reclaim

PAGE = 4096
BASE = 0x7F00_0000_0000

Key = tuple[int, int]  # pid, page number from BASE on


class Feed:
    """A workload that goes on whenever a chunk is given to it."""

    name = "feed"
    length = None

    def __init__(self) -> None:
        self.queue: deque[Chunk] = deque()

    def chunks(self) -> Feed:
        return self

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Chunk:
        if not self.queue:
            raise StopIteration
        return self.queue.popleft()


class Model:
    """What the pages of one VM's processes hold: 0, a tag, or ("written", number)."""

    def __init__(self) -> None:
        self.pages: dict[Key, object] = {}
        self.pids = [1]
        self.current = 1
        self.next_pid = 2

    def store(self, page: int, number: int) -> None:
        self.pages[self.current, page] = ("written", number)

    def load(self, page: int) -> None:
        self.pages.setdefault((self.current, page), 0)

    def unmap(self, first: int, count: int) -> None:
        for page in range(first, first + count):
            self.pages.pop((self.current, page), None)

    def fork(self) -> int:
        child, self.next_pid = self.next_pid, self.next_pid + 1
        for (pid, page), held in list(self.pages.items()):
            if pid == self.current:
                self.pages[child, page] = held
        self.pids.append(child)
        return child

    def end(self, pid: int) -> None:
        self.pages = {key: held for key, held in self.pages.items() if key[0] != pid}


class Crowd:
    """Some VMs on one host, and their models."""

    def __init__(self, host: HostSettings, vms: list[VMSettings], ksm: KSMSettings) -> None:
        self.feeds = {vm.name: Feed() for vm in vms}
        scenario = Scenario("crowd", host, tuple(vms), ksm=ksm)
        self.system = System(scenario, lambda vm: self.feeds[vm.name])
        self.ksm = KSM(ksm, self.system)
        self.system.services.append(self.ksm)
        self.models = [Model() for _ in vms]
        self.tags: dict[object, int] = {}  # what a ("written", number) was first seen as
        self.stores = 0
        for vm in range(len(vms)):
            self._run(vm, [])

    def play(self, step: tuple) -> None:
        """One step, and what must hold after it."""
        getattr(self, "_" + step[0])(*step[1:])
        self.check()

    # --- Steps -----------------------------------------------------------------------

    def _guest(self, vm: int) -> Guest:
        return self.system.guests[vm % len(self.models)]

    def _run(self, vm: int, pages: list[int], kind: int = LOAD, events: list = []) -> None:  # noqa: B006
        guest = self._guest(vm)
        if guest.off:
            return
        address = np.array([BASE + page * PAGE + 8 for page in pages], np.int64)
        happened = np.array([(0, *event) for event in events], EVENT)
        chunk = Chunk(
            address, np.full(len(address), kind, np.uint8), np.full(len(address), 8, np.uint16),
            happened,
        )  # fmt: skip
        self.feeds[guest.name].queue.append(chunk)
        self.system._take_turn(guest)
        guest.finished = False

    def _event(self, vm: int, kind: int, first: int = 0, count: int = 0, value: int = 0) -> None:
        pid = self.models[vm % len(self.models)].current
        self._run(vm, [], events=[(kind, pid, BASE + first * PAGE, count * PAGE, value)])

    def _model(self, vm: int) -> Model | None:
        """None where the VM is off."""
        return None if self._guest(vm).off else self.models[vm % len(self.models)]

    def _access(self, vm: int, page: int, count: int, kind: int) -> None:
        model = self._model(vm)
        if model:
            pages = list(range(page, page + count))
            self._run(vm, pages, kind)
            for each in pages:
                if kind == STORE:
                    self.stores += 1
                    model.store(each, self.stores)
                else:
                    model.load(each)

    def _content(self, vm: int, page: int, count: int, tag: int) -> None:
        model = self._model(vm)
        if model:
            self._event(vm, CONTENT, page, count, tag)
            for each in range(page, page + count):
                model.pages[model.current, each] = tag

    def _map(self, vm: int, page: int, count: int, prot: int) -> None:
        model = self._model(vm)
        if model:
            self._event(vm, MMAP, page, count, prot)
            model.unmap(page, count)

    def _unmap(self, vm: int, page: int, count: int) -> None:
        model = self._model(vm)
        if model:
            self._event(vm, MUNMAP, page, count)
            model.unmap(page, count)

    def _protect(self, vm: int, page: int, count: int, prot: int) -> None:
        self._event(vm, MPROTECT, page, count, prot)

    def _fork(self, vm: int) -> None:
        model = self._model(vm)
        if model and len(model.pids) < 4:
            parent = model.current
            child = model.fork()
            self._run(vm, [], events=[(FORK, parent, 0, 0, child)])

    def _switch(self, vm: int, which: int) -> None:
        model = self._model(vm)
        if model:
            pid = model.pids[which % len(model.pids)]
            self._run(vm, [], events=[(SWITCH, pid, 0, 0, 0)])
            model.current = pid

    def _exit(self, vm: int, which: int) -> None:
        model = self._model(vm)
        others = [pid for pid in model.pids if pid != model.current] if model else []
        if model and others:
            pid = others[which % len(others)]
            self._run(vm, [], events=[(EXIT, pid, 0, 0, 0)])
            model.pids.remove(pid)
            model.end(pid)

    def _exec(self, vm: int) -> None:
        model = self._model(vm)
        if model:
            self._event(vm, EXEC)
            model.end(model.current)

    def _host_out(self, vm: int, seed: int, count: int, second_chance: bool) -> None:
        guest = self._guest(vm)
        if not guest.off:
            gfns = guest.gfns(np.random.default_rng(seed), count)
            reclaim.page_out(guest.machine, gfns, second_chance)

    def _free_up(self, count: int) -> None:
        self.system.free_up(count)

    def _inflate(self, vm: int, count: int) -> None:
        guest = self._guest(vm)
        if not guest.off:
            balloon.inflate(guest.machine, count)

    def _deflate(self, vm: int, count: int) -> None:
        guest = self._guest(vm)
        if not guest.off:
            balloon.deflate(guest.machine, count)

    def _report(self, vm: int, order: int) -> None:
        guest = self._guest(vm)
        if not guest.off:
            reclaim.report_free(guest.machine, order)

    def _scan(self, budget: int) -> None:
        self.ksm.scan(self.system, budget)

    def _watch(self, vm: int, seed: int) -> None:
        guest = self._guest(vm)
        if not guest.off:
            gfns = guest.gfns(np.random.default_rng(seed), 50)
            reclaim.watch(guest.machine, gfns)
            assert reclaim.reached(guest.machine, gfns) == 0

    def _off(self, vm: int) -> None:
        guest = self._guest(vm)
        if not guest.off:
            guest.switch_off()

    # --- What must hold --------------------------------------------------------------

    def check(self) -> None:
        """The invariants, and every page of every process against its model."""
        check_system(self.system)
        seen: dict[int, object] = {}
        for guest, model in zip(self.system.guests, self.models, strict=True):
            if guest.off:
                continue
            self._settle(guest)
            found = contents(guest)
            for key, held in model.pages.items():
                assert key in found, f"{guest.name}: page {key} is gone"
                self._compare(guest, key, held, found[key], seen)
            for key in found.keys() - model.pages.keys():  # the rest of a large page
                assert guest.settings.page_size != "4k", f"{guest.name}: page {key} is there"
                assert found[key] == 0, f"{guest.name}: page {key} reads {found[key]}"
        check_system(self.system)

    def _compare(self, guest: Guest, key: Key, held: object, tag: int, seen: dict) -> None:
        where = f"{guest.name}: page {key} reads {tag}"
        if isinstance(held, int):
            assert tag == held, f"{where}; its guest wrote {held}"
            return
        assert tag < 0, f"{where}, not what was stored"
        assert self.tags.setdefault(held, tag) == tag, f"{where}: changed with no store"
        assert seen.setdefault(tag, held) == held, f"{where}: what another page holds"

    def _settle(self, guest: Guest) -> None:
        backed = np.flatnonzero(guest.machine.vm.p2m > 0)
        reclaim.settle(guest.machine, backed, np.zeros(len(backed), np.int64))


def contents(guest: Guest) -> dict[Key, int]:
    """(pid, page) -> the tag that a load would read, found by walking everything anew."""
    tables = Tables(guest.machine, guest.name)
    vm, host = guest.machine.vm, guest.machine.host
    found: dict[Key, int] = {}
    for process in tables.processes():
        pid = int(vm.process[process]["pid"])
        for entry in tables.guest_entries(int(vm.process[process]["cr3"])):
            if entry.is_leaf:
                for offset in range(1 << (9 * (entry.level - 1))):
                    page = ((entry.address - BASE) // PAGE) + offset
                    found[pid, page] = _read(vm, host, entry.frame + offset)
            elif entry.level == 2:
                table = tables.contents(tables.hfn_of(entry.frame))
                assert table is not None
                for index in np.flatnonzero((table != 0) & (table & P == 0)).tolist():
                    page = (entry.address - BASE) // PAGE + index
                    found[pid, page] = int(vm.disk.contents[(int(table[index]) >> 12) - 1])
    return found


def _read(vm: object, host: object, gfn: int) -> int:
    entry = int(vm.p2m[gfn])  # type: ignore[attr-defined]
    if entry > 0:
        return int(host.memory.contents[(entry >> 2) - 1])  # type: ignore[attr-defined]
    assert entry < 0, f"gfn {gfn:#x} is mapped by its guest, and nothing is behind it"
    block = (-entry >> 1) - 1
    disk = vm.disk if -entry & 1 else host.swap  # type: ignore[attr-defined]
    return int(disk.contents[block])


def crowd(technique: str, **changes: object) -> Crowd:
    """Two VMs of 4 MiB on a host of 5."""
    host = HostSettings(memory=5 << 20, swap=32 << 20, vpid=changes.pop("vpid", None))
    vm = replace(
        VMSettings(name="a", workload="-", memory=4 << 20, disk=32 << 20, technique=technique),
        **changes,
    )
    if vm.page_size != "4k" or vm.host_page_size != "4k":
        host = replace(host, memory=48 << 20)
        vm = replace(vm, memory=32 << 20, disk=128 << 20)
    vms = [vm, replace(vm, name="b")]
    return Crowd(host, vms, KSMSettings(max_page_sharing=3, use_zero_pages=True, smart_scan=False))
