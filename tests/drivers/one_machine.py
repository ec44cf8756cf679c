"""Drives one simulated machine access by access, and looks into it from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.guest.process import FLUSH
from mmulab.mmu.hardware.marks import MARK
from mmulab.mmu.machine.run import prepare
from mmulab.mmu.machine.simulator import FIRST_PID, build
from mmulab.mmu.memory.entries import ENTRIES, FRAME, PS, RW, US, XD, P
from mmulab.mmu.memory.tables import entries_in
from mmulab.mmu.report.counts import references_of
from mmulab.mmu.trace import EVENT, LOAD, NO_EVENTS, Chunk


class Driver:
    """A machine of a technique; its preset is Skylake-SP, its options those of Config."""

    def __init__(self, technique: str, preset: str = "skylake-sp", **options) -> None:
        self.config = Config(**{"memory": 64 << 20, **options})
        self.simulator = build(technique, presets.load(preset), self.config)
        self.machine = self.simulator.machine

    @property
    def regs(self) -> np.void:
        return self.machine.vcpu.regs[0]

    @property
    def stats(self) -> np.void:
        return self.machine.vcpu.stats[0]

    def run(self, addresses: Sequence[int], kinds: Sequence[int], size: int = 1) -> None:
        address = np.array(addresses, np.int64)
        kind = np.array(kinds, np.uint8)
        sizes = np.full(len(address), size, np.uint16)
        marks = np.empty(len(address), MARK)
        bad = prepare(address, kind, sizes, marks, np.zeros(3, np.int64), self.config.levels)
        assert bad == -1
        chunk = Chunk(address, kind, sizes, NO_EVENTS)
        self.simulator.run(chunk, marks, 0, len(address), 0)

    def access(self, gva: int, kind: int = LOAD, size: int = 1) -> int:
        """Makes one access; returns the page-table references of its walks."""
        before = int(references_of(self.machine.vcpu).sum())
        self.run([gva], [kind], size)
        return int(references_of(self.machine.vcpu).sum()) - before

    def event(
        self, kind: int, start: int = 0, length: int = 0, value: int = 0, pid: int = FIRST_PID
    ) -> None:
        events = np.zeros(1, EVENT)
        events[0] = (0, kind, pid, start, length, value)
        nothing = np.zeros(0, np.uint8)
        chunk = Chunk(np.zeros(0, np.int64), nothing, np.zeros(0, np.uint16), events)
        self.simulator.run(chunk, nothing, 0, 0, 0)

    def flush(self) -> None:
        """Empties every TLB, paging-structure cache and the nested TLB."""
        self.event(FLUSH)

    def table(self, hfn: int) -> np.ndarray:
        """The entries of the table in a host frame: a view."""
        entries = entries_in(self.machine.host.memory, hfn)
        assert entries is not None, f"frame {hfn:#x} holds no table"
        return entries

    def hfn(self, gfn: int) -> int:
        """The p2m, read directly."""
        if self.simulator.technique == "native":
            return gfn
        return (int(self.machine.vm.p2m[gfn]) >> 2) - 1

    def process(self) -> np.void:
        vm = self.machine.vm
        return vm.process[vm.record[0]["current"]]

    def leaves(self) -> Iterator[tuple[int, int, int, int]]:
        """(gva, level, gPTE, rights of the path) of each page of the current process, read
        from its gPT with no walker: rights are RW, US and XD, as in an entry."""
        yield from self._leaves(int(self.process()["cr3"]), self.config.levels, 0, RW | US)

    def _leaves(
        self, gfn: int, level: int, start: int, rights: int
    ) -> Iterator[tuple[int, int, int, int]]:
        entries = self.table(self.hfn(gfn))
        for index in np.flatnonzero(entries & P).tolist():
            entry = int(entries[index])
            gva = start | index << (3 + 9 * level)
            if level == self.config.levels and index >= ENTRIES // 2:
                gva -= 1 << (12 + 9 * level)
            path = (rights & entry & (RW | US)) | ((rights | entry) & XD)
            if level == 1 or entry & PS:
                yield gva, level, entry, path
            else:
                yield from self._leaves((entry & FRAME) >> 12, level - 1, gva, path)
