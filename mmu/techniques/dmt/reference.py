"""DMT's areas, slowly: the radix tables point into them, and the host has them where it says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.memory.state import GPT_PAGE, NPT_PAGE
from mmulab.mmu.techniques.bare_metal import BareMetalReference
from mmulab.mmu.techniques.dmt.state import SLOTS
from mmulab.mmu.techniques.reference import Tables, fail


class DmtReference(BareMetalReference):
    """What a walk gives is what it gives under nested paging, or on bare metal."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables, bool(tables.vm.private.native[0]))  # type: ignore[attr-defined]

    def _areas(self) -> Iterator[tuple[int, np.void]]:
        """(process, area) of each."""
        areas = self.tables.vm.private.tea  # type: ignore[attr-defined]
        for number in np.flatnonzero(areas["level"]).tolist():
            yield number // SLOTS, areas[number]

    def host_tables(self) -> dict[int, int]:
        found = super().host_tables()
        if self.native:
            return found
        size = len(self.tables.vm.p2m)
        for level, first in enumerate(self.tables.regs["host_tea"].tolist(), 1):
            if first >= 0:
                count = -(-size >> 9 * level)
                found |= dict.fromkeys(range(first, first + count), NPT_PAGE)
        return found

    def reserved(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for _, area in self._areas():
            base = int(area["base"])
            found |= dict.fromkeys(range(base, base + int(area["count"])), GPT_PAGE)
        return found

    def check(self) -> None:
        for process, area in self._areas():
            self._check_tables(process, area)
            if area["host"] >= 0:
                for offset in range(int(area["count"])):
                    if self.tables.hfn_of(int(area["base"]) + offset) != int(area["host"]) + offset:
                        what = f"process {process}, area at gfn {int(area['base']):#x}"
                        fail(self.tables.where, "the host has an area in one piece", what)

    def _check_tables(self, process: int, area: np.void) -> None:
        """Tables of an area are those that the radix table has there, where they lie in it."""
        level, start, base = int(area["level"]), int(area["start"]), int(area["base"])
        of = self.tables.vm.private.of  # type: ignore[attr-defined]
        found = set()
        for entry in self.entries(process):
            table = entry.address >> (12 + 9 * level)
            offset = table - start
            if entry.level == level + 1 and not entry.is_leaf and 0 <= offset < area["count"]:
                if base <= entry.frame < base + area["count"]:
                    found.add(entry.frame)
                    if entry.frame != base + offset:
                        what = f"process {process}, gva {entry.address:#x}, gfn {entry.frame:#x}"
                        fail(self.tables.where, "a table has its place in its area", what)
        used = set((np.flatnonzero(of[base : base + int(area["count"])]) + base).tolist())
        if used != found or len(used) != area["used"]:
            what = f"process {process}: {sorted(used)}; in the table {sorted(found)}"
            fail(self.tables.where, "an area knows its tables", what)
