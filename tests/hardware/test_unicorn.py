"""Our page walker and page tables against an independent MMU, bit for bit.

Unicorn has no EPT. Nested paging is checked in two steps: the guest's half of a 2-D walk
against Unicorn with the p2m applied afterwards, and the EPT format against x86 tables
with the same pages and rights, whose walk Unicorn has checked.
"""

from __future__ import annotations

import numpy as np
import pytest
from models.unicorn_mmu import CODE_SLOT, KINDS, agree_on, agree_on_bits, started, tables_of

from mmulab.mmu.by_hand.page_table import PageTable, Translation
from mmulab.mmu.errors import InputError
from mmulab.mmu.memory.entries import ENTRIES, EPT_A, EPT_D, PS, RW, SIZES, A, D, P

TABLE_FRAMES = 4096  # frames below are for tables, the ones above are mapped
RAM_FRAMES = 3 << 18  # 3 GiB, so that there are two 1 GiB frames beside the tables
ACCESSES = 16_000  # of each random table; 8 tables: 128,000 in all
SEEDS = range(4)


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
