"""The same, slowly: shadow tables, the guest's below a switch, and each of its frames through the
host table."""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.hardware.walks.agile import FULL, GLOBAL, SWITCHED
from mmulab.mmu.memory.entries import EPT_D, EPT_W, EPT_X, FRAME, PS, RW, SWITCH, US, XD, D, P
from mmulab.mmu.memory.state import SPT_PAGE
from mmulab.mmu.techniques.agile.state import AgileState
from mmulab.mmu.techniques.nested import NestedReference
from mmulab.mmu.techniques.reference import RIGHTS, Entry, Page, Tables, fail, sign_extend
from mmulab.mmu.techniques.shadow.reference import ShadowReference


class AgileReference(ShadowReference):
    hides_pcid = False

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        assert isinstance(self.state, AgileState)
        self.agile: AgileState = self.state
        self.host = NestedReference(tables)
        self._shadow = set(ShadowReference.host_tables(self))

    def _root(self, process: int) -> tuple[int, bool]:
        """Host frame of the table that a walk begins at, and whether it is the guest's own; NIL
        where the process has none yet."""
        cr3 = int(self.tables.vm.process[process]["cr3"])
        if self.agile.place[cr3]:
            return self.tables.hfn_of(cr3), True
        page = int(self.agile.root[process])
        return (int(self.agile.page[page]["hfn"]), False) if page else (-1, False)

    def entries(self, process: int) -> Iterator[Entry]:
        """Upper levels first; those of the guest's tables have gfns."""
        root, nested = self._root(process)
        level = levels = int(self.tables.record["levels"])
        tables = [(0, root, RW | US, nested)] if root >= 0 else []
        while tables:
            below = []
            for start, hfn, rights, nested in tables:
                for entry in self.tables.entries_of(start, hfn, rights, level, P):
                    yield entry._replace(address=sign_extend(entry.address, levels))
                    if not entry.is_leaf:
                        frame = self.tables.hfn_of(entry.frame) if nested else entry.frame
                        switched = nested or bool(entry.value & SWITCH)
                        below.append((entry.address, frame, entry.rights, switched))
            tables = below
            level -= 1

    def locate(self, frame: int) -> int:
        return self.tables.hfn_of(frame)

    def _is_guests(self, entry: Entry) -> bool:
        return entry.table not in self._shadow

    def translate(self, process: int, page: int) -> Page | None:
        found = self.leaf(process, page)
        if found is None:
            return None
        leaf, frame = found
        rights, dirty = leaf.rights & RIGHTS, bool(leaf.value & D)
        if not self._is_guests(leaf):
            return Page(frame, leaf.level - 1, rights, dirty)
        below = self.host.below(frame)
        if below is None:
            return None
        entry, hfn, size = below
        rights &= ~0 if entry & EPT_W else ~RW
        rights |= 0 if entry & EPT_X else XD
        dirty = dirty and (not self.tables.regs["root_ad"] or bool(entry & EPT_D))
        return Page(hfn, min(leaf.level - 1, size), rights, dirty)

    def uppers(self, process: int) -> dict[tuple[int, int], tuple[int, int]]:
        return {
            (entry.level, entry.address >> (12 + 9 * (entry.level - 1))): (
                self.tables.hfn_of(entry.frame) if self._is_guests(entry) else entry.frame,
                entry.rights & RIGHTS,
            )
            for entry in self.entries(process)
            if not entry.is_leaf
        }

    def physical_uppers(self) -> dict[tuple[int, int], int]:
        return self.host.physical_uppers()

    def host_tables(self) -> dict[int, int]:
        return dict.fromkeys(self._shadow, SPT_PAGE) | self.host.host_tables()

    def check(self) -> None:
        """Invariant 2; each listed table knows its place and has no shadow; the register with the
        root is the current process's."""
        super().check()
        where, what = self.tables.where, "a nested table is the guest's own"
        for at in range(int(self.agile.agile[0]["listed"])):
            gfn = int(self.agile.table[at]["gfn"])
            if self.agile.place[gfn] != at + 1 or self.agile.shadowed[gfn]:
                fail(where, what, f"gfn {gfn:#x} is shadowed, or not where it says")
        process = int(self.tables.record["current"])
        cr3 = int(self.tables.vm.process[process]["cr3"])
        root, nested = self._root(process)
        if nested:
            full = self.agile.table[int(self.agile.place[cr3]) - 1]["full"]
            root = cr3 | FULL if full else root | SWITCHED
        if int(self.tables.regs["cr3"]) & ~GLOBAL != root:
            fail(where, what, f"CR3 is {int(self.tables.regs['cr3']):#x}; expected {root:#x}")

    def composed(self, level: int, spte: int, gpte: int) -> str:
        if level == 1 or spte & PS or not spte & SWITCH:
            why = super().composed(level, spte, gpte)
            clean = (level == 1 or spte & PS) and spte & D and not gpte & D
            if not why and clean and self.agile.record[0]["walker_dirty"]:
                return f"sPTE {spte:#x} is dirty, gPTE {gpte:#x} is not"
            return why
        gfn = (gpte & FRAME) >> 12
        if not gpte & P or gpte & PS or (spte & FRAME) >> 12 != self.tables.hfn_of(gfn):
            return f"sPTE {spte:#x} does not switch to the table of gPTE {gpte:#x}"
        if (spte ^ gpte) & RIGHTS:
            return f"sPTE {spte:#x} and gPTE {gpte:#x} have other rights"
        return "" if not self.agile.shadowed[gfn] else f"gfn {gfn:#x} has a shadow, too"
