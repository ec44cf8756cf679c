"""What an entry of a TLB maps, and which TLB of the first level serves an access."""

from __future__ import annotations

import pytest
from drivers.one_machine import Driver
from drivers.walks import DEPTH_OFF, GVA, LARGE_MEMORY, PAGE, PAGE_2M, cold

from mmulab.mmu.trace import FETCH, MMAP, PROT_EXEC, PROT_READ

# --- Size of the TLB entry ------------------------------------------------------------


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


# --- What a CR3 load and a VM exit leave ----------------------------------------------


def test_instruction_fetches_have_their_own_first_level():
    # Given a page that has been read, when it is executed, then it misses in the L1
    # instruction TLB and hits in the L2 TLB, which serves both.
    driver = Driver("native", walk_caches=False)
    driver.event(MMAP, GVA, PAGE, PROT_READ | PROT_EXEC | 1 << 8)
    driver.access(GVA)
    assert driver.access(GVA, FETCH) == 0
    assert driver.stats["l1_misses"][FETCH] == driver.stats["l2_hits"][FETCH] == 1
