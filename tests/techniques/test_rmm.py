"""Redundant memory mappings: what a range serves, what its table costs, and what breaks it."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.one_machine import Driver
from drivers.two_vms import MECHANISMS, two_vms
from drivers.walks import GVA, PAGE, PAGE_2M

from mmulab.mmu.check import check
from mmulab.mmu.check.host import check_system
from mmulab.mmu.hardware.range_tlb import NODE, depth
from mmulab.mmu.hardware.state import RANGE_ENTRIES
from mmulab.mmu.techniques.rmm import TECHNIQUE
from mmulab.mmu.trace import FORK, LOAD, MMAP, MUNMAP, STORE, SWITCH

READ_WRITE = 3 | 1 << 8
NAMES = [each.name for each in TECHNIQUE.counters]


def counters(driver: Driver) -> dict[str, int]:
    """Since the last call."""
    found = dict(zip(NAMES, driver.machine.vcpu.own.tolist(), strict=False))
    driver.machine.vcpu.own[:] = 0
    return found


def mapped(pages: int, **options) -> Driver:
    """One mapping, all of whose pages are there, and no TLB that knows of them."""
    driver = Driver("rmm", memory=256 << 20, **options)
    driver.event(MMAP, GVA, pages * PAGE, READ_WRITE)
    driver.run([GVA + n * PAGE for n in range(pages)], [STORE] * pages)
    driver.flush()
    counters(driver)
    return driver


def test_the_first_miss_walks_and_brings_the_range_all_others_are_served_by_it() -> None:
    driver = mapped(4096, walk_caches=False)
    assert driver.access(GVA) == 24
    found = counters(driver)
    assert (found["range_hits"], found["range_fills"], found["range_references"]) == (0, 1, 1)
    pages = np.random.default_rng(1).permutation(4096)[:3000]
    references = [driver.access(GVA + int(page) * PAGE) for page in pages]
    assert sum(references) == 0
    found = counters(driver)
    assert (found["range_hits"], found["range_references"]) == (3000, 0)
    check(driver.simulator)


def test_frames_of_a_mapping_lie_together_in_guest_and_host() -> None:
    driver = mapped(2048)
    gfns = [(leaf & ((1 << 52) - 1)) >> 12 for gva, _, leaf, _ in driver.leaves() if gva >= GVA]
    assert (np.diff(gfns) == 1).all() and len(gfns) == 2048
    assert (np.diff([driver.hfn(gfn) for gfn in gfns]) == 1).all()


@pytest.mark.parametrize(("ranges", "nodes"), [(0, 0), (1, 1), (NODE, 1), (NODE + 1, 2)])
def test_depth_of_the_range_table(ranges: int, nodes: int) -> None:
    slowly = getattr(depth, "py_func", depth)
    assert slowly(ranges) == nodes
    assert slowly(NODE + NODE * (NODE + 1)) == 2 and slowly(NODE + NODE * (NODE + 1) + 1) == 3


def test_33_ranges_do_not_fit_into_the_range_tlb() -> None:
    # Given mappings of 2 MiB each, apart from another, in turn with nothing else cached,
    driver = Driver("rmm", memory=512 << 20)
    places = [GVA + n * 3 * PAGE_2M for n in range(RANGE_ENTRIES + 1)]
    for start in places:
        driver.event(MMAP, start, PAGE_2M, READ_WRITE)
        driver.run([start + n * PAGE for n in range(512)], [STORE] * 512)
    for count, hits in ((RANGE_ENTRIES, RANGE_ENTRIES), (RANGE_ENTRIES + 1, 0)):
        driver.flush()
        for start in places[:count]:
            driver.access(start)
        counters(driver)
        # when other pages of them are accessed in the same order, then LRU has all, or none.
        for start in places[:count]:
            driver.access(start + 9 * PAGE)
        assert counters(driver)["range_hits"] == hits


def test_a_page_that_lies_elsewhere_is_walked_for() -> None:
    driver = mapped(1024)
    driver.access(GVA)
    driver.event(FORK, value=2)
    driver.run([GVA + 5 * PAGE], [STORE])  # copied: its place is the child's still
    assert counters(driver)["escaped"] == 0  # a copy asks for no place
    driver.flush()
    driver.access(GVA)
    driver.access(GVA + 5 * PAGE)
    driver.access(GVA + 6 * PAGE)
    assert counters(driver)["range_hits"] == 1
    driver.event(SWITCH, pid=2)
    assert driver.regs["ranges"] == 0
    check(driver.simulator)


def test_a_hole_makes_two_ranges_and_gives_back_what_was_set_aside() -> None:
    driver = Driver("rmm", memory=256 << 20)
    driver.event(MMAP, GVA, 4 * PAGE_2M, READ_WRITE)
    assert driver.regs["ranges"] == 1
    kept = driver.machine.vm.private.kept
    assert kept.sum() == 4 * 512
    driver.event(MUNMAP, GVA + PAGE_2M, PAGE_2M)
    assert driver.regs["ranges"] == 2 and kept.sum() == 3 * 512
    check(driver.simulator)
    driver.event(MUNMAP, GVA, 4 * PAGE_2M)
    assert driver.regs["ranges"] == 0 and kept.sum() == 0


def test_no_more_is_set_aside_than_its_part() -> None:
    driver = Driver("rmm:part=25", memory=64 << 20)
    driver.event(MMAP, GVA, 40 << 20, READ_WRITE)
    assert driver.machine.vm.private.kept.sum() == 16 << 8
    driver.run([GVA + n * PAGE for n in range(40 << 8)], [LOAD] * (40 << 8))
    check(driver.simulator)


@pytest.mark.parametrize("name", MECHANISMS)
def test_the_host_takes_pages_as_under_nested_paging(name: str) -> None:
    system = two_vms("rmm", "rmm", host="40M", rest=MECHANISMS[name])
    while system.step():
        check_system(system)
    taken = [
        int(guest.vcpu.stats[0]["host_swap_outs"]) + int(guest.vm.record[0]["merged"])
        for guest in system.guests
    ]
    assert sum(taken) > 0 and sum(int(guest.vcpu.own[0]) for guest in system.guests) > 0
