"""QEMU's software TLB, once more, from accel/tcg/cputlb.c: dictionaries in place of tables.

Pages are small and all of them mapped; `dirty` are those whose D bit is set.
"""

from __future__ import annotations

SIZE_T = (1 << 64) - 1
LOAD, STORE = 0, 1


class QemuTlb:
    """One mode. window: in accesses. most: entries, at most."""

    def __init__(self, window: int, most: int) -> None:
        self.window, self.most = window, most
        self.size = 256
        self.now = self.begin = 0
        self.window_max = 0
        self.fills = self.victim_hits = 0
        self.dirty: set[int] = set()
        self.is_dirty = False
        self._empty()

    def _empty(self) -> None:
        self.used = 0
        self.main: dict[int, tuple[int, bool]] = {}  # index -> page, writable
        self.victims: list[tuple[int, bool] | None] = [None] * 8
        self.vindex = 0

    def access(self, page: int, kind: int) -> None:
        self.now += 1
        index = page % self.size
        if self._serves(self.main.get(index), page, kind):
            return
        for slot, entry in enumerate(self.victims):
            if self._serves(entry, page, kind):
                assert entry
                self.victims[slot] = self.main.get(index)
                self.main[index] = entry
                self.victim_hits += 1
                return
        self.fills += 1
        if kind == STORE:
            self.dirty.add(page)
        self._set_page(page)

    @staticmethod
    def _serves(entry: tuple[int, bool] | None, page: int, kind: int) -> bool:
        return entry is not None and entry[0] == page and (kind != STORE or entry[1])

    def _set_page(self, page: int) -> None:
        self.is_dirty = True
        self._flush_victims(page)
        index = page % self.size
        old = self.main.get(index)
        if old is not None and old[0] != page:
            self.victims[self.vindex % 8] = old
            self.vindex += 1
            self.used = (self.used - 1) & SIZE_T
        self.main[index] = page, page in self.dirty
        self.used = (self.used + 1) & SIZE_T

    def _flush_victims(self, page: int) -> None:
        for slot, entry in enumerate(self.victims):
            if entry is not None and entry[0] == page:
                self.victims[slot] = None
                self.used = (self.used - 1) & SIZE_T

    def invlpg(self, page: int) -> None:
        index = page % self.size
        if index in self.main and self.main[index][0] == page:
            del self.main[index]
            self.used = (self.used - 1) & SIZE_T
        self._flush_victims(page)

    def flush(self) -> None:
        if self.is_dirty:
            self.is_dirty = False
            self._resize()
            self._empty()

    def _resize(self) -> None:
        expired = self.now > self.begin + self.window
        self.window_max = max(self.window_max, self.used)
        rate = (self.window_max * 100 & SIZE_T) // self.size
        new = self.size
        if rate > 70:
            new = min(self.size << 1, self.most)
        elif rate < 30 and expired:
            ceiling = 1 << (self.window_max - 1).bit_length() if self.window_max else 1
            if self.window_max * 100 // ceiling > 70:
                ceiling *= 2
            new = max(ceiling, 64)
        if new == self.size:
            if expired:
                self.begin, self.window_max = self.now, self.used
            return
        self.begin, self.window_max = self.now, 0
        self.size = new
