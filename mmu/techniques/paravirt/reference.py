"""What Xen's direct paging should have: counts of uses, as the tables tell when read anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from mmulab.mmu.memory.entries import RW
from mmulab.mmu.techniques.paravirt.state import NONE, WRITABLE, ParavirtState
from mmulab.mmu.techniques.reference import Entry, Reference, Tables, fail


class ParavirtReference(Reference):
    """The guest's tables, whose frames are the machine's."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        private = tables.vm.private
        assert isinstance(private, ParavirtState)
        self.state = private

    def entries(self, process: int) -> Iterator[Entry]:
        return self.tables.machine_entries(int(self.tables.vm.process[process]["cr3"]))

    def locate(self, frame: int) -> int:
        return frame

    def check(self) -> None:
        uses, total = self._uses()
        for gfn in np.flatnonzero(self.state.total).tolist():
            self._same(gfn, "uses", int(self.state.total[gfn]), total.pop(gfn, 0))
        if total:
            fail(self.tables.where, _COUNTED, f"gfn {min(total):#x} is used and not counted")
        self._check_types(uses)
        self._check_pins()

    def _uses(self) -> tuple[Counter[tuple[int, int]], Counter[int]]:
        """(gfn, type) -> uses, and gfn -> uses, by pins and by entries of validated tables."""
        uses: Counter[tuple[int, int]] = Counter()
        total: Counter[int] = Counter()
        seen: set[tuple[int, int]] = set()
        pinned = np.flatnonzero(self.state.pinned).tolist()
        for gfn in pinned:
            uses[gfn, int(self.state.type[gfn])] += 1
            total[gfn] += 1
        for process in self.tables.processes():
            cr3 = int(self.tables.vm.process[process]["cr3"])
            for entry in self.tables.guest_entries(cr3):
                table = self.tables.gfn_of(entry.table)
                if (table, entry.position) in seen or not self.state.type_count[table]:
                    continue
                seen.add((table, entry.position))
                if not entry.is_leaf:
                    uses[entry.frame, entry.level - 1] += 1
                    total[entry.frame] += 1
                    continue
                for gfn in range(entry.frame, entry.frame + (1 << (9 * (entry.level - 1)))):
                    total[gfn] += 1
                    if entry.value & RW:
                        uses[gfn, WRITABLE] += 1
        return uses, total

    def _same(self, gfn: int, what: str, mine: int, theirs: int) -> None:
        if mine != theirs:
            fail(self.tables.where, _COUNTED, f"gfn {gfn:#x}: {mine} {what}; the tables: {theirs}")

    def _check_types(self, uses: Counter[tuple[int, int]]) -> None:
        types: dict[int, int] = {}
        for gfn, kind in uses:
            if types.setdefault(gfn, kind) != kind:
                fail(self.tables.where, _ONE_TYPE, f"gfn {gfn:#x}: types {types[gfn]} and {kind}")
        for gfn in np.flatnonzero(
            (self.state.type != NONE) | (self.state.type_count != 0)
        ).tolist():
            kind = int(self.state.type[gfn])
            if types.pop(gfn, NONE) != kind:
                fail(self.tables.where, _ONE_TYPE, f"gfn {gfn:#x} is not used as type {kind}")
            self._same(
                gfn, f"uses as type {kind}", int(self.state.type_count[gfn]), uses[gfn, kind]
            )
        if types:
            fail(self.tables.where, _ONE_TYPE, f"gfn {min(types):#x} has no type")

    def _check_pins(self) -> None:
        """A root that the hardware may use is pinned, and its tables are known to be tables."""
        current = int(self.tables.record["current"])
        cr3 = int(self.tables.vm.process[current]["cr3"])
        if not self.state.pinned[cr3] or not self.state.type_count[cr3]:
            fail(self.tables.where, _PINNED, f"gfn {cr3:#x}")
        if self.tables.hfn_of(cr3) != int(self.tables.regs["cr3"]):
            fail(self.tables.where, _PINNED, f"CR3 is not the machine frame of gfn {cr3:#x}")


_COUNTED = "uses are counted as the tables have them"
_ONE_TYPE = "a frame is a page table of one level, or writable, or neither"
_PINNED = "the root in use is pinned and validated"
