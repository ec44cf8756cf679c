"""TLB prefetch in plain lists and dictionaries, upon `brute_tlb`: slow and obvious."""

from __future__ import annotations

from collections import OrderedDict

from models.brute_tlb import FETCH, SHIFT, STORE, Hardware, Page

TOP = 1 << 47


class Predictor:
    """Pages, of 4 KiB, that are predicted after each miss."""

    def __init__(self, how: str, degree: int, slots: int, rows: int) -> None:
        self.how, self.degree, self.slots, self.rows = how, degree, slots, rows
        self.table: dict[int, tuple[int, list[int]]] = {}  # by row: a distance, what followed it
        self.misses: list[int] = []

    def after(self, page: int, length: int) -> list[int]:
        """length: of the page that missed, in pages of 4 KiB; page: its first."""
        if self.how == "sequential":
            return [page + length * n for n in range(1, self.degree + 1)]
        self.misses = [*self.misses[-2:], page]
        if len(self.misses) == 1:
            return []
        distance = self.misses[-1] - self.misses[-2]
        if self.table.get(distance % self.rows, (None,))[0] != distance:
            self.table[distance % self.rows] = distance, []
        found = [page + next_ for next_ in self.table[distance % self.rows][1]]
        if len(self.misses) == 3:
            before = self.misses[1] - self.misses[0]
            tag, followed = self.table.get(before % self.rows, (None, []))
            if tag == before:
                if distance in followed:
                    followed.remove(distance)
                followed.insert(0, distance)
                del followed[self.slots :]
        return found


class Prefetching(Hardware):
    """`Hardware` with a prefetch buffer beside the second level, for data."""

    def __init__(self, *given, entries: int, predictor: Predictor) -> None:  # type: ignore
        super().__init__(*given)
        self.entries, self.predictor = entries, predictor
        self.buffer: OrderedDict[tuple[int, str, int], bool] = OrderedDict()
        self.walked_ahead = self.filled = self.served = 0
        self.ahead = [0] * 6  # references by table level

    def _in_buffer(self, address: int):  # type: ignore[no-untyped-def]
        tags = ((self.asid, size, address >> SHIFT[size]) for size in SHIFT)
        return next((tag for tag in tags if tag in self.buffer), None)

    def _translate(self, address: int, kind: int, where: set[int]) -> bool:
        if where or kind == FETCH:
            return super()._translate(address, kind, where)
        size = None
        if tag := self._in_buffer(address):
            dirty = self.buffer.pop(tag)
            if dirty or kind != STORE:
                self.served += 1
                size = tag[1]
                self._fill_ahead(address, size)
                self._fill(2, kind, address, size, dirty)
                self._fill(1, kind, address, size, dirty)
                return True
        # The walk, then what it has fetched ahead, then the TLBs are filled.
        self.counts.walks[kind] += 1
        page = self._walk(address)
        if page is None:
            return self._fault(address)
        self._fill_ahead(address, page.size)
        page.dirty = page.dirty or kind == STORE
        self._fill(2, kind, address, page.size, page.dirty)
        self._fill(1, kind, address, page.size, page.dirty)
        return True

    def _fault(self, address: int) -> bool:
        """As `Hardware` has it; its walk has been made."""
        self.drop_page(address)
        size = self.page_size(self.process, address)
        self.tables[self.process, size, address >> SHIFT[size]] = Page(size)
        return False

    def _fill_ahead(self, address: int, size: str) -> None:
        length = 1 << (SHIFT[size] - 12)
        for page in self.predictor.after((address >> 12) // length * length, length):
            target = page << 12
            if not 0 <= target < TOP or self._in_buffer(target):
                continue
            if self._find(1, STORE, target) or self._find(2, STORE, target):
                continue
            self.walked_ahead += 1
            mine, self.counts.references = self.counts.references, self.ahead
            leaf = self._walk(target)
            self.counts.references = mine
            if leaf:
                self.filled += 1
                if len(self.buffer) == self.entries:
                    self.buffer.popitem(last=False)
                self.buffer[self.asid, leaf.size, target >> SHIFT[leaf.size]] = leaf.dirty

    def drop_page(self, address: int) -> None:
        super().drop_page(address)
        self._forget(lambda t: t[0] == self.asid and t[2] == address >> SHIFT[t[1]])

    def invlpg(self, address: int) -> None:
        super().invlpg(address)
        self._forget(lambda t: t[0] == self.asid and t[2] == address >> SHIFT[t[1]])

    def switch(self, process: int) -> None:
        if process != self.process and (not self.pcid or process not in self.ran):
            asid = process if self.pcid else 0
            self._forget(lambda t: t[0] == asid)
        super().switch(process)

    def _forget(self, wanted) -> None:  # type: ignore[no-untyped-def]
        for tag in [tag for tag in self.buffer if wanted(tag)]:
            del self.buffer[tag]
