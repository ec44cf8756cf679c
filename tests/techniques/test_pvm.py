"""PVM: what crosses between guest and hypervisor, and what outlives a load of CR3."""

from __future__ import annotations

import pytest
from drivers.one_machine import Driver
from drivers.walks import GVA, PAGE, cold

from mmulab.mmu.check import check
from mmulab.mmu.techniques import pvm
from mmulab.mmu.techniques.pvm import DIRECT_SWITCHES, PCIDS
from mmulab.mmu.trace import FORK, LOAD, MMAP, MUNMAP, STORE, SWITCH

READ_WRITE = 3


def exits(driver: Driver) -> dict[str, int]:
    counts = driver.machine.vcpu.exits
    return {
        each.reason: int(counts[number])
        for number, each in enumerate(pvm.TECHNIQUE.exits)
        if counts[number]
    }


@pytest.mark.parametrize(("page_size", "expected"), [("4k", 4), ("2m", 3)])
def test_walks_are_of_one_dimension(page_size: str, expected: int) -> None:
    driver = Driver("pvm", page_size=page_size, host_page_size=page_size, walk_caches=False)
    assert cold(driver) == expected


@pytest.mark.parametrize("kind", [LOAD, STORE])
@pytest.mark.parametrize(("prefault", "more"), [("on", 4), ("off", 6)])
def test_switches_of_a_page_fault(prefault: str, more: int, kind: int) -> None:
    # Given shadowed tables, and memory that the host has given already,
    driver = Driver(f"pvm:prefault={prefault},policy=trap")
    driver.event(MMAP, GVA, 8 * PAGE, READ_WRITE)
    driver.run([GVA + page * PAGE for page in range(8)], [STORE] * 8)
    driver.event(MUNMAP, GVA + PAGE, PAGE)
    driver.event(MMAP, GVA + PAGE, PAGE, READ_WRITE)
    driver.simulator.reset_counters()
    # when a page is touched for which n gPTEs must be written,
    driver.access(GVA + PAGE, kind)
    # then there are 2n + 4 switches, 2n + 6 without the prefault, none of them to a host below:
    # the fault and its delivery, n writes, the return; and the fault on the shadow table.
    n = int(driver.stats["pte_writes"])
    assert n == 1
    assert 2 * sum(exits(driver).values()) == 2 * n + more
    check(driver.simulator)


def test_system_calls_switch_directly() -> None:
    driver = Driver("pvm")
    driver.simulator.reset_counters()
    driver.event(MMAP, GVA, PAGE, READ_WRITE)
    assert driver.machine.vcpu.own[DIRECT_SWITCHES] == 2
    assert exits(driver) == {}


def children(driver: Driver, count: int) -> None:
    """Processes 2 to count + 1, each of which has read the page at GVA, in turn."""
    driver.event(MMAP, GVA, PAGE, READ_WRITE)
    driver.access(GVA, LOAD)
    for pid in range(2, count + 2):
        driver.event(FORK, value=pid)
    for pid in range(2, count + 2):
        driver.event(SWITCH, pid=pid)
        driver.access(GVA, LOAD)


def test_translations_outlive_a_load_of_cr3() -> None:
    driver = Driver("pvm")
    children(driver, 2)
    # When the first child runs again, its page is still in the TLB; under shadow paging not.
    driver.event(SWITCH, pid=2)
    assert driver.access(GVA, LOAD) == 0
    check(driver.simulator)
    driver = Driver("shadow")
    children(driver, 2)
    driver.event(SWITCH, pid=2)
    assert driver.access(GVA, LOAD) > 0


def test_there_are_sixteen_pcids() -> None:
    # Given one process more than there are PCIDs, when the first runs again, it has lost its own.
    driver = Driver("pvm")
    children(driver, PCIDS + 1)
    driver.event(SWITCH, pid=2)
    assert driver.access(GVA, LOAD) > 0
    # The last one still has its own.
    driver.event(SWITCH, pid=PCIDS + 2)
    assert driver.access(GVA, LOAD) == 0
    check(driver.simulator)
