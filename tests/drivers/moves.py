"""A VM that stores to its pages in turn, on one of two hosts, and is migrated to the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from mmulab.mmu.check.host import check_system
from mmulab.mmu.host import cluster, logged
from mmulab.mmu.host.migration import Migration
from mmulab.mmu.host.migration_report import MigrationSettings, Report
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import ELSEWHERE
from mmulab.mmu.trace import LOAD, NO_EVENTS, STORE, Chunk
from mmulab.mmu.vmm.dirty_log import LOGS

BASE, PAGE = 0x7F00_0000_0000, 4096


def writer(
    pages: int, accesses: int, pause: int = 0, untouched: int = 0, growth: int = 1 << 40
) -> Chunk:
    """Stores to one page after another, each followed by `pause` loads of one page; before them,
    loads of `untouched` pages more. growth: accesses after which the pages are one further on."""
    page = np.arange(accesses) % pages + np.arange(accesses) // growth
    address = np.repeat(BASE + page * PAGE, 1 + pause)
    kind = np.full(len(address), LOAD, np.uint8)
    kind[:: 1 + pause] = STORE
    address[kind == LOAD] = BASE
    before = BASE + (pages + np.arange(untouched)) * PAGE
    address = np.concatenate([before, address]).astype(np.int64)
    kind = np.concatenate([np.full(untouched, LOAD, np.uint8), kind]).astype(np.uint8)
    return Chunk(address, kind, np.full(len(kind), 8, np.uint16), NO_EVENTS)


class Work:
    name = "writer"

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.length = len(chunk.address)

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        yield self.chunk


class Moves:
    """Two hosts, and the VM, which has stored to all of its pages."""

    def __init__(
        self, technique: str = "nested", pages: int = 600, length: int = 200_000, pause: int = 0,
        untouched: int = 0, quantum: int = 1000, check: bool = False, growth: int = 1 << 40,
        **migration: Any,
    ) -> None:  # fmt: skip
        self.pages, self.check = pages, check
        migration = {"bandwidth": 1e9, "latency": 20e-6, **migration}
        self.settings = MigrationSettings(to="right", **migration)
        self.bandwidth, self.latency = self.settings.bandwidth, self.settings.latency
        work = Work(writer(pages, length // (1 + pause), pause, untouched, growth))
        self.length = work.length
        vm = VMSettings(name="vm", workload="-", memory=16 << 20, technique=technique)
        self.systems = [
            System(
                HostSettings(memory=48 << 20, preset="skylake-sp", quantum=quantum, name=name),
                [vm], 1, lambda _: work, remote_blocks=16 << 8,
            )
            for name in ("left", "right")
        ]  # fmt: skip
        cluster.join(self.systems)
        place = self.systems[1].guests[0]
        place.state, place.paused = ELSEWHERE, True
        guest = self.systems[0].guest("vm")
        while guest.accesses < pages * (1 + pause) + untouched + quantum:
            cluster.step(self.systems)
        self.held = guest.held

    def migrate(self) -> Report:
        source = self.systems[0]
        Migration(self.settings, source, source.guest("vm")).begin()
        return source.migrations[0]

    def run(self) -> None:
        while cluster.step(self.systems):
            if self.check:
                for system in self.systems:
                    check_system(system)

    def round_of(self, accesses: int) -> tuple[int, int]:
        """(exits, pages that the log has) of so many accesses, all pages mapped before."""
        guest = self.systems[0].guest("vm")
        logged.begin(guest.machine, LOGS.index(self.settings.log))
        before = int(guest.vcpu.exits.sum())
        guest.run(accesses)
        exits = int(guest.vcpu.exits.sum()) - before
        dirty, _ = logged.collect(guest.machine, np.zeros(guest.frames, np.int64))
        return exits, int(dirty)
