"""Direct segments: what a walk reads inside and outside, what escapes, and what may be taken."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.one_machine import Driver
from drivers.two_vms import MECHANISMS, two_vms
from drivers.walks import GVA, PAGE, PAGE_1G, PAGE_2M, cold

from mmulab.mmu.check import check
from mmulab.mmu.check.host import check_system
from mmulab.mmu.errors import RunError
from mmulab.mmu.techniques.direct_segment import ESCAPED, PLACED
from mmulab.mmu.trace import EXEC, FORK, LOAD, MMAP, MUNMAP, STORE, SWITCH


def driver_of(mode: str, **options: object) -> Driver:
    return Driver(f"direct-segment:mode={mode}", walk_caches=False, **options)


def own(driver: Driver, number: int) -> int:
    return int(driver.machine.vcpu.own[number])


@pytest.mark.parametrize(
    ("mode", "inside", "outside"),
    [("dual", 0, 4), ("vmm", 4, 4), ("guest", 4, 24), ("native", 0, 4)],
)
def test_references_inside_and_outside_of_the_guests_segment(
    mode: str, inside: int, outside: int
) -> None:
    driver = driver_of(mode)
    driver.event(MMAP, GVA, 4 * PAGE_2M, 3)
    assert cold(driver, GVA + 5 * PAGE) == inside
    assert cold(driver, GVA + PAGE_1G) == outside
    check(driver.simulator)


@pytest.mark.parametrize("size", ["4k", "2m"])
def test_pages_of_the_segment_lie_side_by_side(size: str) -> None:
    driver = driver_of("dual", page_size=size)
    driver.event(MMAP, GVA, 8 * PAGE_2M, 3)
    for page in (3000, 5, 600, 7):
        driver.access(GVA + page * PAGE, STORE)
    offsets = {(entry >> 12 & (1 << 40) - 1) - (gva >> 12) for gva, _, entry, _ in driver.leaves()}
    assert offsets == {int(driver.regs["segment_offset"][0])}
    assert own(driver, PLACED) == (4 if size == "4k" else 3 * 512) and not own(driver, ESCAPED)
    check(driver.simulator)


def test_a_page_copied_after_a_fork_escapes() -> None:
    # Given a page of the segment that a child shares,
    driver = driver_of("dual")
    driver.event(MMAP, GVA, PAGE_2M, 3)
    driver.access(GVA, STORE)
    driver.access(GVA + PAGE, STORE)
    driver.event(FORK, value=2)
    # when the parent stores to it, and gets a copy elsewhere,
    driver.access(GVA, STORE)
    # then it is walked for, and its neighbour is not.
    assert cold(driver, GVA) == 4
    assert cold(driver, GVA + PAGE) == 0
    # The child has no segment: the registers are the parent's.
    driver.event(SWITCH, pid=2)
    assert cold(driver, GVA + PAGE) == 4
    driver.event(SWITCH)
    assert cold(driver, GVA + PAGE) == 0
    check(driver.simulator)


def test_a_page_that_was_given_back_returns_to_its_place() -> None:
    driver = driver_of("dual")
    driver.event(MMAP, GVA, PAGE_2M, 3)
    driver.access(GVA, STORE)
    driver.event(MUNMAP, GVA, PAGE)
    driver.access(GVA, STORE)
    assert (own(driver, PLACED), own(driver, ESCAPED)) == (2, 0)
    assert cold(driver, GVA) == 0
    check(driver.simulator)


def test_what_is_not_used_goes_back_with_the_program() -> None:
    driver = driver_of("dual")
    counts = driver.machine.vm.frames.counts
    before = int(counts[1])
    driver.event(MMAP, GVA, 4 * PAGE_2M, 3)
    assert int(counts[1]) == before + 4 * 512
    driver.access(GVA, STORE)
    driver.event(EXEC)
    assert int(counts[1]) == before
    assert not np.any(driver.machine.vm.private.kept)  # type: ignore[attr-defined]
    check(driver.simulator)


def test_a_store_to_a_page_without_the_right_faults() -> None:
    driver = driver_of("dual")
    driver.event(MMAP, GVA, PAGE_2M, 1)
    driver.access(GVA, LOAD)
    faults = int(driver.stats["granted"])
    driver.access(GVA, STORE)  # against its mapping: granted, and counted
    assert int(driver.stats["granted"]) == faults + 1
    check(driver.simulator)


@pytest.mark.parametrize("mode", ["dual", "vmm", "native"])
def test_a_segment_of_the_host_is_not_overcommitted(mode: str) -> None:
    with pytest.raises(RunError, match="no free run of frames"):
        driver_of(mode, memory=64 << 20, host_memory=48 << 20)
    assert cold(driver_of("guest", memory=64 << 20, host_memory=48 << 20)) == 4


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_segment_of_the_host_keeps_its_frames(name: str) -> None:
    system = two_vms("direct-segment", rest=MECHANISMS[name])
    while system.step():
        check_system(system)
        first, _ = system.guests
        assert not first.started or first.held == first.frames


@pytest.mark.parametrize("name", MECHANISMS)
def test_pages_of_a_guests_segment_are_taken_as_any(name: str) -> None:
    both = "direct-segment:mode=guest,part=40"
    system = two_vms(both, both, host="40M", rest=MECHANISMS[name])
    while system.step():
        check_system(system)
    taken = [
        int(guest.vcpu.stats[0]["host_swap_outs"]) + int(guest.vm.record[0]["merged"])
        for guest in system.guests
    ]
    assert sum(taken) > 0 and all(int(guest.vcpu.own[PLACED]) for guest in system.guests)
