"""What random histories of VMs on one host have found, each as a history of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from overcommit_driver import BASE, PAGE, Crowd, crowd

from mmulab.mmu.host import reclaim
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.memory.state import GPT_PAGE
from mmulab.mmu.trace import CONTENT, LOAD, STORE
from mmulab.workloads import of_vm

TECHNIQUES = ("shadow", "nested")
MIB = 1 << 20


def data_pages(machine: Crowd, vm: int = 0) -> np.ndarray:
    """gfns that are backed and hold no page table."""
    guest = machine.system.guests[vm].machine.vm
    return np.flatnonzero((guest.p2m > 0) & (guest.frames.frame["kind"] != GPT_PAGE))


def large_page(machine: Crowd) -> np.ndarray:
    """gfns of the last large host page, without page tables."""
    pages = data_pages(machine)
    return pages[pages >> 9 == pages[-1] >> 9]


# --- Stores that nobody saw -----------------------------------------------------------


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_store_after_a_fill_is_seen(technique: str) -> None:
    """The fill made the store before it forgotten, but not that the page may be stored to."""
    machine = crowd(technique)
    model = machine.models[0]
    store = (BASE * PAGE, STORE, 8)
    model.store(BASE, 1)
    machine._run(0, [store, store, store], [(2, CONTENT, 1, BASE, 1, 7)])
    machine.check()


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_store_where_another_page_was_stored_to_is_seen(technique: str) -> None:
    """A page takes the TLB slot of one with the same low bits, that has been stored to."""
    machine = crowd(technique)
    alike = [256 * n for n in range(5)]  # one more than the ways of the L1 TLB
    for page in alike:
        machine.play(("access", 0, page, 1, STORE))
    machine.play(("look", 0))
    order = [(0, STORE), (2, LOAD), (3, LOAD), (4, LOAD), (1, LOAD), (1, STORE)]
    for which in (0, 1):
        machine.models[0].store(BASE + alike[which], 100 + which)
    machine._run(0, [((BASE + alike[which]) * PAGE, kind, 8) for which, kind in order])
    machine.check()


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_stores_to_a_large_page_are_seen_for_each_frame(technique: str) -> None:
    """One TLB entry serves 512 frames; two of them had one prediction."""
    machine = crowd(technique, page_size="2m", host_page_size="2m")
    machine.play(("access", 0, 0, 1, STORE))
    machine.play(("look", 0))
    pages = [BASE + 3, BASE + 3 + 256]
    for number, page in enumerate(pages, start=100):
        machine.models[0].store(page, number)
    machine._run(0, [(page * PAGE, STORE, 8) for page in pages])
    machine.check()


# --- Pages that the host takes --------------------------------------------------------


@pytest.mark.parametrize("victims", ["clock", "random", "shares"])
def test_a_reservation_that_is_not_reached_yet_is_kept(victims: str) -> None:
    """A negative number of pages to spare was taken for all but so many."""
    machine = crowd("nested", host={"victims": victims}, reservation=2 * MIB)
    machine.play(("access", 0, 0, 300, STORE))
    machine.play(("access", 1, 0, 900, STORE))
    first, second = machine.system.guests
    held = first.held
    assert held < first.reservation < second.held
    machine.play(("take", 0, 10))
    machine.play(("free_up", 400))
    assert first.held == held and second.held >= second.reservation
    assert int(second.machine.core.stats[0]["host_swap_outs"]) > 200


def test_a_swap_device_that_was_full_is_used_again() -> None:
    machine = crowd("nested", host={"swap": 1 * MIB})
    machine.play(("access", 0, 0, 900, STORE))
    machine.play(("free_up", 1200))
    swap = machine.system.host.swap
    assert int(swap.record[0]["used"]) == len(swap.references)
    machine.play(("exec", 0))
    machine.play(("report", 0, 0))
    assert int(swap.record[0]["used"]) == 0
    machine.play(("access", 0, 0, 900, STORE))
    machine.play(("free_up", 1200))
    assert int(swap.record[0]["used"]) == len(swap.references)


@pytest.mark.parametrize("swap", [0, 1])
def test_pages_that_need_no_block_leave_where_there_is_none(swap: int) -> None:
    machine = crowd("nested", host={"swap": swap * MIB}, map_disk=True)
    machine.play(("access", 0, 0, 300, STORE))
    machine.play(("content", 0, 300, 500, 1 << 62))
    machine.play(("free_up", 1280))
    stats = machine.system.guests[0].machine.core.stats[0]
    assert int(stats["host_drops"]) == 500
    assert int(stats["host_swap_outs"]) == swap * 256


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("page_size", ["4k", "2m"])
def test_a_large_page_in_use_has_its_second_chance(technique: str, page_size: str) -> None:
    """Asking for the first 4 KiB of it cleared what the second was asked for."""
    machine = crowd(technique, page_size=page_size, host_page_size="2m")
    machine.play(("access", 0, 7, 1, STORE))
    pages = large_page(machine)
    assert len(pages) > 500
    assert reclaim.page_out(machine.system.guests[0].machine, pages, True) == 0
    assert reclaim.page_out(machine.system.guests[0].machine, pages, True) == len(pages)
    machine.check()


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_use_of_any_part_of_a_large_page_is_sampled(technique: str) -> None:
    machine = crowd(technique, page_size="2m", host_page_size="2m")
    machine.play(("access", 0, 7, 1, STORE))
    guest = machine.system.guests[0].machine
    pages = large_page(machine)[100:110]
    reclaim.watch(guest, pages)
    assert reclaim.reached(guest, pages) == 0
    machine.play(("access", 0, 7, 1, LOAD))
    assert reclaim.reached(guest, pages) == 10


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_page_table_where_a_page_was_paged_out_begins_with_zeros(technique: str) -> None:
    """The guest's frame kept what it had held, and its host frame did not."""
    machine = crowd(technique)
    machine.play(("access", 0, 0, 30, STORE))
    machine.play(("exec", 0))
    machine.play(("take", 0, 500))
    machine.play(("fork", 0))
    machine.play(("access", 0, 0, 600, LOAD))
    machine.play(("exec", 0))


# --- VMs that end ---------------------------------------------------------------------


def test_a_vm_that_has_ended_its_work_is_switched_off_in_time() -> None:
    short = VMSettings("short", "gups:size=256K,accesses=1k", 2 * MIB, stop=0.002)
    long = replace(short, name="long", workload="gups:size=256K,accesses=4M", stop=0.0)
    system = System(HostSettings(8 * MIB, quantum=1000), (short, long), 1, of_vm)
    while system.step():
        pass
    assert system.now > 0.002
    assert [guest.off for guest in system.guests] == [True, False]
    assert system.guests[0].ended_at < 0.002


def test_ksmd_forgets_a_vm_that_is_off() -> None:
    machine = crowd("nested", count=3, ksm={"use_zero_pages": False})
    for vm in (0, 1, 2):
        machine.play(("access", vm, 0, 100, STORE))
    for _ in range(9):
        machine.play(("scan", 5000))
    before = machine.ksm.counters(machine.system)
    assert before["pages_unshared"] == 300 and before["pages_volatile"] == 0
    machine.play(("inflate", 0, 100))
    machine.play(("off", 0))
    assert machine.balloon.counters(machine.system)["frames"] == 0
    machine.play(("scan", 5000))
    after = machine.ksm.counters(machine.system)
    assert after["pages_unshared"] == 200 and after["pages_volatile"] == 0
    assert int(machine.ksm.trees.scan[0]["rmap_items"]) == 200


# --- Tables of ksmd that could fill up, and then a look-up would never end ------------


def test_more_tags_than_the_stable_table_has_places() -> None:
    machine = crowd("nested", host={"memory": 2 * MIB}, memory=MIB)
    places = len(machine.ksm.trees.stable)
    for start in range(1, 2 * places, 80):
        for page in range(80):
            machine._content(0, 2 * page, 2, start + page)
        machine._scan(5000)
        machine._scan(5000)
        machine._scan(5000)
    assert int(machine.ksm.trees.scan[0]["merges"]) > 2 * places
    machine.check()
    assert machine.ksm.counters(machine.system)["pages_shared"] == 80


def test_more_pages_in_one_scan_than_host_frames() -> None:
    """What the host pages out while a scan goes on leaves room for others to be scanned."""
    machine = crowd("nested", count=6, host={"memory": MIB}, ksm={"method": "hints"}, memory=MIB)
    for vm in range(6):
        machine._access(vm, 0, 150, STORE)
        machine._scan(150)  # not yet the end of this scan
        machine.system.free_up(230)
    machine.check()
    assert int(machine.ksm.trees.scan[0]["pages_unshared"]) > 512
