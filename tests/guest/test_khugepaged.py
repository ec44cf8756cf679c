"""Linux's transparent huge pages: which regions khugepaged promotes, when, and what that does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drivers.huge_pages import BASE, PAGE, SPAN, HugeGuest

from mmulab import workloads
from mmulab.mmu import presets, simulate
from mmulab.mmu.check import check
from mmulab.mmu.config import Config, guest_thp
from mmulab.mmu.errors import InputError
from mmulab.mmu.memory.entries import A, D
from mmulab.mmu.memory.frames import IN_USE
from mmulab.mmu.trace import FORK, LOAD, MMAP, MUNMAP, STORE, SWITCH

ALONE = "linux:at_fault=off,scan_sleep_millisecs=4000"  # khugepaged, without faults
TOUCHED = (1, 256, 448, 501, 502, 511, 512)


@pytest.mark.parametrize("most", [0, 10, 64, 511])
def test_a_region_is_promoted_where_few_enough_of_its_entries_are_empty(most: int) -> None:
    guest = HugeGuest(f"{ALONE},max_ptes_none={most}")
    guest.map(len(TOUCHED))
    for region, pages in enumerate(TOUCHED):
        guest.touch(pages, region)
    guest.wait(4000)
    promoted = [at for at, pages in enumerate(TOUCHED) if 512 - pages <= most]
    assert guest.huge() == promoted
    passed_over, filled = guest.counts("thp_scan_exceed_none_pte", "thp_filled")
    assert passed_over == len(TOUCHED) - len(promoted)
    assert filled == sum(512 - TOUCHED[at] for at in promoted)


@pytest.mark.parametrize("technique", ["native", "nested"])
@pytest.mark.parametrize("pages", [1, 300, 512])
def test_what_a_promotion_takes(technique: str, pages: int) -> None:
    guest = HugeGuest(ALONE, technique)
    guest.map()
    guest.touch(pages)
    guest.touch(1, -1)  # where time goes by
    names = ("pages_copied", "pages_zeroed", "pte_writes", "cr3_loads", "invlpgs")
    before = np.array(guest.counts(*names))
    used = int(guest.machine.vm.frames.counts[IN_USE])
    guest.wait(4000)
    # The entry of level 2 is cleared and written, the others cleared; one flush of everything.
    assert (guest.counts(*names) - before).tolist() == [pages, 512 - pages, pages + 2, 1, 0]
    grown = int(guest.machine.vm.frames.counts[IN_USE]) - used
    assert grown == 512 - pages - 1  # the table has gone
    ((_, _, entry, _),) = (leaf for leaf in guest.leaves() if leaf[1] == 2)
    assert entry & A and entry & D


@pytest.mark.parametrize(("batch", "most"), [(4096, 8), (512, 1), (514, 2), (1, 1)])
def test_a_batch_looks_at_so_many_pages(batch: int, most: int) -> None:
    """Each promotion is the end of a walk through a process, which counts 1: 8 * 513 >= 4096."""
    guest = HugeGuest(f"{ALONE},pages_to_scan={batch}", memory=128 << 20)
    guest.map(20)
    for region in range(20):
        guest.touch(1, region)
    guest.wait(4000 - 20)
    for wakes in range(1, 4):
        assert guest.huge() == list(range(min(20, most * wakes)))
        assert guest.counts("thp_wakes") == [wakes]
        guest.wait(4000)


def test_a_scan_goes_round_and_counts() -> None:
    guest = HugeGuest(f"{ALONE},max_ptes_none=0")
    guest.map(3)
    for region in range(3):
        guest.touch(10, region)
    guest.wait(4 * 4000)
    wakes, scans, scanned = guest.counts("thp_wakes", "thp_full_scans", "thp_scanned")
    assert (wakes, scanned) == (4, 4 * 3 * 512) and scans >= 4


def test_shared_pages_are_copied_up_to_a_number() -> None:
    """A hundred pages are shared with a child, and the parent has 29 of its own. The child's are
    as many, and none writable."""
    for most, promoted in ((99, []), (100, [0])):
        guest = HugeGuest(f"{ALONE},max_ptes_shared={most}")
        guest.map()
        guest.touch(100)
        guest.event(FORK, value=2)
        guest.run([BASE + page * PAGE for page in range(100, 129)], [STORE] * 29)
        guest.wait(4000)
        assert guest.huge() == promoted
        assert guest.counts("thp_scan_exceed_share_pte") == [0 if promoted else 2]
        assert guest.counts("pages_copied") == [129 if promoted else 0]
        guest.event(SWITCH, pid=2)
        assert len(list(guest.leaves())) == 100
        check(guest.simulator)


def test_what_nobody_writes_or_uses_stays() -> None:
    guest = HugeGuest(ALONE)
    guest.map(1, prot=1)
    guest.map(1, at=2)
    guest.touch(9, 0, LOAD)
    guest.touch(9, 2)
    (table,) = {frame for frame, gva in tables(guest) if gva == BASE + 2 * SPAN}
    guest.table(table)[:9] &= ~A
    guest.flush()
    guest.wait(4000)
    assert guest.huge() == []
    assert guest.counts("thp_scan_read_only", "thp_scan_unreferenced") == [1, 1]


def tables(guest: HugeGuest) -> set[tuple[int, int]]:
    """(host frame, first address) of each table of level 1 of the current process."""
    found = set()

    def walk(frame: int, level: int, start: int) -> None:
        entries = guest.table(frame)
        for index in np.flatnonzero(entries & 1).tolist():
            below = int(entries[index]) >> 12 & (1 << 40) - 1
            gva = start | index << (3 + 9 * level)
            if level == 2:
                found.add((below, gva))
            else:
                walk(below, level - 1, gva)

    walk(int(guest.process()["cr3"]), 4, 0)
    return found


def test_where_no_block_is_free_it_sleeps_longer() -> None:
    guest = HugeGuest(f"{ALONE},alloc_sleep_millisecs=30000", memory=8 << 20)
    guest.map(3)
    guest.touch(400, 0)
    guest.touch(400, 1)
    guest.touch(400, 2)
    guest.wait(4000 + 2 * 30_000)
    wakes, failed = guest.counts("thp_wakes", "thp_collapse_alloc_failed")
    assert guest.huge() == [] and failed == wakes
    assert wakes == 3  # at 4 s, 34 s, where it gives up, and 38 s


def test_a_mapping_that_is_cut_splits_its_page() -> None:
    guest = HugeGuest(ALONE)
    guest.map()
    guest.touch(512)
    guest.wait(4000)
    guest.event(MUNMAP, BASE + 100 * PAGE, PAGE)
    guest.wait(8000)
    assert guest.huge() == [] and guest.counts("thp_split_pmd") == [1]
    assert len(list(guest.leaves())) == 511 + 1  # and one where time goes by


@pytest.mark.parametrize(
    ("policy", "at_first", "later"),
    [
        ("linux:khugepaged=off", [0, 1], [0, 1]),
        ("linux:enabled=madvise,scan_sleep_millisecs=100", [1], [1]),
        ("linux:enabled=madvise,at_fault=off,scan_sleep_millisecs=100", [1], [1]),
        ("linux:enabled=never,scan_sleep_millisecs=100", [1], [1]),
        ("linux:scan_sleep_millisecs=100", [0, 1], [0, 1, 2]),
    ],
)
def test_who_gets_huge_pages(policy: str, at_first: list[int], later: list[int]) -> None:
    """A mapping that asks for nothing, one for 2 MiB, one that grows to a region."""
    guest = HugeGuest(policy)
    guest.map()
    guest.map(at=1, asked=2)
    guest.event(MMAP, BASE + 2 * SPAN, SPAN // 2, 3)
    for region in range(3):
        guest.touch(1, region)
    assert guest.huge() == at_first
    guest.event(MMAP, BASE + 2 * SPAN + SPAN // 2, SPAN // 2, 3)
    guest.wait(300)
    assert guest.huge() == later


def test_promotions_come_when_they_do_whoever_looks() -> None:
    trace = workloads.resolve("gups:size=8M,accesses=150K")
    config = Config(
        memory=256 << 20, page_size="thp", caches="off",
        guest_thp="linux:at_fault=off,scan_sleep_millisecs=0.1",
    )  # fmt: skip
    seen = [
        simulate.compare(trace, presets.load("skylake-sp"), config, "native", check=check)
        for check in (False, True)
    ]
    assert seen[0].results[0].counts == seen[1].results[0].counts
    assert seen[0].results[0].counts["thp_collapse_alloc"] > 0
    assert seen[0].warnings == seen[1].warnings
    late = simulate.compare(
        trace, presets.load("skylake-sp"), replace(config, guest_thp="linux"), "native"
    )
    assert any("sleeps for 1,000,000,000 accesses" in said for said in late.warnings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("linus", "did you mean 'linux'"),
        ("linux:max_ptes_nonne=3", "did you mean 'max_ptes_none'"),
        ("linux:max_ptes_none=512", "expected 0 to 511"),
        ("linux:max_ptes_none=1.5", "expected a whole number"),
        ("linux:pages_to_scan=many", "expected a number"),
        ("linux:enabled=sometimes", "known: always, madvise, never"),
        ("linux:max_ptes_none=1,max_ptes_none=2", "once"),
        ("never:pages_to_scan=1", "unknown parameter"),
    ],
)
def test_a_policy_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        guest_thp.parse(text)


def test_a_policy_needs_the_page_size() -> None:
    with pytest.raises(InputError, match="guest pages are 4k; set page size thp"):
        Config(guest_thp="linux")
