"""Our page walker and page tables against an independent MMU, bit for bit.

Unicorn has no EPT. Nested paging is checked in two steps: the guest's half of a 2-D walk
against Unicorn with the p2m applied afterwards, and the EPT format against x86 tables
with the same pages and rights, whose walk Unicorn has checked.
"""

from __future__ import annotations

import numpy as np
import pytest
from driver import Driver
from unicorn_mmu import CODE_SLOT, KINDS, agree_on, agree_on_bits, started, tables_of

from mmulab.mmu.by_hand.page_table import PageTable, Translation
from mmulab.mmu.errors import InputError
from mmulab.mmu.hardware.walks import radix as walker
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory.entries import ENTRIES, EPT_A, EPT_D, FRAME, PS, RW, SIZES, US, XD, A, D, P
from mmulab.mmu.memory.state import NPT_PAGE
from mmulab.mmu.memory.status import OK
from mmulab.mmu.trace import (
    EXIT,
    FETCH,
    FORK,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    STORE,
    SWITCH,
)

TABLE_FRAMES = 4096  # frames below are for tables, the ones above are mapped
RAM_FRAMES = 3 << 18  # 3 GiB, so that there are two 1 GiB frames beside the tables
ACCESSES = 16_000  # of each random table; 8 tables: 128,000 in all
SEEDS = range(4)


# --- Random tables --------------------------------------------------------------


def random_frame(rng: np.random.Generator, size: int) -> int:
    pages = SIZES[size] >> 12
    return int(rng.integers(-(-TABLE_FRAMES // pages), RAM_FRAMES // pages)) * pages


def random_rights(rng: np.random.Generator, likely: float) -> str:
    return "r" + "".join(letter for letter in "wxu" if rng.random() < likely)


def random_table(
    rng: np.random.Generator, levels: int, pages: int = 400
) -> tuple[PageTable, list[tuple[int, int]]]:
    """A table with pages of every size, close together so that they share tables, and
    with random rights at every level; and (address, page size) of each page."""
    table = PageTable("x86", levels, TABLE_FRAMES)
    tops = [0, 1, 255, 256, 511] if levels == 4 else [0, 3, 255, 256, 508]
    mapped = []
    for _ in range(pages):
        size = int(rng.choice(3, p=(0.4, 0.35, 0.25)))
        indexes = [int(rng.choice(tops, p=(0.28, 0.22, 0.22, 0.22, 0.06)))]
        indexes += rng.integers(0, 4, levels - 1).tolist()
        indexes[-1] = int(rng.integers(0, 12))
        if size:
            indexes[-size:] = [0] * size
        gva = 0
        for index in indexes:
            gva = gva << 9 | index
        gva <<= 12
        gva = gva - (1 << (12 + 9 * levels)) if indexes[0] >= 256 else gva
        try:
            table.map(
                gva, random_frame(rng, size), ("4k", "2m", "1g")[size], random_rights(rng, 0.7)
            )
        except InputError:
            continue  # something is there already
        mapped.append((gva, size))
    for gva, size in mapped:
        if rng.random() < 0.15:
            level = int(rng.integers(size + 1, levels + 1))
            table.protect(gva, random_rights(rng, 0.75), level)
    return table, mapped


def disturb(rng: np.random.Generator, table: PageTable, mapped: list[tuple[int, int]]) -> None:
    """Sets bits that no API sets: A and D, PAT, reserved ones, and rubbish in entries that
    are not present. High up seldom, because much hangs below."""
    for gva, _ in mapped:
        for reference in table.lookup(gva).references:
            level = reference.guest_level
            leaf = level == 1 or reference.entry & PS
            slot = table.entries(reference.hpa >> 12)[reference.index :]
            luck = rng.random() * (1 if leaf else 16 ** (level - 1))
            if luck < 0.04:
                slot[0] &= ~P
            elif luck < 0.12 and leaf and level > 1:
                slot[0] |= 1 << int(rng.integers(13, 12 + 9 * (level - 1)))
            elif luck < 0.4 and leaf:
                slot[0] |= int(rng.choice([A, A | D, PS if level == 1 else 1 << 12]))
    # Bit 7 is reserved in a PML4E and a PML5E: the last top-level entry gets it, or the
    # PML4Es below it.
    present = [gva for gva, _ in mapped if gva >> (12 + 9 * (table.levels - 1)) in (-1, -4)]
    level = int(rng.integers(4, table.levels + 1))
    for gva in present:
        for reference in table.lookup(gva).references:
            if reference.guest_level == level:
                table.entries(reference.hpa >> 12)[reference.index] |= PS


def random_accesses(
    rng: np.random.Generator, levels: int, mapped: list[tuple[int, int]], count: int
) -> list[tuple[int, int, bool]]:
    """(gva, kind, user): mostly in mapped pages, some just beside, some anywhere."""
    accesses = []
    for _ in range(count):
        gva, size = mapped[rng.integers(len(mapped))]
        gva += int(rng.integers(SIZES[size] >> 3)) << 3
        where = rng.random()
        if where < 0.05:
            gva = int(rng.integers(-(1 << (8 + 9 * levels)), 1 << (8 + 9 * levels))) << 3
        elif where < 0.15:
            gva += int(rng.choice([-1, 1])) << int(rng.choice([12, 21, 30]))
        top = gva >> (3 + 9 * levels)
        if not -256 <= top < 256 or top & 511 == CODE_SLOT:
            continue
        accesses.append((gva, int(rng.integers(3)), bool(rng.integers(2))))
    return accesses


# --- Comparing ------------------------------------------------------------------


def walker_of(table: PageTable, denied_1g: set[int]):
    """`PageTable.walk` for `agree_on`. Where a present 1 GiB leaf stops it, the leaf's
    address goes into denied_1g: QEMU (i386 get_physical_address) sets A of such a leaf
    before it looks at rights and reserved bits, alone of all leaves."""

    def walk(gva: int, kind: int, user: bool):
        found: Translation = table.walk(gva, KINDS[kind], user)
        stop = found.references[-1]
        if found.fault and found.level == 3 and stop.entry & PS and stop.entry & P:
            denied_1g.add(stop.hpa)
        return found.frame, found.code

    return walk


# --- Tests of random tables -----------------------------------------------------


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_tables(levels, seed):
    # Given a random table, disturbed at random,
    rng = np.random.default_rng(seed)
    table, mapped = random_table(rng, levels)
    disturb(rng, table, mapped)
    tables = tables_of(table.memory)
    unicorn = started(tables, table.root, levels, RAM_FRAMES)
    # when both MMUs make the same loads, stores and fetches in both rings,
    accesses = random_accesses(rng, levels, mapped, ACCESSES)
    denied_1g: set[int] = set()
    counts = agree_on(unicorn, walker_of(table, denied_1g), accesses)
    # then they translate alike and leave the same bits in the table; and the test has
    # seen enough of every outcome.
    for hpa in denied_1g:
        table.entries(hpa >> 12)[hpa >> 3 & (ENTRIES - 1)] |= A
    agree_on_bits(unicorn, tables, table.root)
    assert sum(counts.values()) > 0.9 * ACCESSES
    assert min(counts.values()) > 0.03 * ACCESSES, counts


@pytest.mark.parametrize("levels", [4, 5])
def test_ept_translates_as_x86_does(levels):
    # Given an x86 table and an EPT of the same pages, with the same rights in every entry,
    rng = np.random.default_rng(levels)
    linear, mapped = random_table(rng, levels)
    mapped = [(gva, size) for gva, size in mapped if gva >= 0]  # a gpa has no upper half
    nested = PageTable("ept", levels, TABLE_FRAMES)
    for gva, size in mapped:
        found = linear.lookup(gva)
        nested.map(gva, found.frame, ("4k", "2m", "1g")[size])
    for gva, _ in mapped:
        for ours, theirs in zip(
            linear.lookup(gva).references, nested.lookup(gva).references, strict=True
        ):
            rights = "r" + ("w" if ours.entry & RW else "") + ("" if ours.entry >> 63 else "x")
            nested.protect(gva, rights, theirs.host_level)
    # when both are walked,
    for gpa, kind, _ in random_accesses(rng, levels, mapped, ACCESSES):
        if gpa < 0:
            continue
        ours, theirs = (table.walk(gpa, KINDS[kind], False) for table in (linear, nested))
        # then they find the same page, or both fault at the same entry,
        assert (ours.frame, ours.level) == (theirs.frame, theirs.level), hex(gpa)
    # and leave the same A and D bits.
    for gva, _ in mapped:
        for ours, theirs in zip(
            linear.lookup(gva).references, nested.lookup(gva).references, strict=True
        ):
            assert (ours.entry & A != 0) == (theirs.entry & EPT_A != 0)
            assert (ours.entry & D != 0) == (theirs.entry & EPT_D != 0)


# --- Tests of a machine's own tables --------------------------------------------

HEAP, LARGE, CODE, KERNEL = 0x10000000, 0x7F0000000000, 0x400000, -0x777F00000000
HEAP_PAGES, LARGE_BYTES, CODE_PAGES, KERNEL_PAGES = 300, 8 << 20, 40, 20


@entry
def translate(core, memory, gva, kind, user):
    """(status, hfn, page-fault error code) of a walk by the machine's core."""
    status, leaf, _ = walker.translate(core, memory, gva, kind, user)
    return status, (leaf & FRAME) >> 12, core.regs[0].fault_code


def random_addresses(rng: np.random.Generator, count: int) -> list[int]:
    areas = (HEAP, HEAP_PAGES << 12), (LARGE, LARGE_BYTES), (CODE, CODE_PAGES << 12)
    areas = (*areas, (KERNEL, KERNEL_PAGES << 12))
    chosen = rng.choice(len(areas), count, p=(0.5, 0.3, 0.1, 0.1))
    return [areas[n][0] + int(rng.integers(areas[n][1] >> 3)) * 8 for n in chosen]


def lived_in(rng: np.random.Generator, technique: str, **options) -> Driver:
    """A machine on which three processes have mapped, forked, copied on write, changed
    protections, unmapped and ended; one that has forked runs."""
    driver = Driver(technique, walk_caches=False, **options)
    data = PROT_READ | PROT_WRITE
    driver.event(MMAP, HEAP, HEAP_PAGES << 12, data | 1 << 8)
    driver.event(MMAP, LARGE, LARGE_BYTES, data | 2 << 8)
    driver.event(MMAP, CODE, CODE_PAGES << 12, PROT_READ | PROT_EXEC | 1 << 8)

    def work(count: int) -> None:
        addresses = random_addresses(rng, count)
        kinds = [LOAD if CODE <= gva < HEAP else int(rng.integers(2)) for gva in addresses]
        driver.run(addresses, kinds)

    work(1500)
    for child in (2, 3):
        driver.event(FORK, value=child)
        work(300)
        driver.event(SWITCH, pid=child)
        work(600)
        driver.event(MPROTECT, HEAP + (20 << 12), 30 << 12, PROT_READ, pid=child)
        driver.event(MUNMAP, HEAP + (100 * child << 12), 20 << 12, pid=child)
        work(100)
        driver.event(SWITCH)
        work(300)
    driver.event(SWITCH, pid=2)
    driver.event(EXIT, pid=3)
    work(200)
    return driver


def placed(driver: Driver) -> dict[int, np.ndarray]:
    """The tables that the processor, or the guest's half of it, walks, by their frame: hfn
    or, under nested paging, gfn."""
    tables = tables_of(driver.machine.host.memory)
    if driver.simulator.technique != "nested":
        return tables
    frame = driver.machine.host.frames.frame
    return {
        int(frame[hfn]["reverse"]) - 1: entries
        for hfn, entries in tables.items()
        if frame[hfn]["kind"] != NPT_PAGE
    }


MACHINES = [
    pytest.param("native", {}, id="native"),
    pytest.param("native", {"levels": 5}, id="native-5"),
    pytest.param("nested", {}, id="nested"),
    pytest.param("nested", {"levels": 5, "host_page_size": "2m"}, id="nested-5-2m"),
    pytest.param("shadow", {}, id="shadow"),
    pytest.param("shadow", {"shadow_policy": "trap"}, id="shadow-trap"),
    pytest.param("shadow", {"host_page_size": "2m"}, id="shadow-2m"),
    pytest.param("shadow", {"levels": 5}, id="shadow-5"),
]


@pytest.mark.parametrize(("technique", "options"), MACHINES)
def test_tables_of_a_machine(technique, options):
    # Given a machine that has run for a while, whose current process has just read all
    # its pages and written half of those it may,
    rng = np.random.default_rng(7)
    driver = lived_in(rng, technique, **options)
    pages, accesses = swept(rng, driver)
    # when Unicorn walks the tables that the processor walks,
    tables = placed(driver)
    frames = driver.machine.vm.frames if technique == "nested" else driver.machine.host.frames
    unicorn = started(tables, int(driver.regs["cr3"]), driver.config.levels, frames.frame.size)
    reverse = driver.machine.host.frames.frame["reverse"]

    def walk(gva: int, kind: int, user: bool):
        machine = driver.machine
        status, hfn, code = translate(machine.core, machine.host.memory, gva, kind, user)
        if status != OK:
            return None, code
        return (int(reverse[hfn]) - 1 if technique == "nested" else hfn), 0

    def told(gva: int, kind: int, user: bool):
        """What gPT and p2m say, read without a walker."""
        gfn, rights = pages[gva]
        denied = (kind == STORE and not rights & RW) or (kind == FETCH and rights & XD)
        if denied or (user and not rights & US):
            return None, P | kind_bit(kind) | (4 if user else 0)
        return (gfn if technique == "nested" else driver.hfn(gfn)), 0

    # then it agrees with our walker, on the A and D bits too,
    counts = agree_on(unicorn, walk, accesses)
    agree_on_bits(unicorn, tables, int(driver.regs["cr3"]))
    # and both with the guest's page tables and the p2m, write protection included.
    assert agree_on(unicorn, told, accesses) == counts
    assert min(counts.values()) >= KERNEL_PAGES, counts


def kind_bit(kind: int) -> int:
    """Its bit of the page-fault error code (Intel SDM vol. 3A, figure 4-12)."""
    return {LOAD: 0, STORE: 1 << 1, FETCH: 1 << 4}[kind]


def swept(rng: np.random.Generator, driver: Driver):
    """Reads every page of the current process, some places of large ones, and writes half
    of those that it may write. Returns {gva: (gfn, rights)} and accesses to these places;
    stores only where one has been made or is forbidden: a shadow entry is writable from
    its first store on."""

    def places() -> dict[int, tuple[int, int]]:
        found = {}
        for gva, level, gpte, rights in driver.leaves():
            for page in range(0, 1 << (9 * (level - 1)), 61):
                at = gva + (page << 12) + (gva >> 9 & 0xFF8)
                found[at] = ((gpte & FRAME) >> 12) + page, rights
        return found

    before = places()
    driver.run(list(before), [LOAD] * len(before))
    stores = [gva for gva, (_, rights) in before.items() if rights & RW and rng.random() < 0.5]
    driver.run(stores, [STORE] * len(stores))
    driver.run(list(before), [LOAD] * len(before))
    after = places()
    assert set(after) == set(before)
    written = set(stores)
    accesses = [
        (gva, kind, user)
        for gva, (_, rights) in after.items()
        for kind in KINDS
        for user in (False, True)
        if kind != STORE or gva in written or not rights & RW
    ]
    rng.shuffle(accesses)
    return after, [(int(gva), int(kind), bool(user)) for gva, kind, user in accesses]
