"""Look-ups that are made again after a fault are counted apart, whoever stops the access."""

from __future__ import annotations

from drivers.one_machine import Driver

from mmulab.mmu.trace import LOAD, STORE

GVA = 0x7F12_3456_7000
PAGE = 4096
SAME_SET = 16 * PAGE  # of the L1 data TLB, which has 4 ways


def test_a_page_that_left_l1_before_the_access_went_on() -> None:
    """repeated_l2_hits: an access stops at its second page since the host is short of frames;
    meanwhile others fill the first page's set."""
    driver = Driver("native")
    for number in range(2):
        driver.access(GVA + number * PAGE)
    for number in range(1, 5):
        driver.access(GVA + number * SAME_SET)
    before = driver.stats.copy()
    driver.regs["looked_up"] = 3
    driver.access(GVA + PAGE - 4, LOAD, 8)
    assert driver.stats["repeated_l2_hits"] == before["repeated_l2_hits"] + 1
    for name in ("l1_misses", "l2_hits", "walks", "repeated_lookups"):
        assert (driver.stats[name] == before[name]).all()
    assert driver.regs["looked_up"] == driver.regs["owed"] == 0


def test_both_pages_fault() -> None:
    driver = Driver("native")
    driver.access(GVA + PAGE - 4, STORE, 8)
    # The first page faults: it again. The second faults: both again.
    assert driver.stats["repeated_lookups"] == 1 + 2
    assert driver.stats["l1_misses"].tolist() == [0, 2, 0]
    assert driver.stats["straddles"].tolist() == [0, 1, 0]
    assert driver.stats["walks"].sum() == 4
    assert driver.regs["looked_up"] == driver.regs["owed"] == 0
