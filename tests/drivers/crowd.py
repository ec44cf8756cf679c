"""Drives the VMs of one host step by step, beside a model of what each process wrote.

What a check finds is read off the tables, the p2m and the disks, and nothing is changed by
looking: pages that were stored to stay so until a step looks at them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from models.guest_contents import Key, Model, Tags

from mmulab.mmu.check.host import check_system
from mmulab.mmu.guest.drivers import balloon
from mmulab.mmu.host import reclaim
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory.entries import P
from mmulab.mmu.services.balloon import Balloon, BalloonSettings
from mmulab.mmu.services.events.resize import Resize
from mmulab.mmu.services.ksm import KSM, KSMSettings
from mmulab.mmu.techniques.reference import Tables
from mmulab.mmu.trace import (
    BRK,
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

PAGE = 4096
BASE, HEAP, KERNEL = 0x7F00_0000_0000 >> 12, 0x6000_0000 >> 12, -(1 << 46) >> 12  # pages
REGIONS = {"data": BASE, "heap": HEAP, "kernel": KERNEL}

Access = tuple[int, int, int]  # address, kind, size


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


class Crowd:
    """Some VMs on one host, and their models. VMs are counted from 0; one that is off, or has
    not begun, leaves out the steps that it would need to run for."""

    images = 0  # blocks of the store of images
    holes = False  # pages of zeros may have nothing behind them

    def __init__(
        self, host: HostSettings, vms: Sequence[VMSettings], ksm: KSMSettings, late: int = 0
    ) -> None:
        """late: VMs that begin with their first access, the last ones."""
        self.feeds = {vm.name: Feed() for vm in vms}
        dynamic = BalloonSettings(period=0.01, sample_period=0.02)
        self.system = System(host, vms, 1, lambda vm: self.feeds[vm.name], self.images)
        self.ksm = KSM(ksm, self.system)
        self.balloon = Balloon(dynamic, self.system)
        self.system.services += [self.ksm, self.balloon]
        self.models = [Model() for _ in vms]
        self.tags = Tags()
        self.stores = 0
        for vm in range(len(vms) - late):
            self._run(vm, [])

    def play(self, step: tuple) -> None:
        """One step, and what must hold after it."""
        getattr(self, "_" + step[0])(*step[1:])
        self.check()

    # --- What guests do --------------------------------------------------------------

    def _guest(self, vm: int) -> Guest:
        return self.system.guests[vm % len(self.models)]

    def _model(self, vm: int) -> Model | None:
        """None where the VM is off."""
        return None if self._guest(vm).off else self.models[vm % len(self.models)]

    def _run(self, vm: int, accesses: Sequence[Access], events: Sequence[tuple] = ()) -> None:
        """events: (before which access, kind, pid, first page, pages, value)."""
        guest = self._guest(vm)
        columns = np.array(accesses, np.int64).reshape(-1, 3)
        happened = np.array(
            [(at, kind, pid, first * PAGE, count * PAGE, value)
             for at, kind, pid, first, count, value in events], EVENT
        )  # fmt: skip
        chunk = Chunk(
            columns[:, 0].copy(), columns[:, 1].astype(np.uint8), columns[:, 2].astype(np.uint16),
            happened,
        )  # fmt: skip
        self.feeds[guest.name].queue.append(chunk)
        self.system._take_turn(guest)
        guest.finished = False

    def _event(self, vm: int, kind: int, first: int = 0, count: int = 0, value: int = 0) -> None:
        pid = self.models[vm % len(self.models)].current
        self._run(vm, [], [(0, kind, pid, first, count, value)])

    def _made(self, model: Model, page: int, kind: int) -> None:
        if kind == STORE:
            self.stores += 1
            model.store(page, self.stores)
        else:
            model.load(page)

    def _access(
        self, vm: int, page: int, count: int, kind: int, region: str = "data", stride: int = 1
    ) -> None:
        model = self._model(vm)
        if model:
            first = REGIONS[region] + page
            pages = range(first, first + count * stride, stride)
            self._run(vm, [(each * PAGE + 8, kind, 8) for each in pages])
            for each in pages:
                self._made(model, each, kind)

    def _mess(self, vm: int, seed: int) -> None:
        """Accesses of all kinds in any order to few pages, many alike in their low bits, some
        across two pages, with fills between them, all in one chunk."""
        model = self._model(vm)
        if not model:
            return
        rng = np.random.default_rng(seed)
        span = int(rng.choice([3, 5, 300]))
        alike = rng.choice([1, 256, 512], span) * rng.integers(0, 6, span)
        pages = BASE + int(rng.integers(0, 40)) + alike
        accesses: list[Access] = []
        events: list[tuple] = []
        for page in rng.choice(pages, int(rng.integers(1, 400))).tolist():
            if rng.random() < 0.03:
                tag = int(rng.integers(0, 4))
                events.append((len(accesses), CONTENT, model.current, page, 1, tag))
                model.fill([page], tag)
            kind = int(rng.choice([LOAD, STORE]))
            across = rng.random() < 0.05
            accesses.append((page * PAGE + (PAGE - 4 if across else 8), kind, 8))
            for each in (page, page + 1) if across else (page,):
                self._made(model, each, kind)
        self._run(vm, accesses, events)

    def _content(self, vm: int, page: int, count: int, tag: int) -> None:
        model = self._model(vm)
        if model:
            self._event(vm, CONTENT, BASE + page, count, tag)
            model.fill(range(BASE + page, BASE + page + count), tag)

    def _map(self, vm: int, page: int, count: int, prot: int, size: int = 0) -> None:
        model = self._model(vm)
        if model:
            self._event(vm, MMAP, BASE + page, count, prot | size << 8)
            model.unmap(range(BASE + page, BASE + page + count))

    def _unmap(self, vm: int, page: int, count: int) -> None:
        model = self._model(vm)
        if model:
            self._event(vm, MUNMAP, BASE + page, count)
            model.unmap(range(BASE + page, BASE + page + count))

    def _protect(self, vm: int, page: int, count: int, prot: int) -> None:
        if self._model(vm):
            self._event(vm, MPROTECT, BASE + page, count, prot)

    def _brk(self, vm: int, pages: int) -> None:
        model = self._model(vm)
        if model:
            self._event(vm, BRK, HEAP + pages)
            model.brk(HEAP + pages)

    def _fork(self, vm: int) -> None:
        model = self._model(vm)
        if model and len(model.pids) < 4:
            self._event(vm, FORK, value=model.fork())

    def _switch(self, vm: int, which: int) -> None:
        model = self._model(vm)
        if model:
            model.current = model.pids[which % len(model.pids)]
            self._event(vm, SWITCH)

    def _thread(self, vm: int, which: int, thread: int) -> None:
        """A thread of a process goes on, which may have a vCPU of its own."""
        model = self._model(vm)
        if model:
            model.current = model.pids[which % len(model.pids)]
            self._event(vm, SWITCH, value=thread)

    def _exit(self, vm: int, which: int) -> None:
        """Ends a process; where it runs, another is switched to."""
        model = self._model(vm)
        if model and len(model.pids) > 1:
            pid = model.pids[which % len(model.pids)]
            self._run(vm, [], [(0, EXIT, pid, 0, 0, 0)])
            model.exit(pid)
            if pid == model.current:
                self._switch(vm, which)

    def _exec(self, vm: int) -> None:
        model = self._model(vm)
        if model:
            self._event(vm, EXEC)
            model.empty(model.current)

    # --- What the host does ----------------------------------------------------------

    def _live(self, vm: int) -> Guest | None:
        guest = self._guest(vm)
        return guest if guest.started and not guest.off else None

    def _host_out(self, vm: int, seed: int, count: int, second_chance: bool) -> None:
        if guest := self._live(vm):
            gfns = guest.gfns(np.random.default_rng(seed), count)
            reclaim.page_out(guest.machine, gfns, second_chance)

    def _free_up(self, count: int) -> None:
        self.system.free_up(count)

    def _take(self, vm: int, count: int) -> None:
        if guest := self._live(vm):
            self.system.paging.take(guest, count)

    def _inflate(self, vm: int, count: int) -> None:
        if guest := self._live(vm):
            balloon.inflate(guest.machine, count)

    def _deflate(self, vm: int, count: int) -> None:
        if guest := self._live(vm):
            balloon.deflate(guest.machine, count)

    def _resize(self, vm: int, size: int) -> None:
        if guest := self._live(vm):
            Resize(size << 20).act(self.system, guest)

    def _policy(self, seconds: float) -> None:
        """The balloon's own policy has its turn."""
        self.system.now += seconds
        self.balloon.tick(self.system)

    def _report(self, vm: int, order: int) -> None:
        if guest := self._live(vm):
            reclaim.report_free(guest.machine, order)

    def _scan(self, budget: int) -> None:
        self.ksm.scan(self.system, budget)

    def _watch(self, vm: int, seed: int) -> None:
        if guest := self._live(vm):
            gfns = guest.gfns(np.random.default_rng(seed), 50)
            reclaim.watch(guest.machine, gfns)
            assert reclaim.reached(guest.machine, gfns) == 0

    def _look(self, vm: int) -> None:
        """Someone looks at every page: each that was stored to gets its tag."""
        if guest := self._live(vm):
            backed = np.flatnonzero(guest.machine.vm.p2m > 0)
            reclaim.settle(guest.machine, backed, np.zeros(len(backed), np.int64))

    def _off(self, vm: int) -> None:
        if guest := self._live(vm):
            guest.switch_off()

    # --- What must hold --------------------------------------------------------------

    def check(self) -> None:
        """The invariants, and every page of every process against its model."""
        check_system(self.system)
        for guest, model in zip(self.system.guests, self.models, strict=True):
            if guest.off or not guest.started:
                continue
            record = guest.vm.record[0]
            assert int(record["held"]) - int(record["merged"]) <= guest.limit, guest.name
            found = contents(guest, self.holes)
            for key, held in model.pages.items():
                where = f"{guest.name}: process {key[0]}, page {key[1]:#x}"
                assert key in found, f"{where} is gone"
                self.tags.compare(where, held, *found[key])
            for key in found.keys() - model.pages.keys():  # the rest of a large page
                where = f"{guest.name}: process {key[0]}, page {key[1]:#x}"
                self.tags.compare(where, 0, *found[key])


def contents(guest: Guest, holes: bool = False) -> dict[Key, tuple[int, bool]]:
    """(pid, page) -> the tag that a load would read, and whether it is not its own, because
    the page has been stored to since; found by walking everything anew."""
    tables = Tables(guest.machine, guest.name)
    vm = guest.machine.vm
    found: dict[Key, tuple[int, bool]] = {}
    for process in tables.processes():
        for entry in tables.guest_entries(int(vm.process[process]["cr3"])):
            page = entry.address >> 12
            pid = int(vm.process[process]["pid"]) if page >= 0 else 0
            if entry.is_leaf:
                for offset in range(1 << (9 * (entry.level - 1))):
                    found[pid, page + offset] = _read(guest, entry.frame + offset, holes)
            elif entry.level == 2:
                table = tables.contents(tables.hfn_of(entry.frame))
                assert table is not None
                for index in np.flatnonzero((table != 0) & (table & P == 0)).tolist():
                    tag = int(vm.disk.contents[(int(table[index]) >> 12) - 1])
                    found[pid, page + index] = tag, False
    return found


def _read(guest: Guest, gfn: int, holes: bool) -> tuple[int, bool]:
    vm, host = guest.machine.vm, guest.machine.host
    entry = int(vm.p2m[gfn])
    if entry > 0:
        hfn = (entry >> 2) - 1
        return int(host.memory.contents[hfn]), bool(host.memory.written[hfn])
    if entry == 0 and holes and vm.contents[gfn] == 0:
        return 0, False
    assert entry < 0, f"gfn {gfn:#x} is mapped by its guest, and nothing is behind it"
    block = (-entry >> 2) - 1
    disk = (host.swap, vm.disk, host.images, host.remote)[-entry & 3]
    return int(disk.contents[block]), False


def crowd(
    technique: str, count: int = 2, host: dict | None = None, ksm: dict | None = None,
    late: int = 0, vpid: bool | None = None, **changes: object,
) -> Crowd:  # fmt: skip
    """VMs of 4 MiB on a host with 5 for two of them. host, ksm: settings of those."""
    vm = VMSettings(name="vm", workload="-", memory=4 << 20, disk=32 << 20, technique=technique)
    vm = replace(vm, **changes)  # type: ignore[arg-type]
    of_host = HostSettings(memory=(count * 5 << 20) // 2, swap=32 << 20, vpid=vpid)
    if vm.page_size != "4k" or vm.host_page_size != "4k":
        of_host = replace(of_host, memory=48 << 20)
        vm = replace(vm, memory=32 << 20, disk=128 << 20)
    vms = [replace(vm, name=f"vm{number}") for number in range(count)]
    merging = KSMSettings(max_page_sharing=3, use_zero_pages=True, smart_scan=False)
    return Crowd(
        replace(of_host, **(host or {})), vms, replace(merging, **(ksm or {})), late
    )  # fmt: skip
