"""Page tables read anew, by NumPy and plain Python: no kernel that may be wrong is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from mmulab.mmu.errors import RunError
from mmulab.mmu.hardware.state import NESTED, SHADOW, Machine
from mmulab.mmu.memory.entries import EPT_RWX, FRAME, PS, RW, US, XD, P
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


def _sign_extend(address: int, levels: int) -> int:
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
        self.regs = machine.core.regs[0]
        self.virtual = int(self.record["technique"]) in (SHADOW, NESTED)

    def contents(self, hfn: int) -> np.ndarray | None:
        """int64[512], or None where the frame holds no table."""
        return entries_in(self.memory, hfn)

    def hfn_of(self, gfn: int) -> int:
        return max(0, int(self.vm.p2m[gfn]) >> 2) - 1 if self.virtual else gfn

    def entries(
        self, root: int, levels: int, present: int, locate: Callable[[int], int]
    ) -> Iterator[Entry]:
        """Every present entry of a tree, upper levels first. `root` is an hfn; `locate`
        turns the frame of a table into its hfn."""
        level = levels
        tables = [(0, root, RW | US)]
        while tables:
            below = []
            for start, hfn, rights in tables:
                contents = self.contents(hfn)
                if contents is None:
                    fail(self.where, "no dangling table", f"frame {hfn:#x} holds no table")
                    return
                for index in np.flatnonzero(contents & present).tolist():
                    value = int(contents[index])
                    address = start + (index << (12 + 9 * (level - 1)))
                    here = (rights & value & (RW | US)) | ((rights | value) & XD)
                    entry = Entry(_sign_extend(address, levels), level, hfn, index, value, here)
                    yield entry
                    if not entry.is_leaf:
                        below.append((address, locate(entry.frame), here))
            tables = below
            level -= 1

    def guest_entries(self, cr3: int) -> Iterator[Entry]:
        levels = int(self.record["levels"])
        return self.entries(self.hfn_of(cr3), levels, P, self.hfn_of)

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

    def nested_entries(self) -> Iterator[Entry]:
        levels = int(self.regs["ept_levels"])
        return self.entries(int(self.record["npt_root"]), levels, EPT_RWX, lambda frame: frame)

    def shadow_entries(self, page: int) -> Iterator[Entry]:
        levels = int(self.record["levels"])
        root = int(self.vm.shadow[page]["hfn"])
        return self.entries(root, levels, P, lambda frame: frame)

    def processes(self) -> list[int]:
        used = int(self.record["processes_used"])
        return [p for p in range(used) if self.vm.process[p]["alive"]]
