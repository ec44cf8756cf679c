"""References that the paging-structure caches and the nested TLB save."""

from __future__ import annotations

import pytest
from drivers.one_machine import Driver
from drivers.walks import GVA, PAGE, PAGE_2M

import mmulab
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import MMAP, MPROTECT, PROT_READ, PROT_WRITE, STORE, SWITCH


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


# --- The page walk cache --------------------------------------------------------------------

ONE_DIMENSION = ("walk_cache.pwc.entries=0", "walk_cache.ntlb.entries=0")


@pytest.mark.parametrize(
    ("changes", "references"),
    [
        (ONE_DIMENSION, 24),
        # The guest's upper three levels are cached; each of its tables and the page is located.
        ((*ONE_DIMENSION, "walk_cache.guest_pwc.entries=24"), 1 + 5 * 4),
        # All that is nested is cached, but for the page's leaf.
        ((*ONE_DIMENSION, "walk_cache.nested_pwc.entries=24"), 4 + 1),
        (("walk_cache.ntlb.entries=0",), 2),
        ((), 2),
    ],
)
def test_page_walk_cache_leaves_the_leaves(changes: tuple[str, ...], references: int) -> None:
    """1,024 pages in turn, more than the TLB holds: two tables of leaves, one of each other."""
    spec = "scan:size=4M,stride=4K,accesses=4K"
    found = mmulab.compare(
        spec, preset="opteron-2008", set=changes, techniques="native,nested", warmup=2048
    )
    assert found["nested"].references_per_walk == references
    cached = changes not in (ONE_DIMENSION, (*ONE_DIMENSION, "walk_cache.nested_pwc.entries=24"))
    assert found["native"].references_per_walk == (1 if cached else 4)
    counts = found["nested"].counts
    by_ntlb = 4 * counts["ntlb_hits"]  # entries of a nested walk that is not made
    hits = counts["guest_pwc_hits"] + counts["nested_pwc_hits"]
    assert counts["walks"] * 24 == counts["walks"] * references + hits + by_ntlb


def test_page_walk_cache_and_its_parts_exclude_each_other() -> None:
    with pytest.raises(InputError, match="guest_pwc and walk cache pwc serve the same"):
        mmulab.compare(
            "scan:accesses=1K", preset="opteron-2008", set=["walk_cache.guest_pwc.entries=24"]
        )


def test_page_walk_cache_is_emptied_where_the_guest_flushes() -> None:
    """Without PCIDs, a switch to another process and back."""
    driver = Driver("native", preset="opteron-2008")
    driver.access(GVA)
    driver.event(SWITCH, pid=2)
    driver.event(SWITCH)
    assert driver.access(GVA) == 4
    driver.flush()
    assert driver.access(GVA) == 4
