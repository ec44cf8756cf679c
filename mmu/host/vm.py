"""One VM of a host: its machine, its workload, and what both have come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import numpy as np

from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.guest import swap
from mmulab.mmu.guest.process import PAGE_MASK
from mmulab.mmu.hardware.marks import MARK
from mmulab.mmu.hardware.state import VCPU, Core, Machine
from mmulab.mmu.host import devices, power
from mmulab.mmu.host.accounts import Moment, measured_of
from mmulab.mmu.host.holdings import Holdings
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.machine import run as engine
from mmulab.mmu.machine.build import NO_VM, link, make_vcpu, make_vm
from mmulab.mmu.machine.data import NO_LINES
from mmulab.mmu.machine.events import check_events
from mmulab.mmu.machine.feed import Feed
from mmulab.mmu.machine.simulator import boot_chunk
from mmulab.mmu.machine.vcpus import Turns, total_of
from mmulab.mmu.memory.cpus import REMOTE_FLUSHES
from mmulab.mmu.memory.state import Host
from mmulab.mmu.memory.status import (
    GUEST_PAGED_OUT,
    GUEST_SHORT,
    NO_SUCH_PROCESS,
    OK,
    OTHER_VCPU,
    POSTS_DUE,
)
from mmulab.mmu.memory.vm import VM
from mmulab.mmu.memory.watermarks import set_watermarks
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report import cost
from mmulab.mmu.report.measured import Measured
from mmulab.mmu.techniques.specs import parse
from mmulab.mmu.trace import LOAD, Chunk, Trace

#: Frames that must be free before a guest fault or event begins: a page and its tables; with
#: pages of 2 MiB, two of those to copy, with the host frames and tables behind them.
ELSEWHERE = "elsewhere"  # the state of a VM on a host that it is not on

SPARE = 64
SPARE_HUGE = 1200


def marks_of(chunk: Chunk, levels: int) -> tuple[np.ndarray, int]:
    """(MARK[n] of a chunk's accesses, the first whose address is not canonical, or -1)."""
    marks = np.empty(chunk.accesses, MARK)
    counts = np.zeros(3, np.int64)
    columns = to_read(chunk.address), to_read(chunk.kind), to_read(chunk.size)
    return marks, int(engine.prepare(*columns, marks, counts, levels))


class Guest(Holdings):
    """A VM while it runs.

    number: 1 and up, the owner of its host frames. cores: of the host. vcpus: its own; on: the core
    that each is on, or was on last; turns: which of them its workload is at. Of each vCPU: spent,
    likely cycles; steal, seconds that it could run and waited for a core; waits, seconds that it
    waited for a vCPU that did not run to take an IPI; moves, from one core to another. ready_at:
    when its storage has answered, in seconds. left: accesses of its turn that it has not made yet.
    stalled: seconds that it waited for storage, or, at its limit, for its balloon. waiting: of
    those, what its present turn adds. throttle: the part of its time that it is held back, and
    held_back: seconds that it was (`host.throttle`).
    """

    def __init__(
        self, number: int, settings: VMSettings, trace: Trace, host: Host, cores: Sequence[Core],
        preset: Preset, of_host: HostSettings, seed: int,
    ) -> None:  # fmt: skip
        self.number = number
        self.settings = settings
        self.name = settings.name
        self.trace = trace
        self.preset = preset
        self._of_host = of_host
        config = Config(
            memory=settings.memory, host_memory=of_host.memory, page_size=settings.page_size,
            host_page_size=settings.host_page_size, levels=settings.levels,
            shadow_policy=settings.shadow_policy, guest_thp=settings.guest_thp,
            vpid=of_host.vpid, caches="off", seed=seed,
        ).on(preset.arch)  # fmt: skip
        self.config = config
        self.spec = parse(settings.technique, config).on(preset)
        self.host, self.cores = host, cores
        self.vm = self._fresh()
        for core in cores:
            core.record[0]["tracking"] = 1
        vcpus = [make_vcpu(self.spec, preset, config, number) for _ in range(settings.vcpus)]
        self.vcpus = vcpus
        self.on = [0] * settings.vcpus
        self.turns = Turns(vcpus, self.machine_of)
        self.frames = config.guest_frames
        self.accesses = 0
        self.left = 0
        self.costs = cost.costs_of(preset, self.spec.technique, settings.vcpus > 1)
        self.spent = [0.0] * settings.vcpus
        self.steal = [0.0] * settings.vcpus
        self.waits = [0.0] * settings.vcpus
        self.moves = [0] * settings.vcpus
        self.stalled = self.waiting = 0.0
        self.throttle = self.held_back = 0.0
        self.ready_at = settings.start
        self.started = self.finished = self.off = False
        self.paused = bool(settings.clone_of)  # until something lets it run: see host.life
        self.state = "defined"
        self.life: list[Moment] = []
        self.image_blocks = 0  # of the store of images, that are its alone
        self.saved: Any = None  # what it was when it was suspended to disk: see host.life
        self.images: list[Any] = []  # what else is kept of it
        self.migration: Any = None  # under way: see host.migration
        self.waiting_events: list[Any] = []  # until it is over
        self.ended_at = 0.0
        self._told = inf  # the time, when it was last told
        self.arrive: Callable[[Guest], None] | None = None  # a vCPU of it begins to run
        self._feed = Feed(trace)
        self._chunk, self._marks, self._position, _, self._event = boot_chunk()

    def _fresh(self) -> VM:
        """The state of the VM before it boots."""
        settings = self.settings
        vm = make_vm(
            self.spec, self.preset, self.config, self.host, self.number, settings.disk >> 12, True,
            settings.vcpus,
        )  # fmt: skip
        self.link(vm)
        vm.record[0]["remote_flush"] = REMOTE_FLUSHES.index(settings.remote_flush)
        vm.record[0]["tracked"] = 1
        if self.limit < self.config.guest_frames:
            vm.record[0]["limit"] = self.limit
        vm.record[0]["map_disk"] = settings.map_disk
        vm.record[0]["emulate_writes"] = settings.emulate_writes
        set_watermarks(vm.frames, SPARE if settings.page_size == "4k" else SPARE_HUGE)
        return vm

    def renew(self) -> None:
        """The VM, which is off, is as it was before it booted; what it has counted stays, and so
        does what the tags of its stores are made of."""
        old = self.vm.record[0]
        self.vm = self._fresh()
        self.turns.at = 0
        for name in ("unique", "deflate_on_oom"):
            self.vm.record[0][name] = old[name]
        self.started = self.finished = self.off = self.paused = False

    def become(self, settings: VMSettings, trace: Trace) -> None:
        """It is another VM of its kind, which boots: see host.arrivals."""
        self.settings, self.trace, self._feed = settings, trace, Feed(trace)
        self.started = self.finished = self.off = self.paused = False
        self.life.clear()
        self.go_to(None, booted=False)

    @property
    def position(self) -> tuple[Any, ...]:
        """How far its workload has got."""
        filled = int(self.vm.record[0]["filled"])
        here = self._chunk, self._marks, self._position, self._event, filled
        return self.taken, self.accesses, here

    @property
    def taken(self) -> int:
        """Chunks of its workload that it has taken: it is in the last of them."""
        return self._feed.taken

    def go_to(self, position: tuple[Any, ...] | None, booted: bool = True) -> None:
        """Its workload goes on from there; None: it begins anew, after the guest has booted where
        that has not. Accesses that are made again are counted again."""
        self._feed.restart()
        self._chunk, self._marks, self._position, _, self._event = boot_chunk()
        self._event += booted
        filled = 0
        if position is not None:
            self._feed.taken = position[0]
            self._chunk, self._marks, self._position, self._event, filled = position[2]
        self.vm.record[0]["filled"] = filled

    def take_over(self, other: Guest) -> None:
        """It goes on in place of the same VM on another host, with what that has counted."""
        for name in VCPU.FIELDS:
            if name not in ("regs", "pml"):
                np.copyto(getattr(self.vcpu, name), getattr(other.vcpu, name))
        np.copyto(self.turns.kinds, other.turns.kinds)
        for name in (
            "accesses",
            "spent",
            "steal",
            "stalled",
            "finished",
            "ended_at",
            "life",
            "images",
        ):
            setattr(self, name, getattr(other, name))
        self.go_to(other.position)
        self.started, self.paused, self.off = True, False, False

    def link(self, vm: VM) -> None:
        """Code lies at other addresses in each process: it is linked, never kept."""
        link(vm.ops, self.spec, self.config)
        devices.link(vm.ops)

    def relink(self) -> None:
        """After it was read in another process than it was written in."""
        self.link(self.vm)

    def note(self, at: float, what: str, state: str, seconds: float = 0.0) -> None:
        """Puts a moment into `life`."""
        self.state = state
        record = self.vm.record[0]
        used = int(self.vm.disk.record[0]["used"])
        self.life.append(
            Moment(
                at, what, state, seconds,
                private=int(record["held"] - record["merged"]), shared=int(record["merged"]),
                page_tables=int(record["host_tables"]), elsewhere=int(record["paged_out"]),
                storage=used + self.image_blocks,
            )
        )  # fmt: skip

    @property
    def vcpu(self) -> VCPU:
        """The one whose turn it is."""
        return self.vcpus[self.turns.at]

    @property
    def core(self) -> Core:
        """The one that it is on."""
        return self.cores[self.on[self.turns.at]]

    def machine_of(self, vcpu: int) -> Machine:
        """The VM on the core that a vCPU is on."""
        core = self.cores[self.on[vcpu]]
        return Machine(core=core, host=self.host, vcpu=self.vcpus[vcpu], vm=self.vm, outer=NO_VM)

    @property
    def machine(self) -> Machine:
        """The VM on the core that it runs on, with the vCPU whose turn it is."""
        return self.machine_of(self.turns.at)

    @property
    def counted(self) -> VCPU:
        """What all of its vCPUs have counted."""
        return total_of(self.vcpus)

    def start(self) -> int:
        """Boots the guest. Returns a status."""
        self.started = True
        return self.run(0)[0]

    def tell_time(self, now: float) -> None:
        """Its turn begins, at a time in seconds: timers of its kernel may have rung."""
        huge = self.vm.huge[0]
        if huge["slept"]:
            huge["alarm"] -= round(max(0.0, now - self._told) * 1e9)
            huge["due"] |= huge["alarm"] <= 0
        self._told = now

    def go_on(self) -> int:
        """Runs what is left of its turn. Returns a status."""
        status, done = self.run(self.left)
        self.left -= done
        return status

    def run(self, quantum: int) -> tuple[int, int]:
        """Runs up to so many accesses: (status, accesses). It may begin again where the
        status is one that can be mended; `finished` where the workload has ended."""
        done = 0
        while True:
            end = min(self._position + quantum - done, self._chunk.accesses)
            status, ran = self._run_until(end)
            done += ran
            if status != OK:
                self._check(status)
                return status, done
            if self._position < self._chunk.accesses or done >= quantum:
                return OK, done
            if not self._next_chunk():
                self.finished = True
                return OK, done

    def _run_until(self, end: int) -> tuple[int, int]:
        """Runs to a position of the chunk, the guest's paging included."""
        first = self._position
        status = OK
        while status == OK:
            begun = self._position
            status, self._position, self._event = engine.run(
                self.machine,
                self.spec.technique.walk,
                to_read(self._chunk.address),
                to_read(self._marks),
                to_read(self._chunk.events),
                self._event,
                self._position,
                end,
                *NO_LINES,
            )
            self.turns.ran(self._chunk.kind[begun : self._position])
            if status == OK:
                break
            status = self._carry_out(status)
        ran = self._position - first
        self.accesses += ran
        return status, ran

    def _carry_out(self, status: int) -> int:
        """What the kernels leave to Python. Returns OK, or the status that stays."""
        if status == GUEST_SHORT:
            return int(swap.make_room(self.machine))
        if status == GUEST_PAGED_OUT:
            return self._bring_in(*self._missing())
        if status in (OTHER_VCPU, POSTS_DUE):
            return self._go_on(status)
        return status

    def _go_on(self, status: int) -> int:
        """The next event is of another vCPU, or waits until others have dropped what they must."""
        status = self.turns.go_on(status)
        if self.arrive:
            self.arrive(self)
        return status

    def _missing(self) -> tuple[int, int, int]:
        """The page that the guest has paged out: (pid, GVA, what kind of access needs it)."""
        record = self.vm.record[0]
        for event in self._chunk.events[self._event : self._event + 1]:
            if event["position"] <= self._position:  # a CONTENT event, not an access
                first = int(event["start"]) & ~PAGE_MASK
                return int(event["pid"]), first + int(record["filled"]), LOAD
        pid = int(self.vm.process[record["current"]]["pid"])
        kind = int(self._chunk.kind[self._position])
        return pid, int(self.vcpu.regs[0]["fault_gva"]), kind

    def _bring_in(self, pid: int, gva: int, kind: int) -> int:
        """Brings back a page that the guest has paged out."""
        while (status := int(swap.bring_in(self.machine, pid, gva, kind))) == GUEST_SHORT:
            status = int(swap.make_room(self.machine))
            if status != OK:
                break
        return status

    def _check(self, status: int) -> None:
        if status == NO_SUCH_PROCESS:
            bad = self._chunk.events[self._event]
            raise InputError(
                f"vm {self.name}: {self.trace.name}: event before access {self.accesses:,}: "
                f"process {bad['pid']} does not exist; expected a fork of it or a switch first"
            )

    def _next_chunk(self) -> bool:
        """Takes the workload's next chunk; begins it again where it repeats."""
        chunk = self._feed.next()
        if chunk is None and self.settings.repeat and self.accesses:
            self._feed.restart()
            chunk = self._feed.next()
        if chunk is None:
            return False
        marks, bad = marks_of(chunk, self.config.levels)
        if bad >= 0:
            address = int(chunk.address[bad]) & (1 << 64) - 1
            raise InputError(
                f"vm {self.name}: {self.trace.name}: access {self.accesses + bad + 1:,}: address "
                f"{address:#x} is not canonical for {self.config.levels} levels of page table"
            )
        check_events(f"vm {self.name}: {self.trace.name}", chunk.events, self.config.levels)
        self._chunk, self._marks, self._position, self._event = chunk, marks, 0, 0
        return True

    def switch_off(self) -> None:
        """The VM ends, and gives everything back."""
        self.finished = self.off = True
        power.power_off(self.machine)

    def measured(self) -> Measured:
        """What it has done so far, and what that cost."""
        return measured_of(self)

    def gfns(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Random gfns of pages that the host backs; fewer where it backs few."""
        chosen = rng.integers(0, self.frames, 4 * count)
        backed = chosen[self.vm.p2m[chosen] > 0]
        return np.unique(backed)[:count]
