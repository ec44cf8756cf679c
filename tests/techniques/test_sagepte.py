"""SagePTE: when the host half of a leaf is there, and what takes it away."""

from __future__ import annotations

import pytest
from drivers.guest import drop_backing
from drivers.one_machine import Driver
from drivers.two_vms import MECHANISMS, two_vms
from drivers.walks import GVA, PAGE, PAGE_2M

from mmulab.mmu.check import check
from mmulab.mmu.check.host import check_system
from mmulab.mmu.hardware.state import CACHE_LEVELS
from mmulab.mmu.hardware.walks.sites import STEP
from mmulab.mmu.techniques.sagepte import CLEARED
from mmulab.mmu.trace import FORK, LOAD, MPROTECT, STORE, SWITCH


def machine(**options: object) -> Driver:
    return Driver("sagepte", **{"memory": 256 << 20, "walk_caches": False, **options})


def again(driver: Driver, gva: int = GVA, kind: int = LOAD) -> int:
    driver.flush()
    return driver.access(gva, kind)


def cleared(driver: Driver) -> int:
    return int(driver.machine.vcpu.own[CLEARED])


def test_the_first_walk_fills_the_half_and_the_next_ends_at_it() -> None:
    driver = machine()
    faulted = driver.access(GVA)  # the walk that ends fills it
    assert faulted > 24
    assert again(driver) == 20
    check(driver.simulator)


def test_a_write_of_the_gpte_empties_the_half() -> None:
    driver = machine()
    driver.access(GVA, STORE)
    driver.event(MPROTECT, GVA, PAGE, 1)
    assert [again(driver), again(driver)] == [24, 20]


def test_the_vmm_empties_the_half_of_a_page_that_it_takes() -> None:
    driver = machine()
    driver.access(GVA, STORE)
    gfn = next(leaf >> 12 & 0xFFFFFFFF for gva, _, leaf, _ in driver.leaves() if gva == GVA)
    drop_backing(driver.machine, gfn)
    assert cleared(driver) == 1
    check(driver.simulator)
    # One walk that finds no page behind the gfn, one that finds the page that the VMM gave.
    assert [again(driver), again(driver)] == [48, 20]


def test_it_finds_all_leaves_that_map_the_page() -> None:
    # Given a page that parent and child share, both of whose halves are filled,
    driver = machine()
    driver.access(GVA, STORE)
    driver.event(FORK, value=2)
    driver.access(GVA)
    gfn = next(leaf >> 12 & 0xFFFFFFFF for gva, _, leaf, _ in driver.leaves() if gva == GVA)
    driver.event(SWITCH, pid=2)
    driver.access(GVA)
    drop_backing(driver.machine, gfn)
    assert cleared(driver) == 2
    check(driver.simulator)


@pytest.mark.parametrize(
    ("guest", "host", "references"), [("4k", "2m", 4 * (3 + 1)), ("2m", "4k", 3 * (4 + 1) + 4)]
)
def test_a_leaf_has_a_half_where_one_host_page_holds_its_page(
    guest: str, host: str, references: int
) -> None:
    # 2m on 4k: the nested walk of the page is made every time.
    driver = machine(page_size=guest, host_page_size=host)
    driver.access(GVA)
    again(driver)
    assert again(driver) == references


def test_a_line_holds_four_entries_of_16_bytes() -> None:
    for spec, lines in (("sagepte", 2), ("sagepte:entry=8", 1)):
        driver = Driver(spec)
        for page in range(8):
            driver.access(GVA + page * PAGE)
        served = driver.machine.vcpu.references.reshape(-1, CACHE_LEVELS)
        assert served[STEP, CACHE_LEVELS - 1] == lines  # of gL1, from memory


@pytest.mark.parametrize("name", ["esx", "ksm"])
def test_pages_are_taken_from_it_as_under_nested_paging(name: str) -> None:
    system = two_vms("sagepte", "sagepte:entry=8", rest=MECHANISMS[name])
    while system.step():
        check_system(system)
    assert sum(int(guest.vcpu.own[CLEARED]) for guest in system.guests) > 0


def test_a_2_mib_page_in_one_host_page() -> None:
    driver = machine(page_size="2m", host_page_size="2m")
    driver.access(GVA, STORE)
    assert again(driver, GVA + PAGE_2M - PAGE) == 12
