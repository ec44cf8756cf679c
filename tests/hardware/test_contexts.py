"""The table of contexts that TLB entries are tagged with: what happens where it is full."""

from __future__ import annotations

import pytest
from drivers.one_machine import Driver
from drivers.walks import GVA, KERNEL

from mmulab.mmu.check import check
from mmulab.mmu.hardware.contexts import ROOM
from mmulab.mmu.trace import SWITCH


@pytest.mark.parametrize("technique", ["native", "shadow", "nested"])
def test_a_full_table_is_emptied_with_all_that_is_tagged(technique: str) -> None:
    # Given two processes with pages of their own at one address, in the TLBs,
    driver = Driver(technique, pcid=True)
    core = driver.machine.core.record[0]
    for pid in (2, 1):
        driver.event(SWITCH, pid=pid)
        driver.access(GVA)
        driver.access(KERNEL)
    assert 0 < core["contexts"] < 10
    # when the table is full and another is switched to,
    core["contexts"] = ROOM + 1
    driver.event(SWITCH, pid=2)
    # then every translation of both is gone, kernel pages included,
    assert 0 < core["contexts"] < 10
    assert driver.access(GVA) > 0 and driver.access(KERNEL) > 0
    check(driver.simulator)
    # and each finds its own from then on.
    driver.event(SWITCH)
    assert driver.access(GVA) > 0
    driver.access(KERNEL)
    check(driver.simulator)
    assert driver.access(GVA) == driver.access(KERNEL) == 0
