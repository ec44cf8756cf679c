"""A guest whose memory is mapped, used and shared step by step, beside what it may do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmulab.mmu import presets
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.machine.simulator import Simulator
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import (
    BRK,
    EVENT,
    EXEC,
    EXIT,
    FORK,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    SWITCH,
    Chunk,
)
from mmulab.mmu.vmm import backing, exits

PAGE = 4096
REGION = 4 << 20  # two large pages, so that some ranges hold an aligned one
BASES = (0x5555_5600_0000, 0x7F00_0000_0000, 0x7F00_0000_0000 + REGION)
KERNEL = -(1 << 46)  # an address of the kernel half

#: A small preset: everything overflows soon.
SMALL = replace(
    presets.load("skylake-sp"),
    tlbs=tuple(
        replace(tlb, sets=min(tlb.sets, 2), ways=min(tlb.ways, 3), policy="lru")
        for tlb in presets.load("skylake-sp").tlbs
    ),
)


@entry
def drop_backing(machine: Machine, gfn):
    seam.drop_mapping(machine, gfn)
    backing.release(machine, gfn)
    exits.flush_vm(machine)


class Guest:
    """One history, played to several machines at once."""

    def __init__(self, simulators: list[Simulator]) -> None:
        self.simulators = simulators
        self.pids = [1]
        self.current = 1
        self.next_pid = 2

    def play(self, step: tuple) -> None:
        getattr(self, "_" + step[0])(*step[1:])

    def _run(self, address: list[int], kind: int = LOAD, size: int = 1, events: list = ()) -> None:  # type: ignore
        column = np.array(address, np.int64)
        flags = kind | (4 if size > 1 else 0)
        kinds = np.full(len(column), flags, np.uint8)
        happened = np.array([(0, *event) for event in events], EVENT)
        chunk = Chunk(column, kinds, np.full(len(column), size, np.uint16), happened)
        for simulator in self.simulators:
            simulator.run(chunk, kinds, 0, len(column), 0)

    def _event(self, kind: int, start: int = 0, length: int = 0, value: int = 0) -> None:
        self._run([], events=[(kind, self.current, start, length, value)])

    def _access(self, region: int, page: int, kind: int, count: int) -> None:
        first = BASES[region] + page * PAGE
        self._run([first + 8 * i + i * PAGE for i in range(count)], kind)

    def _straddle(self, region: int, page: int, kind: int) -> None:
        self._run([BASES[region] + page * PAGE + PAGE - 4], kind, size=8)

    def _kernel(self, page: int, kind: int) -> None:
        self._run([KERNEL + page * PAGE], kind)

    def _map(self, region: int, page: int, length: int, prot: int, size: int) -> None:
        self._event(MMAP, BASES[region] + page * PAGE, length * PAGE, prot | size << 8)

    def _unmap(self, region: int, page: int, length: int) -> None:
        self._event(MUNMAP, BASES[region] + page * PAGE, length * PAGE)

    def _protect(self, region: int, page: int, length: int, prot: int) -> None:
        self._event(MPROTECT, BASES[region] + page * PAGE, length * PAGE, prot)

    def _fork(self) -> None:
        if len(self.pids) < 5:
            self._event(FORK, value=self.next_pid)
            self.pids.append(self.next_pid)
            self.next_pid += 1

    def _switch(self, which: int) -> None:
        target = self.pids[which % len(self.pids)]
        self._run([], events=[(SWITCH, target, 0, 0, 0)])
        self.current = target

    def _exit(self, which: int) -> None:
        """Ends another process, or the current one and runs another."""
        if len(self.pids) == 1:
            return
        target = self.pids[which % len(self.pids)]
        self._run([], events=[(EXIT, target, 0, 0, 0)])
        self.pids.remove(target)
        if target == self.current:
            self._switch(0)

    def _exec(self) -> None:
        self._event(EXEC)

    def _brk(self, length: int) -> None:
        self._event(BRK, 0x6000_0000 + length * PAGE)

    def _reclaim(self, number: int) -> None:
        """The VMM takes a host page of each VM away, one that holds no page table and that
        nothing pins, where the technique lets it."""
        for simulator in self.simulators:
            machine = simulator.machine
            if machine.vm.record[0]["identity"] or simulator.spec.technique.fixed:
                continue
            p2m = machine.vm.p2m
            backed = np.flatnonzero(p2m)
            if not len(backed):
                continue
            gfn = int(backed[number % len(backed)])
            count = 1 << (9 * (int(p2m[gfn]) & 3))
            first = gfn & ~(count - 1)
            hfns = (p2m[first : first + count] >> 2) - 1
            if machine.host.frames.frame[hfns[0]]["pins"]:
                continue
            if not machine.host.memory.table[hfns].any():
                drop_backing(machine, gfn)


BIG = 64 << 20
