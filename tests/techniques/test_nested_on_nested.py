"""A guest's guest: switches and exits to L0, by mode, and tables composed of two."""

from __future__ import annotations

import pytest
from drivers.guest import drop_backing
from drivers.one_machine import Driver
from drivers.walks import GVA, PAGE, PAGE_2M, cold

from mmulab.mmu.check import check
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory.entries import FRAME
from mmulab.mmu.memory.status import EPT_VIOLATION, OK
from mmulab.mmu.techniques import nested_on_nested, seam
from mmulab.mmu.techniques.nested_on_nested.state import (
    EPT12_ENTRIES,
    L0_EXITS,
    MODES,
    SWITCHES,
)
from mmulab.mmu.trace import FORK, LOAD, MMAP, MUNMAP, STORE

READ_WRITE = 3


def exits(driver: Driver) -> dict[str, int]:
    counts = driver.machine.vcpu.exits
    return {
        each.reason: int(counts[number])
        for number, each in enumerate(nested_on_nested.TECHNIQUE.exits)
        if counts[number]
    }


def own(driver: Driver, counter: int) -> int:
    return int(driver.machine.vcpu.own[counter])


def mapped(spec: str, **options: object) -> Driver:
    """A machine whose first page's tables are made, with a page beside it that nothing maps but
    that L2's kernel has used; nothing is counted yet."""
    driver = Driver(f"nested-on-nested:{spec}", **options)
    driver.event(MMAP, GVA, 8 * PAGE, READ_WRITE)
    driver.run([GVA + page * PAGE for page in range(8)], [STORE] * 8)
    driver.event(MUNMAP, GVA + PAGE, PAGE)
    driver.event(MMAP, GVA + PAGE, PAGE, READ_WRITE)
    driver.simulator.reset_counters()
    return driver


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "expected"), [("4k", 24), ("2m", 15)])
def test_no_walk_has_three_dimensions(mode: str, size: str, expected: int) -> None:
    driver = Driver(
        f"nested-on-nested:mode={mode}", page_size=size, host_page_size=size, walk_caches=False
    )
    assert cold(driver) == expected


# --- EPT-on-EPT ---------------------------------------------------------------------------


@entry
def _violate(machine: Machine, gva):
    return seam.fault(machine, EPT_VIOLATION, gva, LOAD, True)


def violation(sync: str, entries: int) -> Driver:
    """One EPT violation, for whose page L1 must write so many entries of EPT12; it alone is
    counted. L1's memory is backed."""
    driver = Driver(f"nested-on-nested:sync={sync}", memory=4 << 30, host_memory=6 << 30)
    driver.access(GVA, STORE)
    machine = driver.machine
    # The guest's frames follow one another: a distant one needs new tables of EPT12.
    gfn = {1: 400, 2: 600, 3: (1 << 18) + 5}[entries]
    driver.simulator.reset_counters()
    machine.vcpu.regs[0]["fault_gpa"] = gfn << 12
    assert _violate(machine, GVA) == OK
    check(driver.simulator)
    assert own(driver, EPT12_ENTRIES) == entries
    return driver


@pytest.mark.parametrize("n", [1, 2, 3])
def test_switches_of_an_ept_violation_with_ept12_write_protected(n: int) -> None:
    # To L0, which reflects it to L1; n writes; VMRESUME; and once more to L0, which composes.
    driver = violation("protect", n)
    assert own(driver, SWITCHES) == 2 * n + 6
    assert own(driver, L0_EXITS) == n + 3
    to_l0 = {"l2_exit": 1, "ept12_write": n, "vmresume": 1, "compose": 1}
    assert exits(driver) == {"backing": 1, **to_l0}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_switches_of_an_ept_violation_with_sync_at_invept(n: int) -> None:
    # An entry that was not present needs no INVEPT (Intel SDM vol. 3C, 29.4.3.1): L1's writes are
    # free, and L0 reads what they left when L2 comes to it again.
    driver = violation("invept", n)
    assert own(driver, SWITCHES) == 6
    assert own(driver, L0_EXITS) == 3


@pytest.mark.parametrize(("sync", "writes"), [("protect", 1), ("invept", 0)])
def test_a_page_that_l1_takes_away(sync: str, writes: int) -> None:
    # Given a page that L2 uses, when L1 takes it away,
    driver = Driver(f"nested-on-nested:sync={sync}")
    driver.access(GVA, STORE)
    ((gva, _, leaf, _),) = driver.leaves()
    assert gva == GVA
    driver.simulator.reset_counters()
    drop_backing(driver.machine, (leaf & FRAME) >> 12)
    # then it clears an entry of EPT12 and executes INVEPT,
    assert exits(driver) == {"invept": 1} | ({"ept12_write": 1} if writes else {})
    check(driver.simulator)
    # and L2's next access is a violation, of one entry.
    driver.simulator.reset_counters()
    driver.access(GVA, LOAD)
    assert own(driver, L0_EXITS) == 3 + writes
    check(driver.simulator)


def test_l1_memory_that_is_not_backed_exits_at_its_first_use() -> None:
    counted = []
    for l1 in ("backed", "fresh"):
        driver = Driver(f"nested-on-nested:l1={l1}")
        driver.access(GVA, STORE)
        counted.append(own(driver, L0_EXITS))
        check(driver.simulator)
    # Root, three tables and the page: five frames of L2, each of L1's memory.
    assert counted[1] - counted[0] == 5
    assert exits(driver)["ept01_violation"] == 5


def test_the_guest_changes_its_tables_without_an_exit() -> None:
    driver = mapped("mode=ept-on-ept")
    driver.access(GVA + PAGE, STORE)
    driver.event(FORK, value=2)
    assert int(driver.stats["pte_writes"]) > 1
    assert exits(driver).keys() <= {"backing", "l2_exit", "vmresume", "compose", "ept12_write"}
    assert exits(driver).get("l2_exit", 0) == exits(driver).get("backing", 0)


# --- Shadow tables over EPT01 ---------------------------------------------------------------


@pytest.mark.parametrize(("prefault", "more"), [("on", 4), ("off", 6)])
def test_switches_of_a_page_fault_under_pvm(prefault: str, more: int) -> None:
    # As on bare metal (test_pvm), all between L2 and L1: L0 hears nothing.
    driver = mapped(f"mode=pvm-on-ept,prefault={prefault},policy=trap")
    driver.access(GVA + PAGE, STORE)
    n = int(driver.stats["pte_writes"])
    assert n == 1
    assert own(driver, SWITCHES) == 2 * n + more
    assert own(driver, L0_EXITS) == 0
    check(driver.simulator)


def test_each_exit_of_shadow_paging_goes_through_l0() -> None:
    # A reflected fault, a PTE write and a fill: each from L2 to L0, L1, L0 and back.
    driver = mapped("mode=shadow-on-ept,policy=trap")
    driver.access(GVA + PAGE, STORE)
    of_l1 = {"reflected_fault": 1, "pte_write": 1, "shadow_fill": 1}
    assert exits(driver) == {**of_l1, "l2_exit": 3, "vmresume": 3}
    assert own(driver, L0_EXITS) == 6
    assert own(driver, SWITCHES) == 12
    check(driver.simulator)


@pytest.mark.parametrize("mode", ["shadow-on-ept", "pvm-on-ept"])
def test_large_pages_of_both(mode: str) -> None:
    driver = Driver(f"nested-on-nested:mode={mode}", page_size="2m", host_page_size="2m")
    driver.event(MMAP, GVA, 4 * PAGE_2M, READ_WRITE)
    for page in range(4):
        driver.access(GVA + page * PAGE_2M, STORE)
    check(driver.simulator)
