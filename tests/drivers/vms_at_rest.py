"""Some VMs that run nothing: tests fill their pages, and call what the host does to them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host import reclaim
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.machine.simulator import FIRST_PID
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import frame_of
from mmulab.mmu.memory.guest_tables import lookup
from mmulab.mmu.memory.state import Host
from mmulab.mmu.memory.status import OK
from mmulab.mmu.services.ksm import KSM, KSMSettings
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import CONTENT, Chunk

BASE = 0x7F00_0000_0000
PAGE = 4096


class Silent:
    """A workload that does nothing."""

    name = "silent"
    length = 0

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        return iter(())


@entry
def gfn_of(machine: Machine, gva):
    leaf, _, _ = lookup(machine, machine.vm.process[machine.vm.record[0].current].cr3, gva)
    return frame_of(leaf)


@entry
def fill(machine: Machine, pid, start, length, tag):
    """A CONTENT event."""
    return seam.guest_event(machine, CONTENT, pid, start, length, tag)


@entry
def pin(host: Host, frame):
    return frames.pin(host.frames, frame)


@entry
def unpin(host: Host, frame):
    return frames.unpin(host.frames, frame)


class AtRest:
    """Started VMs of 8 MiB; pages are named by VM and site, the page from BASE on."""

    def __init__(self, vms: int, technique: str = "nested", host_page_size: str = "4k") -> None:
        settings = tuple(
            VMSettings(name=f"vm{i}", workload="-", memory=8 << 20, technique=technique,
                       host_page_size=host_page_size)
            for i in range(vms)
        )  # fmt: skip
        host = HostSettings(memory=64 << 20, swap=64 << 20)
        self.merging = KSMSettings(smart_scan=False, use_zero_pages=False)
        self.system = System(host, settings, 1, lambda vm: Silent())
        for guest in self.system.guests:
            assert guest.start() == OK
        self.ksm = KSM(self.merging, self.system)
        self.system.services.append(self.ksm)
        self.frame = self.system.host.frames.frame

    def guest(self, vm: int) -> Guest:
        return self.system.guests[vm]

    def fill(self, vm: int, site: int, content: int, count: int = 1) -> None:
        start = BASE + site * PAGE
        end = start + count * PAGE
        assert fill(self.guest(vm).machine, FIRST_PID, start, end - start, content) == OK

    def gfn(self, vm: int, site: int) -> int:
        return int(gfn_of(self.guest(vm).machine, BASE + site * PAGE))

    def hfn(self, vm: int, site: int) -> int:
        """Host frame behind a page; below 0: none."""
        return (int(self.guest(vm).machine.vm.p2m[self.gfn(vm, site)]) >> 2) - 1

    def gfns(self, vm: int, *sites: int) -> np.ndarray:
        return np.array([self.gfn(vm, site) for site in sites], np.int64)

    def discard(self, vm: int, *sites: int) -> None:
        reclaim.discard(self.guest(vm).machine, self.gfns(vm, *sites))

    def full_scan(self) -> None:
        scans = self.ksm.full_scans
        while self.ksm.full_scans == scans:
            self.ksm.scan(self.system, 1 << 20)
