"""The two-dimensional walk and its caches in plain lists and dictionaries: slow and obvious.

Tables are handed over as they are, and no longer change; what a walk reads of them, which caches
it looks into and fills, and what its references cost, is found here anew.
"""

from __future__ import annotations

from collections import Counter

from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.trace import FETCH
from models.brute_caches import Caches, Line, line_of
from models.brute_tlb import Array, Hardware, Page

LEVEL_OF = {"pde": 2, "pdpte": 3, "pml4e": 4, "pml5e": 5}
FRAME, LARGE = ((1 << 40) - 1) << 12, 1 << 7

Tables = dict[int, list[int]]  # hfn -> the 512 entries of the table in it


class Nested(Hardware):
    """TLBs and walk caches over guest tables and an EPT, both complete.

    cr3: gfn of the top-level table, by process. llc: bytes of the last cache. follows: the
    program's own lines go through the caches. The entry of each address is there and dirty, so that nothing faults.
    """

    def __init__(
        self, preset: Preset, pcid: bool, levels: tuple[int, int], tables: Tables,
        cr3: dict[int, int], eptp: int, llc: int, follows: bool,
    ) -> None:  # fmt: skip
        super().__init__(preset, None, pcid)
        self.levels, self.host_levels = levels
        self.entries = tables
        self.cr3, self.eptp = cr3, eptp
        self.ran = set(cr3)
        self.cached: dict[str, Array] = {}
        number = len(preset.tlbs)
        for cache in preset.walk_caches:
            if cache.ways == 0:
                continue
            self.cached[cache.name] = Array(
                cache.sets, cache.ways, cache.policy, number=number
            )  # fmt: skip
            number += 1
        self.psc = {LEVEL_OF[n]: a for n, a in self.cached.items() if n in LEVEL_OF}
        self.ept_psc = {
            LEVEL_OF[n[4:]]: a for n, a in self.cached.items() if n.startswith("ept_")
        }  # fmt: skip
        self.walked = {
            dimension: self.cached.get("pwc", self.cached.get(f"{dimension}_pwc"))
            for dimension in ("guest", "nested")
        }
        self.caches = Caches(preset, llc)
        self.follows = follows
        self.references: Counter[tuple[int, int, int]] = Counter()

    def switch(self, process: int) -> None:
        if process != self.process and not (self.pcid and process in self.ran):
            for cache in self.walked.values():
                if cache:
                    cache.drop(lambda place: True)
        super().switch(process)

    def access_bytes(self, address: int, kind: int, size: int, pages: list[int]) -> None:
        """An access, and the lines that it touches where those go through the caches."""
        self.access(pages, kind)
        if self.follows and kind != FETCH:
            for line in range(address >> 6, (address + size - 1 >> 6) + 1):
                self.caches.touch(line_of(line << 6, self.process))

    # --- the walk

    def _walk(self, address: int) -> Page:
        """Down the guest's tables, each of which must be found first, and then to the page."""
        level, frame = self._deepest_cached(self.psc, self.levels, self.asid, address)
        if frame is None:
            frame = self._table(self.cr3[self.process], level)
        while True:
            entry = self._reference(frame, address, level, level, 0)
            if level == 1 or entry & LARGE:
                break
            frame = self._table((entry & FRAME) >> 12, level - 1)
            self._remember(self.psc, self.asid, address, level, frame)
            level -= 1
        within = (1 << (12 + 9 * (level - 1))) - 1
        _, host_level = self._nested((entry & FRAME) + (address & within), 0)
        return Page(("4k", "2m", "1g")[min(level, host_level) - 1], dirty=True)

    def _table(self, gfn: int, guest_level: int) -> int:
        """hfn of a table of the guest's: from the nested TLB, or by a walk of its own."""
        ntlb = self.cached.get("ntlb")
        if ntlb and ntlb.has(gfn):
            ntlb.hits += 1
            ntlb.touch(gfn, gfn)
            return ntlb.value[gfn]  # type: ignore[return-value]
        hfn, _ = self._nested(gfn << 12, guest_level)
        if ntlb:
            ntlb.misses += 1
            ntlb.fill(gfn, gfn, hfn)
        return hfn

    def _nested(self, gpa: int, guest_level: int) -> tuple[int, int]:
        """(hfn, level of the leaf) of a guest-physical address."""
        level, frame = self._deepest_cached(self.ept_psc, self.host_levels, 0, gpa)
        if frame is None:
            frame = self.eptp
        while True:
            entry = self._reference(frame, gpa, level, guest_level, level)
            if level == 1 or entry & LARGE:
                inside = (gpa >> 12) & ((1 << 9 * (level - 1)) - 1)
                return ((entry & FRAME) >> 12) + inside, level
            frame = (entry & FRAME) >> 12
            self._remember(self.ept_psc, 0, gpa, level, frame)
            level -= 1

    # --- its caches

    @staticmethod
    def _prefix(address: int, level: int) -> int:
        return (address >> (12 + 9 * (level - 1))) & ((1 << 45) - 1)

    def _deepest_cached(
        self, caches: dict[int, Array], levels: int, owner: int, address: int
    ) -> tuple[int, int | None]:
        """Where the walk begins: the level of a table, and its frame where a cache has it."""
        for level in range(2, levels + 1):
            if cache := caches.get(level):
                prefix = self._prefix(address, level)
                if cache.has((owner, prefix)):
                    cache.hits += 1
                    cache.touch(prefix, (owner, prefix))
                    return level - 1, cache.value[owner, prefix]  # type: ignore[return-value]
                cache.misses += 1
        return levels, None

    def _remember(
        self, caches: dict[int, Array], owner: int, address: int, level: int, frame: int
    ) -> None:
        if cache := caches.get(level):
            prefix = self._prefix(address, level)
            cache.fill(prefix, (owner, prefix), frame)

    def _reference(
        self, frame: int, address: int, level: int, guest_level: int, host_level: int
    ) -> int:
        """Reads an entry of a table; counts the cache that has its line."""
        number = address >> (12 + 9 * (level - 1))
        page, index = number >> 9, number & 511
        entry = self.entries[frame][index]
        if self._is_in_page_walk_cache(frame * 512 + index, entry, guest_level, host_level):
            return entry
        if host_level:
            line = Line((1, -1), ("nested", level), page, index >> 3)
        else:
            line = Line((1, self.process), ("guest", level), page, index >> 3)
        self.references[guest_level, host_level, self.caches.reference(line)] += 1
        return entry

    def _is_in_page_walk_cache(
        self, place: int, entry: int, guest_level: int, host_level: int
    ) -> bool:
        """Whether no reference is made. What a TLB will hold is not kept: the guest's leaf, and
        the nested leaf of no table of the guest's."""
        cache = self.walked["nested" if host_level else "guest"]
        if not cache:
            return False
        if cache.has(place):
            cache.hits += 1
            cache.touch(place, place)
            return True
        cache.misses += 1
        is_leaf = entry & LARGE or (host_level or guest_level) == 1
        if not is_leaf or (host_level and guest_level):
            cache.fill(place, place, None)
        return False
