"""Found by random histories: pages that the host takes."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.crowd import Crowd, crowd

from mmulab.mmu.host import reclaim
from mmulab.mmu.memory.state import GPT_PAGE
from mmulab.mmu.trace import LOAD, STORE

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
    assert int(second.machine.vcpu.stats[0]["host_swap_outs"]) > 200


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
    stats = machine.system.guests[0].machine.vcpu.stats[0]
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
