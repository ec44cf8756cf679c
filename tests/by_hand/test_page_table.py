"""The page table of a notebook: mapping, rights, walking, listing, and what it refuses."""

from __future__ import annotations

import pytest

from mmulab.mmu.by_hand.page_table import PageTable
from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.memory.entries import EPT_A, EPT_D, A, D
from mmulab.mmu.memory.frames import IN_USE

FORMATS = pytest.mark.parametrize(
    ("format", "levels"), [("x86", 4), ("x86", 5), ("ept", 4), ("ept", 5)]
)


@FORMATS
@pytest.mark.parametrize(("size", "level"), [("4k", 1), ("2m", 2), ("1g", 3)])
def test_walk_finds_the_page_and_reads_an_entry_a_level(format, levels, size, level):
    table = PageTable(format, levels)
    table.map(0x4000_0000, 5 << 18, size)
    found = table.walk(0x4000_0ABC)
    assert (found.frame, found.physical, found.level) == (5 << 18, (5 << 30) + 0xABC, level)
    assert len(found.references) == levels - level + 1
    assert found.fault is found.code is None


@pytest.mark.parametrize(("format", "a", "d"), [("x86", A, D), ("ept", EPT_A, EPT_D)])
def test_a_is_set_on_the_path_and_d_on_the_leaf_of_a_store(format, a, d):
    table = PageTable(format)
    table.map(0x1000, 7)
    table.walk(0x1000, "store")
    *above, leaf = table.lookup(0x1000).references
    assert [reference.entry & (a | d) for reference in above] == [a] * 3
    assert leaf.entry & (a | d) == a | d


@FORMATS
def test_lookup_sets_nothing(format, levels):
    table = PageTable(format, levels)
    table.map(0x1000, 7)
    before = table.memory.entry.copy()
    assert table.lookup(0x1234).physical == 0x7234
    assert (table.memory.entry == before).all()


def test_fault_codes():
    table = PageTable("x86")
    table.map(0x1000, 7, rights="r")  # the supervisor's, read-only, not executable
    assert table.walk(0x1000, "store").code == 0b00111
    assert table.walk(0x1000, "store", user=False).code == 0b00011
    assert table.walk(0x1000, "fetch", user=False).code == 0b10001
    assert table.walk(0x2000, "load").code == 0b00100
    assert table.walk(0x1000, "load", user=False).fault is None


def test_ept_violation_tells_access_and_rights():
    table = PageTable("ept")
    table.map(0x1000, 7, rights="r-x")
    found = table.walk(0x1000, "store")
    assert (found.fault, found.code) == ("EPT violation", 0b101 << 3 | 0b010)
    assert table.walk(0x2000, "fetch").code == 0b000 << 3 | 0b100


@FORMATS
def test_rights_of_a_path_are_those_that_every_entry_grants(format, levels):
    table = PageTable(format, levels)
    table.map(0x1000, 7)
    assert table.walk(0x1000, "store", user=False).fault is None
    table.protect(0x1000, "r-x", level=3)
    assert table.walk(0x1000, "store", user=False).fault
    table.protect(0x1000, "rwx", level=3)
    table.protect(0x1000, "r")
    assert table.walk(0x1000, "fetch", user=False).fault


@FORMATS
def test_unmap_frees_the_tables_that_are_empty(format, levels):
    table = PageTable(format, levels)
    table.map(0x1000, 7)
    table.map(0x2000, 8)
    table.unmap(0x1000)
    assert table.walk(0x1000).fault and table.walk(0x2000).frame == 8
    assert table.frames.counts[IN_USE] == levels
    table.unmap(0x2FFF)
    assert table.frames.counts[IN_USE] == 1  # the root stays


def test_dump():
    table = PageTable("x86")
    for page in range(3):
        table.map(0x400000 + (page << 12), 42 + page, rights="r-xu")
    table.map(0x600000, 512, "2m", rights="rw-u")
    table.map(0xFFFF_8000_0000_0000, 1 << 18, "1g", rights="rw--g")
    table.walk(0x600000, "store")
    table.walk(0x402000)
    assert table.dump().splitlines() == [
        "0x0000000000400000-0x0000000000401fff     2 x 4k r-xu--- -> frame 0x2a",
        "0x0000000000402000-0x0000000000402fff     1 x 4k r-xu-A- -> frame 0x2c",
        "0x0000000000600000-0x00000000007fffff     1 x 2m rw-u-AD -> frame 0x200",
        "0xffff800000000000-0xffff80003fffffff     1 x 1g rw--g-- -> frame 0x40000",
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.map(0x1800, 1), "address 0x1800: not a multiple of the page size, 4k"),
        (lambda t: t.map(0x200000, 1, "2m"), "frame 0x1: expected a multiple of 0x200"),
        (lambda t: t.map(0x2000, 1 << 40), "below 2\\*\\*40"),
        (lambda t: t.map(0x2000, 1, "3k"), "page size '3k': expected one of 4k, 2m, 1g"),
        (lambda t: t.map(0x1000, 1), "address 0x1000: its 4k page is not free"),
        (lambda t: t.map(0, 0, "1g"), "address 0x0: its 1g page is not free"),
        (lambda t: t.map(1 << 47, 1), "address 0x800000000000: not canonical in 48 bits"),
        (lambda t: t.walk(1 << 64), "not canonical"),
        (lambda t: t.map(0x2000, 1, rights="w"), "rights 'w': expected r"),
        (lambda t: t.map(0x2000, 1, rights="rz"), "rights 'rz': expected r"),
        (lambda t: t.walk(0x1000, "lode"), "did you mean 'load'"),
        (lambda t: t.unmap(0x2000), "address 0x2000 is not mapped"),
        (lambda t: t.protect(0x1000, "r", level=5), "level 5: expected 1 to 4"),
        (lambda t: t.entries(7), "frame 0x7 holds no page table"),
    ],
)
def test_wrong_input_is_named(call, message):
    table = PageTable("x86")
    table.map(0x1000, 7)
    before = table.memory.entry.copy()
    with pytest.raises(InputError, match=message):
        call(table)
    assert (table.memory.entry == before).all()


def test_wrong_tables_are_refused():
    with pytest.raises(InputError, match="did you mean 'ept'"):
        PageTable("eptt")
    with pytest.raises(InputError, match="levels 3: expected 4 or 5"):
        PageTable("x86", levels=3)
    with pytest.raises(InputError, match="expected a GPA below 2\\*\\*48"):
        PageTable("ept").walk(1 << 48)


def test_no_frame_for_a_table_leaves_nothing_behind():
    table = PageTable("x86", frames=3)  # the root and two more; a 4 KiB page needs three
    with pytest.raises(RunError, match="no frame left for a page table, of 3"):
        table.map(0x1000, 7)
    assert table.frames.counts[IN_USE] == 1
    table.map(0, 0, "1g")
