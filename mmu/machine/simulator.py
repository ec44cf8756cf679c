"""One machine under one technique, run over chunks of a trace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.guest.process import BOOT
from mmulab.mmu.hardware.marks import MARK
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.machine import dumped
from mmulab.mmu.machine import run as engine
from mmulab.mmu.machine.build import machines_of
from mmulab.mmu.machine.data import NO_LINES
from mmulab.mmu.machine.failures import failure_text, frames_by_kind
from mmulab.mmu.machine.vcpus import IDLE_AFTER, Turns, check_vcpus
from mmulab.mmu.memory.cpus import COUNTS
from mmulab.mmu.memory.status import NO_SUCH_PROCESS, OK
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.techniques.specs import Spec, parse
from mmulab.mmu.techniques.technique import compiled_for
from mmulab.mmu.trace import EVENT, Chunk

FIRST_PID = 1  # the process that a trace begins in


def build(technique: str | Spec, preset: Preset, config: Config, log_size: int = 0) -> Simulator:
    """A cold machine that has booted its guest and runs process FIRST_PID. What that took is
    counted, as it is for processes to come, but for the CR3 load: the process runs already.

    On bare metal the host is the machine that the VM would have been: its memory is
    the guest's. Raises InputError where the configuration makes no machine, RunError
    where its memory cannot hold even the first tables.
    """
    config = config.on(preset.arch)
    spec = parse(technique, config) if isinstance(technique, str) else technique
    spec = spec.on(preset)
    config = dumped.fitted(config, spec)
    check_vcpus("cores", spec.technique, config.cores)
    machines, units = machines_of(spec, preset, config, log_size)
    with compiled_for(spec.technique):
        return Simulator(spec, machines, units, config)


class Simulator:
    """One machine under one technique."""

    def __init__(
        self, spec: Spec, machines: Sequence[Machine], units: list[str], config: Config
    ) -> None:
        self.spec = spec
        self.technique = spec.text
        self.machine = machines[0]  # with the vCPU whose turn it is
        self.machines = machines
        self.units = units
        self.config = config
        self.accesses = 0
        self.turns: Turns | None = None  # of several vCPUs
        self.run(*boot_chunk())
        if len(machines) > 1:
            self.turns = Turns([machine.vcpu for machine in machines], machines.__getitem__)
        if config.guest_tables:
            dumped.load(self.machine, config, self.technique)
            self.reset_counters()
        self.machine.vcpu.stats["cr3_loads"] = 0
        for number, each in enumerate(spec.technique.exits):
            if each.instead_of == "cr3_loads":
                self.machine.vcpu.exits[number] = 0

    def run(
        self,
        chunk: Chunk,
        marks: np.ndarray,
        start: int,
        end: int,
        event: int,
        lines: tuple[np.ndarray, np.ndarray] = NO_LINES,
    ) -> int:
        """Runs accesses [start, end) of a chunk with its events from `event` on.

        marks: of the chunk's accesses, as `engine.prepare` makes them. lines: of the whole chunk,
        as `data.Lines` finds them. Returns the next event.
        Raises RunError where the run cannot go on, InputError for an impossible event.
        """
        if start == 0:
            self.machine.core.record[0]["taken"] = 0
        run = self._run_once if self.turns is None else self._run_in_turns
        status, position, event = run(chunk, marks, start, end, event, lines)
        self.accesses += position - start
        if status == NO_SUCH_PROCESS:
            bad = chunk.events[event]
            raise InputError(
                f"event before access {self.accesses:,}: process {bad['pid']} does not exist; "
                f"expected a fork of it or a switch to it first"
            )
        if status != OK:
            raise self._failure(status, f"at access {self.accesses:,}")
        return event

    def _run_once(
        self,
        chunk: Chunk,
        marks: np.ndarray,
        start: int,
        end: int,
        event: int,
        lines: tuple[np.ndarray, np.ndarray],
    ) -> tuple[int, int, int]:
        return engine.run(
            self.machine,
            self.spec.technique.walk,
            to_read(chunk.address),
            to_read(marks),
            to_read(chunk.events),
            event,
            start,
            end,
            *lines,
        )

    def _run_in_turns(
        self,
        chunk: Chunk,
        marks: np.ndarray,
        start: int,
        end: int,
        event: int,
        lines: tuple[np.ndarray, np.ndarray],
    ) -> tuple[int, int, int]:
        """`_run_once` on whichever vCPU each access is of."""
        turns = self.turns
        assert turns is not None
        position = start
        while True:
            begun, stop = position, min(end, position + IDLE_AFTER)
            status, position, event = self._run_once(chunk, marks, begun, stop, event, lines)
            turns.ran(chunk.kind[begun:position])
            is_done = status == OK and position == end
            taken = self.machine.core.record[0]["taken"]
            status = turns.go_on(status)
            self.machine = turns.machine
            self.machine.core.record[0]["taken"] = taken
            if status != OK or is_done:
                return status, position, event

    def reset_counters(self) -> None:
        """Zeroes what has been counted; the state of the machine stays."""
        for machine in self.machines:
            self._reset(machine)
        if self.turns:
            self.turns.kinds[:] = 0
            for name in COUNTS:
                self.machine.vm.cpu[name] = 0

    @staticmethod
    def _reset(machine: Machine) -> None:
        core = machine.core
        vcpu = machine.vcpu
        vcpu.stats[:] = np.zeros((), vcpu.stats.dtype)
        vcpu.exits[:] = 0
        vcpu.own[:] = 0
        vcpu.references[:] = 0
        vcpu.hidden[:] = 0
        for name in vcpu.before.dtype.names or ():
            vcpu.first[0][name] = 0
        vcpu.first_exits[:] = 0
        vcpu.first_own[:] = 0
        core.unit["hits"] = 0
        core.unit["misses"] = 0

    def frames_by_kind(self, which: str = "host") -> dict[str, int]:
        """4 KiB frames in use by kind, of the host's or the guest's allocator."""
        return frames_by_kind(
            self.machine.host.frames if which == "host" else self.machine.vm.frames
        )

    def _failure(self, status: int, when: str) -> RunError:
        return RunError(f"{self.technique}: {when}: {failure_text(status, self.machine)}")


def boot_chunk() -> tuple[Chunk, np.ndarray, int, int, int]:
    """What `Simulator.run` takes to start the machine."""
    events = np.zeros(1, EVENT)
    events[0]["kind"] = BOOT
    events[0]["pid"] = FIRST_PID
    chunk = Chunk(np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.uint16), events)
    return chunk, np.zeros(0, MARK), 0, 0, 0
