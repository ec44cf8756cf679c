"""What QEMU's TLB should have: what the guest's tables say now, page by page."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.memory.entries import FRAME, RW, D
from mmulab.mmu.memory.state import MERGED_PAGE, SPT_PAGE
from mmulab.mmu.techniques.reference import RIGHTS, Page, Reference, Tables, fail
from mmulab.mmu.techniques.softmmu.state import MODES, VICTIMS, SoftmmuState

_WHAT = "a software TLB holds what the guest's tables say"


class SoftmmuReference(Reference):
    """The guest's tables, and the host frames of their pages, 4 KiB at a time."""

    hides_pcid = True

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        private = tables.vm.private
        assert isinstance(private, SoftmmuState)
        self.state = private

    def translate(self, process: int, page: int) -> Page | None:
        above = super().translate(process, page)
        if above is None or (hfn := self.tables.hfn_of(above.hfn)) < 0:
            return None
        kind = int(self.tables.machine.host.frames.frame[hfn]["kind"])
        rights = above.rights & ~RW if kind == MERGED_PAGE else above.rights
        return Page(hfn, 0, rights, above.dirty)

    def host_tables(self) -> dict[int, int]:
        control = int(self.state.record[0]["control"])
        return dict.fromkeys((control, *self.state.mode["table"].tolist()), SPT_PAGE)

    def check(self) -> None:
        for mode in range(MODES):
            for index, entry in enumerate(self._table(mode).tolist()):
                self._check_entry(mode, entry, index)
            for victim in self.state.victim[mode * VICTIMS : (mode + 1) * VICTIMS]:
                self._check_entry(mode, [*victim["page"].tolist(), int(victim["leaf"])], None)

    def _table(self, mode: int) -> np.ndarray:
        """int64[entries, 4]."""
        this = self.state.mode[mode]
        first, entries = int(this["table"]), int(this["entries"])
        parts = [self.tables.contents(first + at) for at in range(max(1, entries >> 7))]
        return np.concatenate(parts).reshape(-1, 4)[:entries]  # type: ignore[arg-type]

    def _check_entry(self, mode: int, entry: list[int], index: int | None) -> None:
        *pages, leaf = entry
        used = set(pages) - {-1}
        if not used:
            return
        page = min(used)
        where = f"mode {mode}, page {page:#x}"
        if len(used) > 1 or (page >= 0) != (mode == 1):
            fail(self.tables.where, _WHAT, where)
        if index is not None and (page >> 12) % int(self.state.mode[mode]["entries"]) != index:
            fail(self.tables.where, _WHAT, f"{where}: at {index}")
        now = self.translate(int(self.tables.record["current"]), page >> 12)
        cached = ((leaf & FRAME) >> 12, leaf & RIGHTS)
        if now is None or cached != (now.hfn, now.rights) or (leaf & D and not now.dirty):
            fail(self.tables.where, _WHAT, f"{where}: {leaf:#x}, the tables: {now}")
        if pages[1] != -1 and not leaf & D:
            fail(self.tables.where, _WHAT, f"{where}: stores pass, and D is clear")
