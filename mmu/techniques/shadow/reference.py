"""What shadow paging should have: sPTs as hardware walks them, and invariant 2."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.memory.entries import FRAME, PS, RW, US, XD, A, D, P
from mmulab.mmu.memory.state import SPT_PAGE
from mmulab.mmu.techniques.reference import RIGHTS, Entry, Reference, Tables, fail
from mmulab.mmu.techniques.shadow.state import ShadowState


class ShadowReference(Reference):
    """The sPTs of a VM; frames of sPTs are where they are."""

    hides_pcid = True

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        private = tables.vm.private
        assert isinstance(private, ShadowState)
        self.state = private

    def entries(self, process: int) -> Iterator[Entry]:
        page = int(self.state.root[process])
        if not page:
            return iter(())
        root, levels = int(self.state.page[page]["hfn"]), int(self.tables.record["levels"])
        return self.tables.entries(root, levels, P, self.locate)

    def locate(self, frame: int) -> int:
        return frame

    def host_tables(self) -> dict[int, int]:
        used = self.state.page[1 : int(self.state.record[0]["pages_used"])]
        return dict.fromkeys(used["hfn"][used["level"] > 0].tolist(), SPT_PAGE)

    def check(self) -> None:
        """Invariant 2: each sPTE is composed of its gPTE and the p2m, unless it is unsync."""
        tables, state = self.tables, self.state
        what = "an sPT entry is its gPT entry composed with the p2m"
        for number in range(1, int(state.record[0]["pages_used"])):
            page = state.page[number]
            if not page["level"] or page["direct"] or page["unsync"]:
                continue
            if int(state.shadowed[page["gfn"]]) != number:
                fail(tables.where, what, f"gfn {int(page['gfn']):#x} does not know its shadow")
            mine = tables.contents(int(page["hfn"]))
            guest = tables.contents(tables.hfn_of(int(page["gfn"])))
            if mine is None or guest is None:
                fail(tables.where, what, f"shadow page {number} has no table")
                return
            for index in np.flatnonzero(mine & P).tolist():
                why = self.composed(int(page["level"]), int(mine[index]), int(guest[index]))
                if why:
                    fail(tables.where, what, f"level {int(page['level'])}, index {index}: {why}")

    def composed(self, level: int, spte: int, gpte: int) -> str:
        """Why an sPTE is not what its gPTE says; empty where it is."""
        tables, state = self.tables, self.state
        if not gpte & P or not gpte & A:
            return f"gPTE {gpte:#x} is not present or not accessed"
        guest_leaf = level == 1 or gpte & PS
        shadow_leaf = level == 1 or spte & PS
        frame = (spte & FRAME) >> 12
        if shadow_leaf:
            if not guest_leaf or frame != tables.hfn_of((gpte & FRAME) >> 12):
                return f"sPTE {spte:#x} maps another frame than gPTE {gpte:#x}"
            if spte & RW and not (gpte & RW and (gpte & D or state.record[0]["walker_dirty"])):
                return f"sPTE {spte:#x} is writable, gPTE {gpte:#x} is not or is clean"
            if (spte ^ gpte) & (US | XD):
                return f"sPTE {spte:#x} and gPTE {gpte:#x} have other rights"
            return ""
        reverse = int(tables.machine.host.frames.frame[frame]["reverse"]) - 1
        child = state.page[reverse]
        if guest_leaf:
            return "" if child["direct"] else f"sPTE {spte:#x} shadows a table, not a large page"
        if child["direct"] or int(child["gfn"]) != (gpte & FRAME) >> 12:
            return f"sPTE {spte:#x} points to the shadow of another table than gPTE {gpte:#x}"
        if (spte ^ gpte) & RIGHTS:
            return f"sPTE {spte:#x} and gPTE {gpte:#x} have other rights"
        return ""
