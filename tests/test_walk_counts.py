"""References that page walks make, against the arithmetic of the architecture.

A walk of g guest levels on h host levels reads (g + 1)(h + 1) - 1 entries: each of the g
guest tables is located by h references and read by one, and the page itself is located
by h more (Bhargava et al., ASPLOS 2008). A leaf one level up takes 1 off its dimension.
"""

from __future__ import annotations

import pytest
from driver import Driver

from mmulab.mmu.memory.entries import EPT_A, EPT_D, D
from mmulab.mmu.report.counts import references_of
from mmulab.mmu.trace import (
    FETCH,
    LOAD,
    MMAP,
    MPROTECT,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    STORE,
    SWITCH,
)

GVA = 0x7F1240000000  # a multiple of 1 GiB
KERNEL = -0x777FC0000000
PAGE, PAGE_2M, PAGE_1G = 1 << 12, 1 << 21, 1 << 30
DEPTH_OFF = {"4k": 0, "2m": 1, "1g": 2}  # levels that a leaf of this size saves
LARGE_MEMORY = 6 << 30  # enough for 1 GiB pages beside the tables


def two_dimensional(g: int, h: int) -> int:
    return (g + 1) * (h + 1) - 1


def cold(driver: Driver, gva: int = GVA, kind: int = LOAD, size: int = 1) -> int:
    """References of an access to memory that is mapped, with every cache empty."""
    driver.access(gva, kind, size)
    driver.flush()
    return driver.access(gva, kind, size)


# --- Cold walks -----------------------------------------------------------------


@pytest.mark.parametrize("technique", ["native", "shadow"])
@pytest.mark.parametrize("levels", [4, 5])
def test_one_dimension_reads_an_entry_a_level(technique, levels):
    # Given a mapped page and no walk caches, when it is read with a cold TLB,
    references = cold(Driver(technique, levels=levels, walk_caches=False))
    # then each level is read once.
    assert references == levels


@pytest.mark.parametrize(
    ("levels", "host_levels", "expected"), [(4, 4, 24), (4, 5, 29), (5, 4, 29), (5, 5, 35)]
)
def test_two_dimensions(levels, host_levels, expected):
    driver = Driver("nested", levels=levels, host_levels=host_levels, walk_caches=False)
    assert cold(driver) == expected == two_dimensional(levels, host_levels)


def test_references_by_guest_and_host_level():
    # Given a nested machine, when a page is read cold,
    driver = Driver("nested", walk_caches=False)
    driver.access(GVA)
    driver.flush()
    driver.simulator.reset_counters()
    driver.access(GVA)
    # then each guest table is read once and located by one reference at each host level,
    # and so is the page (guest level 0).
    counts = references_of(driver.machine.core).sum(axis=2)
    assert counts[1:5, :5].tolist() == [[1] * 5] * 4
    assert counts[0, :5].tolist() == [0, 1, 1, 1, 1]
    assert counts.sum() == 24


@pytest.mark.parametrize("page_size", ["4k", "2m", "1g"])
@pytest.mark.parametrize("levels", [4, 5])
def test_large_leaves_shorten_one_dimension(page_size, levels):
    driver = Driver(
        "native", levels=levels, page_size=page_size, memory=LARGE_MEMORY, walk_caches=False
    )
    assert cold(driver) == levels - DEPTH_OFF[page_size]


@pytest.mark.parametrize("page_size", ["4k", "2m", "1g"])
@pytest.mark.parametrize("host_page_size", ["4k", "2m", "1g"])
def test_large_leaves_shorten_their_own_dimension(page_size, host_page_size):
    # Host pages of a size back guest tables as well as data.
    driver = Driver(
        "nested",
        page_size=page_size,
        host_page_size=host_page_size,
        memory=LARGE_MEMORY,
        walk_caches=False,
    )
    g, h = 4 - DEPTH_OFF[page_size], 4 - DEPTH_OFF[host_page_size]
    assert cold(driver) == two_dimensional(g, h)


@pytest.mark.parametrize("page_size", ["4k", "2m", "1g"])
@pytest.mark.parametrize("host_page_size", ["4k", "2m", "1g"])
def test_shadow_leaf_is_the_smaller_of_both(page_size, host_page_size):
    driver = Driver(
        "shadow",
        page_size=page_size,
        host_page_size=host_page_size,
        memory=LARGE_MEMORY,
        walk_caches=False,
    )
    assert cold(driver) == 4 - min(DEPTH_OFF[page_size], DEPTH_OFF[host_page_size])


def test_first_touch_native():
    # Given an empty address space, the first walk reads the PML4E and stops; when the guest
    # has mapped the page, the access begins again and reads all four.
    assert Driver("native", walk_caches=False).access(GVA) == 1 + 4


def test_first_touch_nested():
    # The first walk locates the PML4 page (4 references), reads the PML4E and stops. The
    # guest kernel's own writes have backed the new tables and the zeroed page by then.
    assert Driver("nested", walk_caches=False).access(GVA) == 4 + 1 + 24


@pytest.mark.parametrize(("technique", "one_walk"), [("native", 4), ("shadow", 4), ("nested", 24)])
def test_straddling_access_translates_both_pages(technique, one_walk):
    # Given two mapped pages, when eight bytes are read four before the page boundary,
    driver = Driver(technique, walk_caches=False)
    references = cold(driver, GVA + PAGE - 4, LOAD, 8)
    # then both pages are walked for,
    assert references == 2 * one_walk
    # and both are in the TLB; an access that ends at the boundary needs only one of them.
    assert driver.access(GVA) == driver.access(GVA + PAGE) == 0
    driver.flush()
    assert driver.access(GVA + PAGE - 8, LOAD, 8) == one_walk


# --- Size of the TLB entry ------------------------------------------------------


@pytest.mark.parametrize("technique", ["shadow", "nested"])
@pytest.mark.parametrize("page_size", ["4k", "2m", "1g"])
@pytest.mark.parametrize("host_page_size", ["4k", "2m", "1g"])
def test_tlb_entry_maps_the_smaller_leaf(technique, page_size, host_page_size):
    # Given pages touched all over one guest page of 1 GiB or as many smaller ones,
    driver = Driver(
        technique,
        page_size=page_size,
        host_page_size=host_page_size,
        memory=LARGE_MEMORY,
        walk_caches=False,
    )
    near, far = GVA + PAGE, GVA + PAGE_2M
    for gva in (GVA, near, far):
        driver.access(gva)
    driver.flush()
    # when one address is in the TLB,
    driver.access(GVA)
    # then another needs no walk exactly where the smaller leaf holds both.
    smaller = min(DEPTH_OFF[page_size], DEPTH_OFF[host_page_size])
    assert (driver.access(near) == 0) == (smaller >= 1)
    assert (driver.access(far) == 0) == (smaller >= 2)


def test_splintered_entries_are_counted():
    driver = Driver("nested", page_size="2m", host_page_size="4k", walk_caches=False)
    cold(driver)
    before = int(driver.stats["splintered"])
    driver.access(GVA + PAGE)
    assert driver.stats["splintered"] == before + 1


# --- Walk caches ----------------------------------------------------------------


def touched(technique: str, **options) -> Driver:
    """A machine with three pages mapped (GVA, the next, one 2 MiB on), cold but for GVA."""
    driver = Driver(technique, **options)
    for gva in (GVA, GVA + PAGE, GVA + PAGE_2M):
        driver.access(gva)
    driver.flush()
    driver.access(GVA)
    return driver


@pytest.mark.parametrize("technique", ["native", "shadow"])
def test_pde_cache_leaves_one_reference(technique):
    # The neighbour has the same PDE: only its PTE is read.
    assert touched(technique).access(GVA + PAGE) == 1


@pytest.mark.parametrize("technique", ["native", "shadow"])
def test_pdpte_cache_leaves_two_references(technique):
    # 2 MiB on there is another PDE in the same table: PDE and PTE are read.
    assert touched(technique).access(GVA + PAGE_2M) == 2


def test_combined_mappings_leave_two_references():
    # The cached PDE holds the hfn of the gPT page, so that nothing need be located: the
    # gPTE is read, and the page located from the EPT PDE that the walk before left, since
    # all gfns in use lie in one 2 MiB range.
    assert touched("nested").access(GVA + PAGE) == 1 + 1


def test_new_leaf_table_is_located_through_the_ept_pde():
    # From the cached PDPTE: the gPDE is read (1), its gPT page is located (1, from the EPT
    # PDE), the gPTE read (1), the page located (1).
    assert touched("nested").access(GVA + PAGE_2M) == 4


def test_nested_tlb_locates_tables_without_references():
    # Given a page whose translation has been walked for, with no PCIDs,
    driver = Driver("nested", pcid=False)
    driver.access(GVA)
    driver.flush()
    driver.access(GVA)
    # when the guest leaves the process and returns, so that its TLB entries and
    # paging-structure caches are gone,
    driver.event(SWITCH, pid=2)
    driver.event(SWITCH)
    before = int(driver.stats["ntlb_hits"])
    # then the four guest tables are found in the nested TLB: their four entries are read,
    # and the page is located from the EPT PDE.
    assert driver.access(GVA) == 4 + 1
    assert driver.stats["ntlb_hits"] == before + 4


@pytest.mark.parametrize(("technique", "whole"), [("native", 4), ("shadow", 4), ("nested", 4 + 1)])
def test_invlpg_drops_paging_structure_caches(technique, whole):
    # Given two pages in the TLB and a third, beside them, that is not,
    driver = Driver(technique)
    one, other, third = GVA, GVA + PAGE, GVA + 2 * PAGE
    driver.event(MMAP, GVA, 3 * PAGE, PROT_READ | PROT_WRITE | 1 << 8)
    for gva in (one, other, third):
        driver.access(gva, STORE)
    driver.flush()
    driver.access(one)
    driver.access(other)
    # when the guest makes one read-only and invalidates it,
    invlpgs = int(driver.stats["invlpgs"])
    driver.event(MPROTECT, other, PAGE, PROT_READ)
    assert driver.stats["invlpgs"] == invlpgs + 1
    # then the first is still in the TLB, but the third needs all its entries again; INVLPG
    # spares guest-physical mappings and the nested TLB, which locate tables and page.
    assert driver.access(one) == 0
    assert driver.access(third) == whole


# --- A and D bits ---------------------------------------------------------------


@pytest.mark.parametrize(("technique", "one_walk"), [("native", 4), ("nested", 24)])
def test_store_through_a_clean_entry_walks_again(technique, one_walk):
    # Given a page in the TLB by a load, its PTE clean,
    driver = Driver(technique, walk_caches=False)
    driver.access(GVA)
    (gva, _, gpte, _) = next(driver.leaves())
    assert gva == GVA and not gpte & D
    # when it is written, it is walked for again and D is set,
    assert driver.access(GVA, STORE) == one_walk
    assert next(driver.leaves())[2] & D
    assert driver.stats["dirty_walks"] == 1
    # and once only.
    assert driver.access(GVA, STORE) == 0


@pytest.mark.parametrize("technique", ["native", "shadow", "nested"])
@pytest.mark.parametrize("page_size", ["4k", "2m"])
def test_a_store_is_not_served_because_the_slot_served_another_pages(technique, page_size):
    # Given five pages of one set of the L1 TLB, all alike in the low bits of their numbers,
    driver = Driver(technique, page_size=page_size)
    pages = [GVA + number * (1 << 30) for number in range(5)]
    for gva in pages:
        driver.access(gva)
    driver.access(pages[0], STORE)
    driver.flush()
    # when one is written, and the last, which is clean, then takes its slot,
    driver.access(pages[0], STORE)
    for gva in pages[1:]:
        driver.access(gva)
    # a store to the last needs a walk, to set D (as one to a read-only page needs a fault).
    before = int(driver.stats["dirty_walks"])
    driver.access(pages[-1], STORE)
    assert driver.stats["dirty_walks"] == before + 1
    assert {gva: bool(gpte & D) for gva, _, gpte, _ in driver.leaves()}[pages[-1]]


def nested_bits(driver: Driver) -> dict[int, int]:
    """A and D of the EPT leaf of each gfn that is backed by a 4 KiB page."""
    found = {}
    for gfn in driver.machine.vm.p2m.nonzero()[0].tolist():
        table = driver.table(nested_table(driver, gfn))
        found[gfn] = int(table[gfn & 511]) & (EPT_A | EPT_D)
    return found


def nested_table(driver: Driver, gfn: int) -> int:
    """hfn of the lowest nPT page that translates a gfn."""
    hfn = int(driver.regs["eptp"])
    for level in (4, 3, 2):
        hfn = int(driver.table(hfn)[gfn >> (9 * (level - 1)) & 511]) >> 12 & ((1 << 40) - 1)
    return hfn


@pytest.mark.parametrize("ept_ad", [True, False])
def test_walks_dirty_the_pages_of_guest_tables(ept_ad):
    # Given a mapped page, and an EPT with all A and D bits cleared,
    driver = Driver("nested", walk_caches=False, ept_ad=ept_ad)
    driver.access(GVA)
    for gfn in nested_bits(driver):
        driver.table(nested_table(driver, gfn))[gfn & 511] &= ~(EPT_A | EPT_D)
    driver.flush()
    # when the page is read,
    driver.access(GVA)
    # then, where EPT A and D bits are in use, its own leaf is accessed, and those of the
    # four guest tables are dirty: reading a gPTE counts as a write (SDM vol. 3C, 29.3.5).
    bits = nested_bits(driver)
    page = next(driver.leaves())[2] >> 12 & ((1 << 40) - 1)
    assert len(bits) == 5
    for gfn, value in bits.items():
        read = EPT_A if gfn == page else EPT_A | EPT_D
        assert value == (read if ept_ad else 0)


# --- What a CR3 load and a VM exit leave ----------------------------------------


@pytest.mark.parametrize("technique", ["native", "nested"])
def test_global_entries_survive_a_cr3_load(technique):
    # Given a kernel page and a user page in the TLB, and no PCIDs,
    driver = Driver(technique, pcid=False)
    driver.event(SWITCH, pid=2)
    driver.event(SWITCH)
    driver.access(KERNEL)
    driver.access(GVA)
    # when the guest switches to another process,
    driver.event(SWITCH, pid=2)
    # then the kernel's page needs no walk; and back again, the user's page does.
    assert driver.access(KERNEL) == 0
    driver.event(SWITCH)
    assert driver.access(KERNEL) == 0
    assert driver.access(GVA) > 0


def test_shadow_entries_are_never_global():
    driver = Driver("shadow")
    driver.access(KERNEL)
    assert driver.access(KERNEL) == 0
    driver.event(SWITCH, pid=2)
    assert driver.access(KERNEL) > 0


@pytest.mark.parametrize(
    ("technique", "pcid", "kept"),
    [
        ("native", True, True),
        ("native", False, False),
        ("nested", True, True),
        ("nested", False, False),
        ("shadow", True, False),  # the VMM hides PCIDs from the guest
    ],
)
def test_pcids_keep_translations_over_a_cr3_load(technique, pcid, kept):
    # Given two processes that have run, and a page of the first in the TLB,
    driver = Driver(technique, pcid=pcid, walk_caches=False)
    driver.event(SWITCH, pid=2)
    driver.access(GVA)
    driver.event(SWITCH)
    driver.access(GVA)
    # when the second has run at the same address,
    driver.event(SWITCH, pid=2)
    driver.access(GVA)
    driver.event(SWITCH)
    # then the first finds its own translation where PCIDs tell them apart.
    assert (driver.access(GVA) == 0) == kept


@pytest.mark.parametrize("vpid", [True, False])
def test_exits_flush_without_vpids(vpid):
    # Given a page in the TLB,
    driver = Driver("nested", vpid=vpid, walk_caches=False)
    driver.access(GVA)
    assert driver.access(GVA) == 0
    # when an EPT violation exits to the VMM,
    exits = int(driver.stats["exits"].sum())
    driver.access(GVA + PAGE)
    assert driver.stats["exits"].sum() > exits
    # then the page is still there only if the guest's entries are tagged.
    assert (driver.access(GVA) == 0) == vpid


def test_instruction_fetches_have_their_own_first_level():
    # Given a page that has been read, when it is executed, then it misses in the L1
    # instruction TLB and hits in the L2 TLB, which serves both.
    driver = Driver("native", walk_caches=False)
    driver.event(MMAP, GVA, PAGE, PROT_READ | PROT_EXEC | 1 << 8)
    driver.access(GVA)
    assert driver.access(GVA, FETCH) == 0
    assert driver.stats["l1_misses"][FETCH] == driver.stats["l2_hits"][FETCH] == 1
