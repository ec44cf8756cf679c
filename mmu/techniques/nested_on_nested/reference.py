"""The same, slowly: by EPT02, which is EPT12 composed with EPT01; or by the shadow table, each of
whose frames EPT01 locates."""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.memory.entries import EPT_D, EPT_RWX, EPT_W, EPT_X, RW, XD
from mmulab.mmu.memory.state import NPT_PAGE
from mmulab.mmu.techniques.nested import NestedReference
from mmulab.mmu.techniques.nested_on_nested.state import EPT, SHADOW, NestedOnNestedState
from mmulab.mmu.techniques.pvm import PvmReference
from mmulab.mmu.techniques.reference import Entry, Page, Reference, Tables, fail, leaves_of


class NestedOnNestedReference(PvmReference):
    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        assert isinstance(self.state, NestedOnNestedState)
        self.levels = self.state.levels[0]
        self.ept = int(self.levels["mode"]) == EPT
        self.hides_pcid = int(self.levels["mode"]) == SHADOW
        self.below = NestedReference(tables)

    def entries(self, process: int) -> Iterator[Entry]:
        return self.below.entries(process) if self.ept else super().entries(process)

    def locate(self, frame: int) -> int:
        return self.below.locate(frame) if self.ept else frame

    def translate(self, process: int, page: int) -> Page | None:
        if self.ept:
            return self.below.translate(process, page)
        above = super().translate(process, page)
        found = self.below.below(above.hfn) if above else None
        if above is None or found is None:
            return None
        entry, hfn, size = found
        rights = above.rights & (~0 if entry & EPT_W else ~RW) | (0 if entry & EPT_X else XD)
        dirty = above.dirty and (not self.tables.regs["root_ad"] or bool(entry & EPT_D))
        return Page(hfn, min(above.size, size), rights, dirty)

    def physical_uppers(self) -> dict[tuple[int, int], int]:
        return self.below.physical_uppers()

    def _tree(self, root: int) -> list[Entry]:
        if root < 0:
            return []
        levels = int(self.tables.regs["root_levels"])
        return list(self.tables.entries(root, levels, EPT_RWX, lambda frame: frame))

    def host_tables(self) -> dict[int, int]:
        found = super().host_tables() | self.below.host_tables()
        for root in (int(self.levels["ept01"]), int(self.levels["ept12"])):
            if root >= 0:
                tables = {entry.frame for entry in self._tree(root) if not entry.is_leaf}
                found |= dict.fromkeys({root} | tables, NPT_PAGE)
        return found

    def process_of(self, pcid: int) -> int | None:
        return Reference.process_of(self, pcid) if self.ept else super().process_of(pcid)

    def check(self) -> None:
        """Shadow paging's; or that each page of EPT02 is EPT12's through EPT01."""
        if not self.ept:
            super().check()
            return
        what = "EPT02 is EPT12 composed with EPT01"
        upper = NestedReference(self.tables)
        upper._nested = leaves_of(iter(self._tree(int(self.levels["ept12"]))))
        lower = NestedReference(self.tables)
        lower._nested = leaves_of(iter(self._tree(int(self.levels["ept01"]))))
        for leaf in self._tree(int(self.tables.regs["root"])):
            if not leaf.is_leaf:
                continue
            gfn = leaf.address >> 12
            middle = upper.below(gfn)
            last = lower.below(middle[1]) if middle else None
            if middle is None or last is None or last[1] != leaf.frame:
                fail(self.tables.where, what, f"gfn {gfn:#x}: {leaf.frame:#x}, {middle}, {last}")
            elif leaf.value & EPT_RWX & ~middle[0]:
                fail(self.tables.where, what, f"gfn {gfn:#x} has more rights than L1 gives")
