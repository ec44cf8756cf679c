"""A model of the translation hardware in plain lists and dictionaries: slow and obvious.

Written from the descriptions of the structures, not from the simulator's code; it shares
nothing with it but the published random-number sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmulab.mmu.presets.preset import Preset

LOAD, STORE, FETCH = 0, 1, 2
SHIFT = {"4k": 12, "2m": 21, "1g": 30}
SIZES = ("4k", "2m", "1g")


class Array:
    """One set-associative array of tags; each set is a list of ways, None where invalid."""

    def __init__(self, sets: int, ways: int, policy: str, seed: int = 1, number: int = 0) -> None:
        self.sets = [[None] * ways for _ in range(sets)]
        self.value: dict[object, object] = {}
        self.used: dict[object, int] = {}  # tag -> time of the last touch (fill, under FIFO)
        self.trees = [[0] * ways for _ in range(sets)]
        self.policy = policy
        self.time = 0
        self.random = (seed * 0x9E3779B97F4A7C15 + number) % (1 << 62) + 1
        self.hits = self.misses = 0

    def has(self, tag: object) -> bool:
        return tag in self.value

    def _set(self, page: int) -> int:
        return page % len(self.sets)

    def touch(self, page: int, tag: object) -> None:
        self.time += 1
        ways = self.sets[self._set(page)]
        if self.policy == "lru":
            self.used[tag] = self.time
        elif self.policy == "plru":
            self._point_away(self._set(page), ways.index(tag))

    def _point_away(self, index: int, way: int) -> None:
        """Each node from the root to the way remembers the other side."""
        tree = self.trees[index]
        node, low, high = 1, 0, len(tree)
        while high - low > 1:
            middle = (low + high) // 2
            right = way >= middle
            tree[node] = 0 if right else 1
            node = 2 * node + right
            low, high = (middle, high) if right else (low, middle)

    def _victim(self, index: int) -> int:
        ways = self.sets[index]
        if None in ways:
            return ways.index(None)
        if self.policy in ("lru", "fifo"):
            return min(range(len(ways)), key=lambda way: self.used[ways[way]])
        if self.policy == "random":
            x, mask = self.random, (1 << 63) - 1
            x ^= (x << 13) & mask
            x ^= x >> 7
            x ^= (x << 17) & mask
            self.random = x
            return (x >> 16) % len(ways)
        tree = self.trees[index]
        node, low, high = 1, 0, len(tree)
        while high - low > 1:
            right = tree[node]
            middle = (low + high) // 2
            node = 2 * node + right
            low, high = (middle, high) if right else (low, middle)
        return low

    def fill(self, page: int, tag: object, value: object) -> None:
        if self.has(tag):
            self.value[tag] = value
            self.touch(page, tag)
            return
        index = self._set(page)
        way = self._victim(index)
        ways = self.sets[index]
        if ways[way] is not None:
            del self.value[ways[way]]
        self.time += 1
        ways[way] = tag  # type: ignore[call-overload]
        self.value[tag] = value
        self.used[tag] = self.time
        if self.policy == "plru":
            self._point_away(index, way)

    def drop(self, wanted) -> None:  # type: ignore[no-untyped-def]
        """Invalidates every entry whose tag is wanted."""
        for ways in self.sets:
            for way, tag in enumerate(ways):
                if tag is not None and wanted(tag):
                    ways[way] = None
                    del self.value[tag]


@dataclass
class Page:
    """A leaf of the page table."""

    size: str
    dirty: bool = False


@dataclass
class Counts:
    l1_misses: list[int] = field(default_factory=lambda: [0, 0, 0])
    l2_hits: list[int] = field(default_factory=lambda: [0, 0, 0])
    l2_misses: int = 0
    repeated_lookups: int = 0
    repeated_l2_hits: int = 0
    walks: list[int] = field(default_factory=lambda: [0, 0, 0])
    dirty_walks: int = 0
    references: list[int] = field(default_factory=lambda: [0] * 6)  # by table level


class Hardware:
    """TLBs and paging-structure caches over page tables of four levels, one dimension.

    page_size(process, address) says what size the OS maps an address with at first touch.
    """

    def __init__(self, preset: Preset, page_size, pcid: bool, seed: int = 1) -> None:  # type: ignore
        tlbs = [t for t in preset.tlbs if t.level == 1] + [t for t in preset.tlbs if t.level == 2]
        self.tlbs = [
            (t, Array(t.sets, t.ways, t.policy, seed, number)) for number, t in enumerate(tlbs)
        ]
        self.psc = {
            {"pde": 2, "pdpte": 3, "pml4e": 4}[c.name]: Array(c.sets, c.ways, c.policy)
            for c in preset.walk_caches
            if c.name in ("pde", "pdpte", "pml4e")
        }
        self.page_size = page_size
        self.pcid = pcid
        self.tables: dict[tuple[int, str, int], Page] = {}
        self.process = 1
        self.ran: set[int] = {1}
        self.counts = Counts()
        self.by_kind = [0, 0, 0]

    @property
    def asid(self) -> int:
        return self.process if self.pcid else 0

    # --- the page table

    def leaf(self, address: int) -> Page | None:
        for size in SIZES:
            page = self.tables.get((self.process, size, address >> SHIFT[size]))
            if page:
                return page
        return None

    # --- look-ups

    def _arrays(self, level: int, kind: int):  # type: ignore[no-untyped-def]
        wanted = "I" if kind == FETCH else "D"
        return [(t, a) for t, a in self.tlbs if t.level == level and wanted in t.kinds]

    def _find(self, level: int, kind: int, address: int):  # type: ignore[no-untyped-def]
        for size in SIZES:
            for tlb, array in self._arrays(level, kind):
                tag = (self.asid, size, address >> SHIFT[size])
                if size in tlb.page_sizes and array.has(tag):
                    return array, tag
        return None

    def _fill(self, level: int, kind: int, address: int, size: str, dirty: bool) -> None:
        sizes = {s for t, _ in self._arrays(level, kind) for s in t.page_sizes}
        if level == 1:
            while size not in sizes:
                size = SIZES[SIZES.index(size) - 1]
        for tlb, array in self._arrays(level, kind):
            if size in tlb.page_sizes:
                page = address >> SHIFT[size]
                array.fill(page, (self.asid, size, page), dirty)

    # --- what happens

    def access(self, pages: list[int], kind: int) -> None:
        """One access to one or two pages, again and again until none faults.

        Counts what each page's first look-up found. A level that missed is charged to the array
        that holds the page once it is there.
        """
        missed: dict[int, set[int]] = {}  # levels that a page's first look-up missed, uncharged
        through = 0
        self.by_kind[kind] += 1
        while through < len(pages):
            through = 0
            for address in pages:
                where = self._look_up(address, kind, address not in missed)
                missed.setdefault(address, {1, 2} - where if not where else {1} - where)
                if not self._translate(address, kind, where):
                    self.counts.repeated_lookups += through + 1
                    break
                for level in missed[address]:
                    if found := self._find(level, kind, address):
                        found[0].misses += 1
                missed[address] = set()
                through += 1

    def _look_up(self, address: int, kind: int, first: bool) -> set[int]:
        """Levels that hold the page, as far as they are looked into."""
        counts = self.counts
        for level in (1, 2):
            if found := self._find(level, kind, address):
                if first:
                    found[0].hits += 1
                if level == 2 and (kind != STORE or found[0].value[found[1]]):
                    counts.l2_hits[kind] += first
                    counts.repeated_l2_hits += not first
                return {level}
            if level == 1:
                counts.l1_misses[kind] += first
            else:
                counts.l2_misses += first
        return set()

    def _translate(self, address: int, kind: int, where: set[int]) -> bool:
        """From the entry that was found, or by a walk; False where that faults, which the OS has
        mended."""
        counts = self.counts
        for level in where:
            array, tag = self._find(level, kind, address)
            if kind != STORE or array.value[tag]:
                array.touch(tag[2], tag)
                if level == 2:
                    self._fill(1, kind, address, tag[1], array.value[tag])
                return True
            counts.dirty_walks += 1
        counts.walks[kind] += 1
        page = self._walk(address)
        if page is None:
            self.drop_page(address)
            size = self.page_size(self.process, address)
            self.tables[self.process, size, address >> SHIFT[size]] = Page(size)
            return False
        page.dirty = page.dirty or kind == STORE
        self._fill(2, kind, address, page.size, page.dirty)
        self._fill(1, kind, address, page.size, page.dirty)
        return True

    def _walk(self, address: int) -> Page | None:
        """Reads table entries from the deepest cached level down."""
        start = 4
        for level in (2, 3, 4):
            prefix = address >> (12 + 9 * (level - 1))
            cache = self.psc.get(level)
            if cache is None:
                continue
            if cache.has((self.asid, prefix)):
                cache.hits += 1
                cache.touch(prefix, (self.asid, prefix))
                start = level - 1
                break
            cache.misses += 1
        leaf = self.leaf(address)
        last = 1 + SIZES.index(leaf.size) if leaf else self._deepest(address)
        for level in range(start, last - 1, -1):
            self.counts.references[level] += 1
            if level > last:
                prefix = address >> (12 + 9 * (level - 1))
                if level in self.psc:
                    self.psc[level].fill(prefix, (self.asid, prefix), None)
        return leaf

    def _deepest(self, address: int) -> int:
        """Level of the first entry that is not present on the way to an unmapped address."""
        for level in (1, 2, 3):
            shift = 12 + 9 * level  # what the table of this level covers
            for process, size, page in self.tables:
                below = SIZES.index(size) < level
                if process == self.process and below:
                    if (page << SHIFT[size]) >> shift == address >> shift:
                        return level
        return 4

    # --- what software does

    def drop_page(self, address: int) -> None:
        for _, array in self.tlbs:
            array.drop(lambda t: t[0] == self.asid and t[2] == address >> SHIFT[t[1]])

    def invlpg(self, address: int) -> None:
        leaf_size = self.page_size(self.process, address)
        for _, array in self.tlbs:
            array.drop(
                lambda t: (
                    t[0] == self.asid
                    and (t[2] << SHIFT[t[1]]) >> SHIFT[leaf_size] == address >> SHIFT[leaf_size]
                )
            )
        for cache in self.psc.values():
            cache.drop(lambda t: t[0] == self.asid)

    def switch(self, process: int) -> None:
        if process == self.process:
            return
        self.process = process
        if not self.pcid or process not in self.ran:
            for _, array in self.tlbs:
                array.drop(lambda t: t[0] == self.asid)
            for cache in self.psc.values():
                cache.drop(lambda t: t[0] == self.asid)
        self.ran.add(process)
