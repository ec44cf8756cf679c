"""Page tables read anew, by NumPy and plain Python: no kernel that may be wrong is called.

A `Reference` is what a technique's hardware should find, slowly and obviously: `check` holds
against it what TLBs and walk caches have, and which host frames hold tables. The class itself
is bare metal's: the guest's tables, walked in one dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from mmulab.mmu.errors import RunError
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.memory.entries import FRAME, PS, RW, US, XD, D, P
from mmulab.mmu.memory.tables import entries_in

RIGHTS = RW | US | XD


class CheckFailed(RunError):
    """An invariant does not hold: a bug in the simulator or in a technique."""


def fail(where: str, invariant: str, what: str) -> None:
    raise CheckFailed(f"{where}: invariant broken: {invariant}: {what}")


class Entry(NamedTuple):
    """A present entry: the address it maps from, its level, table (hfn), position in it and value;
    rights of the path down to it (x86 only)."""

    address: int
    level: int
    table: int
    position: int
    value: int
    rights: int

    @property
    def is_leaf(self) -> bool:
        return self.level == 1 or bool(self.value & PS)

    @property
    def frame(self) -> int:
        return (self.value & FRAME) >> 12


def sign_extend(address: int, levels: int) -> int:
    bits = 12 + 9 * levels
    return address - (1 << bits) if address >> (bits - 1) else address


class Tables:
    """The page tables of one machine, read by software. where: to say in what is wrong."""

    def __init__(self, machine: Machine, where: str) -> None:
        self.machine = machine
        self.where = where
        self.memory = machine.host.memory
        self.vm = machine.vm
        self.record = machine.vm.record[0]
        self.regs = machine.vcpu.regs[0]
        self.virtual = not self.record["identity"]

    def contents(self, hfn: int) -> np.ndarray | None:
        """int64[512], or None where the frame holds no table."""
        return entries_in(self.memory, hfn)

    def hfn_of(self, gfn: int) -> int:
        return max(0, int(self.vm.p2m[gfn]) >> 2) - 1 if self.virtual else gfn

    def entries(
        self,
        root: int,
        levels: int,
        present: int,
        locate: Callable[[int], int],
        roots: int = 1,
    ) -> Iterator[Entry]:
        """Every present entry of a tree, upper levels first. `root` is an hfn; `locate`
        turns the frame of a table into its hfn. roots: tables side by side at the root."""
        level = levels
        tables = [(n << (12 + 9 * levels), root + n, RW | US) for n in range(roots)]
        while tables:
            below = []
            for start, hfn, rights in tables:
                for entry in self.entries_of(start, hfn, rights, level, present):
                    at = sign_extend(entry.address, levels) if roots == 1 else entry.address
                    yield entry._replace(address=at)
                    if not entry.is_leaf:
                        below.append((entry.address, locate(entry.frame), entry.rights))
            tables = below
            level -= 1

    def entries_of(
        self, start: int, hfn: int, rights: int, level: int, present: int
    ) -> Iterator[Entry]:
        """Every present entry of one table. start: the first address that it maps. rights: of the
        path to it."""
        contents = self.contents(hfn)
        if contents is None:
            fail(self.where, "no dangling table", f"frame {hfn:#x} holds no table")
            return
        for index in np.flatnonzero(contents & present).tolist():
            value = int(contents[index])
            here = (rights & value & (RW | US)) | ((rights | value) & XD)
            address = start + (index << (12 + 9 * (level - 1)))
            yield Entry(address, level, hfn, index, value, here)

    def gfn_of(self, hfn: int) -> int:
        """The gfn that a frame backs, of one that nobody else has."""
        return int(self.machine.host.frames.frame[hfn]["reverse"]) - 1

    def guest_entries(self, cr3: int) -> Iterator[Entry]:
        """Present gPTEs below a root, as the guest sees them: their frames are gfns."""
        levels = int(self.record["levels"])
        if not self.record["machine_frames"]:
            yield from self.entries(self.hfn_of(cr3), levels, P, self.hfn_of)
            return
        for entry in self.machine_entries(cr3):
            frame = self.gfn_of(entry.frame) << 12
            yield entry._replace(value=entry.value & ~FRAME | frame)

    def machine_entries(self, cr3: int) -> Iterator[Entry]:
        """The same of tables that hold machine frames, as the hardware sees them."""
        levels = int(self.record["levels"])
        return self.entries(self.hfn_of(cr3), levels, P, lambda frame: frame)

    def paged_out(self, cr3: int) -> list[int]:
        """Blocks that the gPTEs below a root name."""
        blocks: list[int] = []
        for entry in self.guest_entries(cr3):
            if entry.level == 2 and not entry.is_leaf:
                contents = self.contents(self.hfn_of(entry.frame))
                assert contents is not None
                out = contents[(contents != 0) & (contents & P == 0)]
                blocks += ((out >> 12) - 1).tolist()
        return blocks

    def processes(self) -> list[int]:
        used = int(self.record["processes_used"])
        return [p for p in range(used) if self.vm.process[p]["alive"]]


class Page(NamedTuple):
    """What a walk gives for a page: hfn of its first 4 KiB, page size, rights, D bit or bits."""

    hfn: int
    size: int
    rights: int
    dirty: bool


#: (page size, page number) -> leaf.
Leaves = dict[tuple[int, int], Entry]


def leaves_of(entries: Iterator[Entry]) -> Leaves:
    """The leaves among entries."""
    return {
        (entry.level - 1, entry.address >> (12 + 9 * (entry.level - 1))): entry
        for entry in entries
        if entry.is_leaf
    }


def leaf_at(leaves: Leaves, page: int) -> tuple[Entry, int] | None:
    """The leaf that maps a 4 KiB page, and the frame of that page."""
    for size in range(3):
        leaf = leaves.get((size, page >> (9 * size)))
        if leaf is not None:
            return leaf, leaf.frame + (page & ((1 << (9 * size)) - 1))
    return None


class Reference:
    """The translations of one machine as they should be now."""

    #: TLB entries of all processes have one PCID.
    hides_pcid = False

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._leaves: dict[int, Leaves] = {}

    def entries(self, process: int) -> Iterator[Entry]:
        """Entries of the table that CR3 points to while a process runs."""
        return self.tables.guest_entries(int(self.tables.vm.process[process]["cr3"]))

    def locate(self, frame: int) -> int:
        """hfn of a table of that frame, of those that the hardware walks first, or that it locates
        by another."""
        return self.tables.hfn_of(frame)

    def leaf(self, process: int, page: int) -> tuple[Entry, int] | None:
        """The leaf of a 4 KiB page of a process, and the page's frame."""
        if process not in self._leaves:
            self._leaves[process] = leaves_of(self.entries(process))
        return leaf_at(self._leaves[process], page)

    def translate(self, process: int, page: int) -> Page | None:
        """What a walk gives for a 4 KiB page of a process; None where it faults."""
        found = self.leaf(process, page)
        if found is None:
            return None
        leaf, frame = found
        return Page(frame, leaf.level - 1, leaf.rights & RIGHTS, bool(leaf.value & D))

    def uppers(self, process: int) -> dict[tuple[int, int], tuple[int, int]]:
        """(level, address prefix) -> (hfn of the table below, rights of the path): what
        paging-structure caches of linear addresses may hold."""
        return {
            (entry.level, entry.address >> (12 + 9 * (entry.level - 1))): (
                self.locate(entry.frame),
                entry.rights & RIGHTS,
            )
            for entry in self.entries(process)
            if not entry.is_leaf
        }

    def physical_uppers(self) -> dict[tuple[int, int], int] | None:
        """The same of guest-physical addresses, without rights; None where nothing caches
        them."""
        return None

    def host_tables(self) -> dict[int, int]:
        """hfn -> kind of frame, of the tables that the VMM keeps for this VM."""
        return {}

    def reserved(self) -> dict[int, int]:
        """gfn -> kind of frame, of those that the guest keeps for places that the technique
        names; each has one reference for that."""
        return {}

    def process_of(self, pcid: int) -> int | None:
        """The process that a PCID other than the current one is, if its translations may be
        used again."""
        number = int(self.tables.regs["number"])
        for process in self.tables.processes():
            one = self.tables.vm.process[process]
            if int(one["asid"]) == pcid and not int(one["stale"]) >> number & 1:
                return process
        return None

    def check(self) -> None:
        """Raises CheckFailed where an invariant of the technique's own does not hold."""
