"""DMT: areas that grow, move, end or are not to be had, and what a walk reads then."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.one_machine import Driver
from drivers.two_vms import MECHANISMS, two_vms
from drivers.walks import GVA, PAGE, PAGE_2M

from mmulab.mmu.check import check
from mmulab.mmu.check.host import check_system
from mmulab.mmu.memory.state import GPT_PAGE
from mmulab.mmu.techniques.dmt.state import ALLOC_TEA, FALLBACKS, MIGRATED, TEA_PAGES, TEAS
from mmulab.mmu.trace import FORK, MMAP, MUNMAP, STORE, SWITCH

MIB = 1 << 20
READ_WRITE = 3


def machine(spec: str = "dmt", **options: object) -> Driver:
    return Driver(spec, **{"memory": 64 * MIB, "walk_caches": False, **options})


def own(driver: Driver, number: int) -> int:
    return int(driver.machine.vcpu.own[number])


def again(driver: Driver, gva: int) -> int:
    driver.flush()
    return driver.access(gva)


def areas(driver: Driver, level: int) -> list[tuple[int, int, int]]:
    """(first table, tables, gfn) of each area of a level."""
    tea = driver.machine.vm.private.tea
    return [
        (int(one["start"]), int(one["count"]), int(one["base"]))
        for one in tea[tea["level"] == level]
    ]


def test_an_area_is_made_with_the_first_table_for_all_of_the_mapping() -> None:
    driver = machine()
    driver.event(MMAP, GVA, 16 * MIB, READ_WRITE)
    driver.access(GVA + 5 * PAGE_2M)
    [(start, count, base)] = areas(driver, 1)
    assert (start, count) == (GVA >> 21, 8)
    # Then each table has its place: the third from the last, and the last.
    driver.access(GVA + 7 * PAGE_2M)
    used = np.flatnonzero(driver.machine.vm.private.of[base : base + 8])
    assert used.tolist() == [5, 7]
    assert own(driver, TEA_PAGES) == 8 + 1  # and one of level 2
    check(driver.simulator)


@pytest.mark.parametrize(("spec", "references"), [("dmt", 24), ("dmt:least=1", 3)])
def test_a_small_mapping_has_no_area(spec: str, references: int) -> None:
    driver = machine(spec)
    driver.event(MMAP, GVA, 2 * MIB, READ_WRITE)
    driver.access(GVA)
    assert again(driver, GVA) == references
    assert own(driver, FALLBACKS) == 0


def test_an_area_grows_in_place_where_the_frames_behind_it_are_free() -> None:
    # Runs are taken from the top of memory down: nothing is free behind the first.
    driver = machine("dmt:least=0", memory=64 * MIB)
    driver.event(MMAP, GVA, 8 * MIB, READ_WRITE)
    driver.access(GVA)
    [(_, _, base)] = areas(driver, 1)
    driver.event(MMAP, GVA + 8 * MIB, 4 * MIB, READ_WRITE)
    frames = driver.machine.vm.frames.frame
    free_behind = all(frames["kind"][base + 4 : base + 8] == 0)
    driver.access(GVA + 8 * MIB)
    [(start, count, moved)] = areas(driver, 1)
    assert (start, count) == (GVA >> 21, 8)
    assert (moved == base) == free_behind
    assert own(driver, MIGRATED) == (0 if free_behind else 1)
    check(driver.simulator)


@pytest.mark.parametrize("spec", ["dmt", "dmt:pv=yes"])
def test_a_growing_mapping_moves_its_tables(spec: str) -> None:
    driver = machine(spec)
    for table in range(0, 4):  # the first 32 tables are an area; so that a page lies in each
        driver.access(GVA + table * PAGE_2M, STORE)
    tables = {gva: leaf for gva, _, leaf, _ in driver.leaves()}
    driver.access(GVA + 32 * PAGE_2M)  # memory that adjoins: twice as large
    [(start, count, _)] = areas(driver, 1)
    assert (start, count) == (GVA >> 21, 64)
    assert own(driver, MIGRATED) in (0, 4)
    now = {gva: leaf for gva, _, leaf, _ in driver.leaves()}
    assert {gva: now[gva] >> 12 for gva in tables} == {g: e >> 12 for g, e in tables.items()}
    assert [again(driver, GVA + table * PAGE_2M) for table in (0, 3, 32)] == [
        2 if "pv" in spec else 3
    ] * 3
    check(driver.simulator)


def test_a_mapping_below_grows_the_area_downwards() -> None:
    driver = machine()
    driver.access(GVA, STORE)
    driver.access(GVA - PAGE_2M, STORE)
    [(start, count, _)] = areas(driver, 1)
    assert (start, count) == ((GVA >> 21) - 32, 64)
    assert own(driver, MIGRATED) == 1
    assert [again(driver, GVA), again(driver, GVA - PAGE_2M)] == [3, 3]
    check(driver.simulator)


def test_without_contiguous_memory_the_walk_is_the_usual_one() -> None:
    driver = machine(memory=MIB, host_memory=64 * MIB)
    driver.event(MMAP, GVA, 512 * MIB, READ_WRITE)  # 256 tables
    driver.access(GVA)
    assert (own(driver, FALLBACKS), areas(driver, 1)) == (1, [])
    assert again(driver, GVA) == 24
    check(driver.simulator)


def test_an_area_goes_with_its_last_table() -> None:
    driver = machine("dmt:pv=yes")
    frames = driver.machine.vm.frames.frame
    driver.event(MMAP, GVA, 16 * MIB, READ_WRITE)
    driver.access(GVA)
    assert np.count_nonzero(driver.machine.host.frames.frame["pins"]) == 9
    driver.event(MUNMAP, GVA, 16 * MIB)
    assert areas(driver, 1) == areas(driver, 2) == []
    assert np.count_nonzero(frames["kind"] == GPT_PAGE) == 1  # the top-level table is left
    assert np.count_nonzero(driver.machine.host.frames.frame["pins"]) == 0
    assert int(driver.machine.vcpu.exits[ALLOC_TEA]) == 4
    check(driver.simulator)


def test_a_child_has_areas_of_its_own() -> None:
    driver = machine()
    driver.event(MMAP, GVA, 16 * MIB, READ_WRITE)
    driver.access(GVA, STORE)
    driver.event(FORK, value=2)
    assert len(areas(driver, 1)) == 2
    driver.event(SWITCH, pid=2)
    driver.access(GVA)
    assert again(driver, GVA) == 3
    check(driver.simulator)


def test_the_17th_mapping_has_no_register() -> None:
    driver = machine("dmt:least=0", memory=256 * MIB)
    starts = [GVA + number * 64 * MIB for number in range(17)]
    for start in starts:
        driver.event(MMAP, start, 4 * MIB, READ_WRITE)
        driver.access(start)
    assert (own(driver, TEAS), own(driver, FALLBACKS)) == (16 + 1, 1)
    assert [again(driver, start) for start in starts[-2:]] == [3, 24]


def test_a_mapping_with_both_page_sizes_has_two_registers() -> None:
    driver = machine(page_size="thp", host_page_size="2m", memory=64 * MIB)
    driver.event(MMAP, GVA, 8 * MIB + PAGE, READ_WRITE)
    driver.access(GVA)  # 2 MiB
    driver.access(GVA + 8 * MIB)  # 4 KiB
    loaded = driver.regs["tea_end"] > 0
    assert sorted(driver.regs["tea_level"][loaded].tolist()) == [1, 2]
    assert [again(driver, GVA), again(driver, GVA + 8 * MIB)] == [3, 3]
    check(driver.simulator)


def test_on_bare_metal_a_page_without_a_register_is_walked_for_as_ever() -> None:
    driver = machine("dmt:mode=native")
    driver.event(MMAP, GVA, 2 * MIB, READ_WRITE)
    driver.event(MMAP, GVA + 64 * MIB, 16 * MIB, READ_WRITE)
    driver.access(GVA)
    driver.access(GVA + 64 * MIB)
    assert [again(driver, GVA), again(driver, GVA + 64 * MIB)] == [4, 1]
    assert not driver.machine.vcpu.exits.any()
    check(driver.simulator)


@pytest.mark.parametrize("name", MECHANISMS)
def test_pages_are_taken_from_it_as_under_nested_paging(name: str) -> None:
    system = two_vms("dmt", "dmt:pv=yes", host="44M", rest=MECHANISMS[name])
    while system.step():
        check_system(system)
    taken = [
        int(guest.vcpu.stats[0]["host_swap_outs"]) + int(guest.vm.record[0]["merged"])
        for guest in system.guests
    ]
    assert sum(taken) > 0 and all(guest.vcpu.own[TEAS] for guest in system.guests)
