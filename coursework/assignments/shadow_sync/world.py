"""What guests do: their page tables, and sequences of operations on them, one kind for each part.

A sequence is made from a student's numbers alone, so that the grader knows what is right without
asking anybody. Entries are x86-64's (see `mmu.memory.entries`), as whole numbers of 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mmulab.coursework.draws import Draws

# Kinds of operation, and flags of an access; the same numbers as in `driver`.
CR3, ACCESS, STORE, INVLPG = 0, 1, 2, 3
WRITE, USER, FETCH = 1, 2, 4

P, RW, US, A, D, XD = 1, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 63
ALL = P | RW | US
FRAMES = 1 << 11  # of the guest; host frames that back them are FRAMES to 2 * FRAMES - 1

_PAGES = 10  # of a region that are used
_SPOTS = 14  # of a region that may be

Operation = tuple[int, int, int, int]


@dataclass(frozen=True)
class Region:
    """Pages of a process that one leaf table maps. table: its frame. directory, slot: frame
    and index of the entry that points at it. spots: indices in it that may be used."""

    process: int
    base: int
    table: int
    directory: int
    slot: int
    spots: tuple[int, ...]

    def gva(self, spot: int) -> int:
        return self.base | spot << 12


@dataclass
class Sequence:
    """One sequence. part: its part's key. tables: guest frame -> 512 entries, at the start.
    p2m: host frame of each guest frame. roots: top-level table of each process.
    operations: (CR3, root), (ACCESS, gva, flags), (STORE, gfn, index, value), (INVLPG, gva),
    each filled up with zeros to four numbers."""

    part: str
    number: int
    levels: int
    draws: Draws
    tables: dict[int, list[int]] = field(default_factory=dict)
    p2m: list[int] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    _free: list[int] = field(default_factory=list)

    def frame(self) -> int:
        """A guest frame that is not used yet."""
        return self._free.pop()

    def table(self) -> int:
        gfn = self.frame()
        self.tables[gfn] = [0] * 512
        return gfn

    def page(self, flags: int = ALL | A | D) -> int:
        """An entry that maps a new page."""
        return self.frame() << 12 | flags

    def of(self, process: int) -> list[Region]:
        return [region for region in self.regions if region.process == process]

    # --- operations ---

    def cr3(self, process: int) -> None:
        self.operations.append((CR3, self.roots[process], 0, 0))

    def access(self, gva: int, flags: int = USER) -> None:
        self.operations.append((ACCESS, gva, flags, 0))

    def store(self, table: int, index: int, value: int) -> None:
        self.operations.append((STORE, table, index, value))

    def invlpg(self, gva: int) -> None:
        self.operations.append((INVLPG, gva, 0, 0))


def _start(part: str, number: int, levels: int, seed: int, processes: int) -> Sequence:
    """Processes with tables, pages mapped in each region, and the first CR3 load."""
    draws = Draws(str(seed), f"{part} {number}", "shadow-sync sequence")
    made = Sequence(part, number, levels, draws)
    made._free = [gfn for gfn in _scattered(draws) if gfn]
    made.p2m = [hfn + FRAMES for hfn in _scattered(draws)]
    for process in range(processes):
        made.roots.append(made.table())
        for spread in (0, 1):
            _add_region(made, process, spread)
    made.cr3(0)
    return made


def _scattered(draws: Draws) -> list[int]:
    """All numbers below FRAMES, each once: a linear map with an odd factor."""
    factor, offset = 2 * draws.between(FRAMES // 8, FRAMES // 2 - 1) + 1, draws.below(FRAMES)
    return [(number * factor + offset) % FRAMES for number in range(FRAMES)]


def _add_region(made: Sequence, process: int, spread: int) -> None:
    """A leaf table with pages; every second one shares its directory with the one before."""
    draws, levels = made.draws, made.levels
    last = made.of(process)
    if spread and last:
        base = last[-1].base & ~(511 << 21)
        slot = (last[-1].slot + draws.between(1, 510)) & 511
    else:
        base = sum(draws.below(512) << (3 + 9 * level) for level in range(3, levels + 1))
        slot = draws.below(512)
    gfn = made.roots[process]
    for level in range(levels, 2, -1):
        index = _index(base, level)
        if not made.tables[gfn][index]:
            made.tables[gfn][index] = made.table() << 12 | ALL | A
        gfn = made.tables[gfn][index] >> 12 & ((1 << 40) - 1)
    table = made.table()
    made.tables[gfn][slot] = table << 12 | ALL
    spots: tuple[int, ...] = ()
    while len(spots) < _SPOTS:
        spots = tuple(dict.fromkeys((*spots, draws.below(512))))
    for spot in spots[:_PAGES]:
        made.tables[table][spot] = made.page(ALL | D)
    top = 8 + 9 * made.levels + 3
    base |= slot << 21
    if base >> top & 1:  # canonical: the bits above are copies of the top one
        base |= (1 << 64) - (1 << (top + 1))
    made.regions.append(Region(process, base, table, gfn, slot, spots))


def _index(gva: int, level: int) -> int:
    return gva >> (3 + 9 * level) & 511


def _share(made: Sequence) -> None:
    """The first region, with all that has the same top-level entry, in every process, as
    systems have their kernels."""
    region = made.regions[0]
    index = _index(region.base, made.levels)
    for process in range(1, len(made.roots)):
        own = made.tables[made.roots[process]]
        if not own[index]:
            own[index] = made.tables[made.roots[0]][index]
            made.regions.append(replace(region, process=process))


def _visit(made: Sequence, process: int, count: int, flags: tuple[int, ...] = (USER,)) -> None:
    """Accesses to pages of a process, and now and then to one that is not mapped."""
    for _ in range(count):
        region = made.draws.choice(made.of(process))
        made.access(region.gva(made.draws.choice(region.spots)), made.draws.choice(flags))


def _fill(made: Sequence) -> None:
    """Pages come in, mapped or not, and stay."""
    for turn in range(6):
        _visit(made, turn % len(made.roots), 15)
        made.cr3((turn + 1) % len(made.roots))
    _visit(made, 0, 10, (USER, 0, FETCH))


def _rights(made: Sequence) -> None:
    """Rights of every level, A and D; and rights that the guest takes away."""
    draws = made.draws
    for region in made.regions:
        taken = draws.choice([0, 0, RW, US, XD])
        made.tables[region.directory][region.slot] ^= taken
        for spot in region.spots[:_PAGES]:
            flags = P | draws.choice([0, RW, RW]) | draws.choice([0, US, US]) | draws.choice(
                [0, 0, XD]) | draws.choice([0, A, A | D])  # fmt: skip
            made.tables[region.table][spot] = made.page(flags)
    kinds = (USER, USER | WRITE, USER | FETCH, 0, WRITE, FETCH)
    for turn in range(4):
        process = turn % len(made.roots)
        made.cr3(process)
        _visit(made, process, 25, kinds)
        for _ in range(6):
            region = draws.choice(made.of(process))
            spot = draws.choice(region.spots[:_PAGES])
            gfn = made.tables[region.table][spot] >> 12 & (FRAMES - 1)
            flags = draws.choice([P, P | RW, P | US, ALL, ALL | XD]) | draws.choice([0, A, A | D])
            made.store(region.table, spot, gfn << 12 | flags)
            made.invlpg(region.gva(spot))
            for kind in draws.sample(kinds, 3):
                made.access(region.gva(spot), kind)


def _writes(made: Sequence) -> None:
    """Pages appear, which takes no INVLPG; leaf tables come, go and change places."""
    draws = made.draws
    for turn in range(8):
        process = turn % len(made.roots)
        made.cr3(process)
        first, second = made.of(process)
        _visit(made, process, 12)
        for region in (first, second):
            for spot in draws.sample(region.spots[_PAGES:], 2):
                made.access(region.gva(spot))
                made.store(region.table, spot, made.page(draws.choice([ALL, ALL | A | D])))
                made.access(region.gva(spot))
                made.store(region.table, spot, 0)
                made.invlpg(region.gva(spot))
        for spot in draws.sample(second.spots[:_PAGES], 3):  # without INVLPG
            made.access(second.gva(spot))
            made.store(second.table, spot, made.page(ALL | A | D))
        old = [made.tables[r.directory][r.slot] for r in (first, second)]
        for region, entry in ((first, 0), (first, old[1]), (first, old[0])):
            made.store(region.directory, region.slot, entry)
            pages = [region.gva(spot) for spot in sorted({*first.spots, *second.spots})]
            for gva in pages:
                made.invlpg(gva)
            for gva in draws.sample(pages, 6):
                made.access(gva)
        _change_above(made, first, second, 3 + turn % (made.levels - 2))


def _change_above(made: Sequence, first: Region, second: Region, level: int) -> None:
    """The entry of a level above the directories, on the way to two regions, is cleared, points
    at other tables, by which one region has the other's pages, and is as it was."""
    gfn = made.roots[first.process]
    for upper in range(made.levels, level, -1):
        gfn = made.tables[gfn][_index(first.base, upper)] >> 12 & ((1 << 40) - 1)
    index = _index(first.base, level)
    below = second.table << 12 | ALL
    for lower in range(2, level):
        table = made.table()
        made.tables[table][_index(first.base, lower)] = below
        below = table << 12 | ALL
    pages = [r.gva(spot) for r in (first, second) for spot in sorted({*first.spots, *second.spots})]
    old = made.tables[gfn][index]
    stale = made.draws.sample(second.spots[:_PAGES], 3)
    for spot in stale:  # whose INVLPG comes when nothing leads to them
        made.access(second.gva(spot))
        made.store(second.table, spot, made.page(ALL | A | D))
    for entry in (0, old, below, old):
        made.store(gfn, index, entry)
        for gva in pages:
            made.invlpg(gva)
        for gva in [*made.draws.sample(pages, 6), second.gva(stale[0])]:
            made.access(gva)


def _invlpg(made: Sequence) -> None:
    """Leaf entries change while they are in use; INVLPG follows, at once or a little later."""
    draws = made.draws
    _share(made)
    for turn in range(6):
        process = turn % len(made.roots)
        made.cr3(process)
        _visit(made, process, 15)
        for _ in range(5):
            changed = []
            for _ in range(draws.between(1, 4)):
                region = draws.choice(made.of(process))
                spot = draws.choice(region.spots)
                made.access(region.gva(spot))
                made.store(region.table, spot, draws.choice([0, made.page(), made.page(ALL)]))
                changed.append(region.gva(spot))
            _visit(made, process, 3)
            for gva in draws.shuffled(changed):
                made.invlpg(gva)
                made.access(gva)
        made.invlpg(made.regions[0].base ^ 1 << 30)  # of a page that never was


def _cr3(made: Sequence) -> None:
    """Leaf entries change, also in tables of processes that do not run; only CR3 is loaded."""
    draws = made.draws
    _share(made)
    for turn in range(10):
        process = turn % len(made.roots)
        _visit(made, process, 10)
        for _ in range(draws.between(3, 8)):
            region = draws.choice([*made.of(process), draws.choice(made.regions)])
            spot = draws.choice(region.spots)
            if region.process == process:
                made.access(region.gva(spot))
            made.store(region.table, spot, draws.choice([0, made.page(), made.page(ALL)]))
        if draws.below(2):
            made.cr3(process)
            _visit(made, process, 10)
        made.cr3((turn + 1) % len(made.roots))


def _lazy(made: Sequence) -> None:
    """Bursts of stores into leaf tables, as of a program that maps and unmaps."""
    draws = made.draws
    for turn in range(8):
        process = turn % len(made.roots)
        made.cr3(process)
        _visit(made, process, 10)
        for _ in range(40):
            region = draws.choice(made.of(process))
            spot = draws.choice(region.spots)
            made.store(region.table, spot, draws.choice([0, made.page(ALL | A | D)]))
        made.cr3(process)
        _visit(made, process, 10)


def _kept(made: Sequence) -> None:
    """Processes in turn, which change little: what was filled is of use again."""
    draws = made.draws
    for turn in range(16):
        process = turn % len(made.roots)
        made.cr3(process)
        _visit(made, process, 20)
        region = draws.choice(made.of(process))
        spot = draws.choice(region.spots)
        made.store(region.table, spot, made.page(ALL | A | D))
        made.invlpg(region.gva(spot))
        _visit(made, process, 5)


#: How the sequences of each part are made, and how many.
KINDS: dict[str, tuple[Callable[[Sequence], None], int]] = {
    "fill": (_fill, 4),
    "rights": (_rights, 6),
    "writes": (_writes, 4),
    "invlpg": (_invlpg, 5),
    "cr3": (_cr3, 5),
    "lazy": (_lazy, 3),
    "kept": (_kept, 3),
}


def sequences(part: str, levels: int, processes: int, seed: int) -> list[Sequence]:
    """The sequences of a part."""
    make, count = KINDS[part]
    found = []
    for number in range(count):
        made = _start(part, number, levels, seed, processes)
        make(made)
        found.append(made)
    return found
