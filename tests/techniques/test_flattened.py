"""Flattened tables: what is merged, what is not for want of 2 MiB, and what goes back."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.one_machine import Driver
from drivers.two_vms import MECHANISMS, two_vms
from drivers.walks import GVA, PAGE, PAGE_1G, PAGE_2M, cold

import mmulab
from mmulab.mmu.check import check
from mmulab.mmu.check.host import check_system
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory.state import GPT_PAGE
from mmulab.mmu.techniques.flattened import COPIES, FALLBACKS, NODES
from mmulab.mmu.trace import EXEC

MEMORY = 256 << 20


def own(driver: Driver, number: int) -> int:
    return int(driver.machine.vcpu.own[number])


def test_a_node_for_each_pair_of_levels() -> None:
    driver = Driver("flattened", memory=MEMORY)
    driver.access(GVA)
    # Levels 4 and 3, 2 and 1: of the guest's table and of the host's.
    assert (own(driver, NODES), own(driver, FALLBACKS)) == (4, 0)
    driver.access(GVA + PAGE_2M)  # below the same node
    assert own(driver, NODES) == 4
    driver.access(GVA + PAGE_1G)
    assert own(driver, NODES) == 5
    check(driver.simulator)


def test_lower_tables_lie_side_by_side_in_the_node() -> None:
    driver = Driver("flattened:sides=guest", memory=MEMORY)
    regions = [0, 1, 5, 511]
    for region in regions:
        driver.access(GVA + region * PAGE_2M)
    upper = int(driver.regs["cr3"])
    for level in (4, 3):
        index = GVA >> (12 + 9 * (level - 1)) & 511
        upper = int(driver.table(driver.hfn(upper))[index]) >> 12 & ((1 << 40) - 1)
    entries = driver.table(driver.hfn(upper))
    tables = (entries[regions] >> 12) & ((1 << 40) - 1)
    assert (tables - tables[0] == regions).all() and tables[0] % 512 == 0


@pytest.mark.parametrize("memory", [2 << 20, 3 << 20])
def test_without_2_mib_a_pair_stays_two_levels(memory: int) -> None:
    # Given a guest and a host that have no 2 MiB to spare, then a walk is as under nested paging.
    driver = Driver("flattened", memory=memory, walk_caches=False)
    assert cold(driver) == 24
    assert own(driver, NODES) == 0 and own(driver, FALLBACKS) > 0
    check(driver.simulator)


def test_one_pair_may_be_merged_where_another_is_not() -> None:
    # Given a guest that has 2 MiB for its first pairs, when it maps one GiB after another,
    driver = Driver("flattened:sides=guest", memory=9 << 20, walk_caches=False)
    assert cold(driver, GVA) == 14
    last = GVA
    while not own(driver, FALLBACKS):
        last += PAGE_1G
        driver.access(last)
    # then the pair that found none is one more table to locate and read; others stay merged.
    assert cold(driver, last) == 14 + 5
    assert cold(driver, GVA) == 14
    check(driver.simulator)


def test_nodes_go_back_with_their_tables() -> None:
    driver = Driver("flattened", memory=MEMORY)
    frames = driver.machine.vm.frames.frame
    driver.access(GVA)
    before = np.count_nonzero(frames["kind"] == GPT_PAGE)
    driver.access(GVA + 2 * PAGE_1G)
    assert np.count_nonzero(frames["kind"] == GPT_PAGE) == before + 512
    driver.event(EXEC)
    driver.access(GVA)
    assert np.count_nonzero(frames["kind"] == GPT_PAGE) == before
    check(driver.simulator)


def test_a_large_page_is_512_entries_in_the_node() -> None:
    driver = Driver("flattened", memory=MEMORY, page_size="2m", walk_caches=False)
    driver.access(GVA)
    assert own(driver, COPIES) == 511
    # A copy is as good as another; each eighth lies in a line of its own.
    served = []
    for page in (0, 7, 8):
        driver.flush()
        driver.machine.vcpu.references[:] = 0
        assert driver.access(GVA + page * PAGE) == 8
        served.append(driver.machine.vcpu.references.reshape(-1, 5).sum(axis=0).tolist())
    assert served[0] == served[1]
    # Cold are the lines of the copy and of the page's own nested entry.
    assert served[2][0] == served[0][0] - 2


def test_native_tables_leave_one_reference_of_a_walk_and_no_exit() -> None:
    """1.5 become 1.0 (Park et al., ASPLOS 2022): GUPS over twice what the page-directory cache of
    32 entries maps."""
    found = mmulab.compare(
        "gups:size=128M,accesses=120K", preset="skylake-sp", memory="512M", warmup=60_000,
        techniques="native,flattened:sides=native", caches="off",
    )  # fmt: skip
    native, flat = found["native"], found["flattened:sides=native"]
    assert native.references_per_walk == pytest.approx(1.5, abs=0.02)
    assert flat.references_per_walk == pytest.approx(1.0, abs=0.002)
    assert native.counts["walks"] == flat.counts["walks"]
    assert sum(flat.exits.values()) == 0


@pytest.mark.parametrize("name", MECHANISMS)
def test_pages_are_taken_from_it_as_under_nested_paging(name: str) -> None:
    system = two_vms("flattened", "flattened:sides=guest", rest=MECHANISMS[name])
    while system.step():
        check_system(system)
    taken = [
        int(guest.vcpu.stats[0]["host_swap_outs"]) + int(guest.vm.record[0]["merged"])
        for guest in system.guests
    ]
    assert sum(taken) > 0 and all(own_of(guest) for guest in system.guests)


def own_of(guest: Guest) -> int:
    return int(guest.vcpu.own[NODES])
