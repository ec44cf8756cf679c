"""Ingens: which regions are promoted, in which order, and for whom."""

from __future__ import annotations

import pytest
from drivers.huge_pages import BASE, PAGE, SPAN, HugeGuest

from mmulab.mmu.check import check
from mmulab.mmu.trace import FORK, LOAD, MMAP, STORE, SWITCH

SLEEP = 8000
ALONE = f"ingens:scan_sleep_millisecs={SLEEP}"


@pytest.mark.parametrize(("threshold", "least"), [(90, 460), (50, 256), (100, 512)])
def test_a_region_is_promoted_where_enough_of_it_is_used(threshold: int, least: int) -> None:
    """As its kernel counts: threshold * 512 // 100, which of 90 per cent leaves 0.8 of a page."""
    guest = HugeGuest(f"{ALONE},threshold={threshold}")
    touched = (1, least - 1, least, 512)
    guest.map(len(touched))
    for region, pages in enumerate(touched):
        guest.touch(pages, region)
    assert guest.huge() == []  # first touches get 4 KiB
    guest.wait(SLEEP)
    promoted = [at for at, pages in enumerate(touched) if pages >= least]
    assert guest.huge() == promoted
    assert guest.counts("thp_filled") == [sum(512 - touched[at] for at in promoted)]


def test_what_waits_is_promoted_at_once_and_what_is_found_later_in_batches() -> None:
    """Twelve regions were filled in their mapping, the thirteenth before it had one."""
    guest = HugeGuest(f"{ALONE},pages_to_scan=512", memory=128 << 20)
    guest.event(MMAP, BASE + 12 * SPAN, SPAN // 2, 3)
    guest.run([BASE + 12 * SPAN + page * PAGE for page in range(256)], [STORE] * 256)
    guest.event(MMAP, BASE + 12 * SPAN + SPAN // 2, SPAN // 2, 3)  # now it is a region
    guest.map(12)
    for region in range(12):
        guest.touch(460, region)
    guest.run([BASE + 12 * SPAN + page * PAGE for page in range(256, 459)], [STORE] * 203)
    assert guest.counts("thp_wakes") == [0]
    guest.wait(SLEEP - 256 - 12 * 460 - 203)
    assert guest.huge() == list(range(12))
    guest.touch(1, 0, LOAD)
    guest.run([BASE + 12 * SPAN + 459 * PAGE], [STORE])  # it waits, too
    guest.wait(SLEEP)
    assert guest.huge() == list(range(13))


@pytest.mark.parametrize("fair", [True, False])
def test_a_process_that_uses_its_huge_pages_gets_the_next(fair: bool) -> None:
    """Both have two huge pages, and a region that was used before its mapping covered it. Process
    1 uses its pages, process 2 does not: need / (2 * 50) beside need / (2 * 100). Without fairness
    the scan goes on in process 2, where it was."""
    guest = HugeGuest(
        f"{ALONE},threshold=50,pages_to_scan=1,sample_sleep_millisecs=3000,"
        f"fair={'on' if fair else 'off'}",
        memory=128 << 20,
    )
    guest.event(FORK, value=2)
    for pid in (1, 2):
        guest.event(SWITCH, pid=pid)
        guest.map(2)
        for region in range(2):
            guest.touch(256, region)
    guest.wait(SLEEP - 4 * 256)
    assert guest.huge() == [0, 1]
    grown = BASE + 4 * SPAN
    for pid in (2, 1):
        guest.event(SWITCH, pid=pid)
        guest.event(MMAP, grown, 400 * PAGE, 3, pid=pid)
        guest.run([grown + page * PAGE for page in range(300)], [STORE] * 300)
        guest.event(MMAP, grown + 400 * PAGE, 112 * PAGE, 3, pid=pid)
    guest.run([BASE, BASE + SPAN] * 3700, [LOAD] * 7400)
    check(guest.simulator)
    assert guest.counts("thp_collapse_alloc") == [5]
    assert guest.huge() == ([0, 1, 4] if fair else [0, 1])
    guest.event(SWITCH, pid=2)
    assert guest.huge() == ([0, 1] if fair else [0, 1, 4])
