"""Samples of a run, taken as it goes on: a bounded number, however long it takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmulab.mmu.host import cluster
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.machine.failures import frames_by_kind
from mmulab.mmu.memory.vm import VM

MOST_SAMPLES = 256

#: Series of the host, in frames.
HOST_SERIES = ("free", "guest_private", "merged", "page_tables")

#: Series of a VM: frames by what became of them, then counters since its start.
VM_FRAMES = ("private", "merged", "balloon", "paged_out", "page_tables")
VM_COUNTERS = (
    "host_swap_ins", "host_swap_outs", "guest_swap_ins", "guest_swap_outs", "host_copies", "exits",
)  # fmt: skip


class Timeline:
    """Takes a sample every so many turns; when there are too many, drops every other one
    and takes them half as often."""

    def __init__(self, systems: Sequence[System]) -> None:
        self.systems = systems
        self.every = 1
        self.seconds: list[float] = []
        self.host: list[list[int]] = []
        names = dict.fromkeys(guest.name for system in systems for guest in system.guests)
        self.vms: dict[str, list[list[int]]] = {name: [] for name in names}
        self._turns = 0
        self._idle: dict[str, tuple[VM | None, list[int]]] = {}

    def turn(self) -> None:
        """Called after each turn of a VM."""
        self._turns += 1
        if self._turns % self.every == 0:
            self.sample()
            if len(self.seconds) >= MOST_SAMPLES:
                self._thin()

    def _thin(self) -> None:
        self.every *= 2
        del self.seconds[::2], self.host[::2]
        for rows in self.vms.values():
            del rows[::2]

    def sample(self) -> None:
        """Takes a sample now; of several hosts, of all together."""
        self.seconds.append(max(system.now for system in self.systems))
        self.host.append([sum(row) for row in zip(*map(_of_host, self.systems), strict=True)])
        for _, guest in cluster.present(self.systems):
            self.vms[guest.name].append(self._row(guest))

    def _row(self, guest: Guest) -> list[int]:
        """The numbers of a VM. Those of one that is off are what they were: most VMs are, where
        many come and go."""
        idle = guest.off or not guest.started
        vm, row = self._idle.get(guest.name, (None, []))
        if not idle or vm is not guest.vm:
            row = _row(guest)
            self._idle[guest.name] = (guest.vm if idle else None, row)
        return row

    def host_series(self) -> dict[str, np.ndarray]:
        columns = np.array(self.host, np.int64).T
        return dict(zip(HOST_SERIES, columns, strict=True))

    def vm_series(self, name: str) -> dict[str, np.ndarray]:
        columns = np.array(self.vms[name], np.int64).T
        return dict(zip(VM_FRAMES + VM_COUNTERS, columns, strict=True))


def _of_host(system: System) -> list[int]:
    kinds = frames_by_kind(system.host.frames)
    return [system.free, kinds["guest page"], kinds["merged page"], kinds["sPT"] + kinds["nPT"]]


def _row(guest: Guest) -> list[int]:
    record = guest.vm.record[0]
    counted = guest.counted
    stats = counted.stats[0]
    frames = [
        record["held"] - record["merged"], record["merged"], record["ballooned"],
        record["paged_out"], record["host_tables"],
    ]  # fmt: skip
    counters = [stats[name] for name in VM_COUNTERS[:-1]] + [counted.exits.sum()]
    return [int(n) for n in frames + counters]
