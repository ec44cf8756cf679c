"""When the hardware sets A and D bits, and the walks that it makes for that."""

from __future__ import annotations

import pytest
from drivers.one_machine import Driver
from drivers.walks import GVA

from mmulab.mmu.memory.entries import EPT_A, EPT_D, D
from mmulab.mmu.trace import STORE


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
    hfn = int(driver.regs["root"])
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
