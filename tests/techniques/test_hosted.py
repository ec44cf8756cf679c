"""A hosted VMM: the walk of what it runs on, world switches for memory, and what a host refuses."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.one_machine import Driver
from drivers.two_vms import MECHANISMS, two_vms
from drivers.walks import GVA, PAGE, PAGE_2M

from mmulab.mmu import presets
from mmulab.mmu.by_hand import walkthrough
from mmulab.mmu.check import check
from mmulab.mmu.check.host import check_system
from mmulab.mmu.errors import RunError
from mmulab.mmu.techniques.hosted import TECHNIQUE
from mmulab.mmu.trace import FORK, MUNMAP, STORE, SWITCH

REASONS = [each.reason for each in TECHNIQUE.exits]


def exits(driver: Driver) -> dict[str, int]:
    return dict(zip(REASONS, driver.machine.vcpu.exits.tolist(), strict=False))


@pytest.mark.parametrize(("mmu", "beside"), [("nested", "nested"), ("shadow", "shadow")])
def test_each_frame_is_asked_of_the_host_and_all_else_is_as_without_one(
    mmu: str, beside: str
) -> None:
    drivers = [Driver(f"hosted:mmu={mmu}"), Driver(beside)]
    for driver in drivers:
        driver.run([GVA + n * PAGE for n in range(700)], [STORE] * 700)
        driver.event(FORK, value=2)
        driver.event(SWITCH, pid=2)
        driver.run([GVA + n * PAGE for n in range(300)], [STORE] * 300)
        driver.event(MUNMAP, GVA, 700 * PAGE, pid=2)
        check(driver.simulator)
    hosted, other = drivers
    assert exits(hosted)["host_call"] == int(hosted.machine.vm.record[0]["held"]) > 1000
    mine, theirs = (driver.machine.vcpu for driver in drivers)
    assert (mine.references == theirs.references).all()
    count = REASONS.index("host_call")
    assert (mine.exits[:count] == theirs.exits[:count]).all()


def test_the_process_has_a_table_for_each_2_mib_in_use() -> None:
    drivers = [Driver("hosted"), Driver("nested")]
    for driver in drivers:
        driver.run([GVA + n * PAGE_2M for n in range(4)], [STORE] * 4)
    hosted, nested = (driver.simulator.frames_by_kind()["nPT"] for driver in drivers)
    leaf = drivers[0].machine.vm.private.leaf
    regions = np.unique(np.flatnonzero(drivers[0].machine.vm.p2m > 0) >> 9)
    assert hosted - nested == np.count_nonzero(leaf) == len(regions) > 0


def test_a_host_page_of_2_mib_is_one_call() -> None:
    driver = Driver("hosted", host_page_size="2m")
    driver.run([GVA + n * PAGE for n in range(400)], [STORE] * 400)
    assert exits(driver)["host_call"] == int(driver.machine.vm.record[0]["held"]) // 512 <= 3


def test_a_host_refuses_more_than_all_its_memory_and_swap() -> None:
    assert Driver("nested", memory=64 << 20, host_memory=32 << 20)
    with pytest.raises(RunError, match="host OS refuses a process of 64 MiB: it has 32 MiB"):
        Driver("hosted", memory=64 << 20, host_memory=32 << 20)


@pytest.mark.parametrize("mmu", ["nested", "shadow"])
@pytest.mark.parametrize("name", MECHANISMS)
def test_the_host_pages_it_as_any_process(name: str, mmu: str) -> None:
    system = two_vms(f"hosted:mmu={mmu}", "hosted", host="40M", rest=MECHANISMS[name])
    free = system.free
    while system.step():
        check_system(system)
    taken = [
        int(guest.vcpu.stats[0]["host_swap_outs"]) + int(guest.vm.record[0]["merged"])
        for guest in system.guests
    ]
    assert sum(taken) > 0
    assert all(guest.vcpu.own[len(TECHNIQUE.counters) - 1] > 1 for guest in system.guests)
    for guest in system.guests:
        guest.switch_off()
    assert system.free == free


def test_a_walk_is_called_by_the_table_that_it_reads() -> None:
    preset = presets.load("skylake-sp")
    for spec, table in (("hosted", "gPT"), ("hosted:mmu=shadow", "sPT")):
        walk = walkthrough.walk(GVA, spec, preset)
        assert walk.references[-1 if table == "sPT" else -5].table == table
