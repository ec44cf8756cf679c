"""Reservations of guest frames (PTEMagnet): where pages lie, what is given back, and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drivers.one_machine import Driver

from mmulab.mmu import presets, simulate
from mmulab.mmu.check import check
from mmulab.mmu.check.frames import reserved_pages
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.memory.frames import IN_USE
from mmulab.mmu.trace import EVENT, EXIT, FORK, LOAD, MMAP, MUNMAP, STORE, SWITCH, Chunk

PAGE = 4096
BASE = 0x7F00_0000_0000
GROUPS = 16


def in_turn(allocator: str) -> Driver:
    """Eight processes touch the pages of 16 groups, each a page in turn."""
    driver = Driver("nested", guest_allocator=allocator)
    for pid in range(2, 9):
        driver.event(FORK, value=pid)
    for page in range(GROUPS * 8):
        for pid in range(1, 9):
            driver.event(SWITCH, pid=pid)
            driver.access(BASE + page * PAGE, STORE)
    check(driver.simulator)
    return driver


def host_lines(driver: Driver) -> float:
    """Lines of host PTEs for the eight pages of a line of gPTEs, the mean: a line has the
    entries of eight neighbouring guest frames."""
    gfns: dict[int, set[int]] = {}
    for gva, _, entry, _ in driver.leaves():
        gfns.setdefault(gva >> 15, set()).add(entry >> 12 & (1 << 40) - 1)
    found = [len({gfn >> 3 for gfn in group}) for group in gfns.values() if len(group) == 8]
    assert len(found) == GROUPS
    return float(np.mean(found))


def test_eight_processes_in_turn_scatter_a_line_and_reservations_do_not() -> None:
    assert host_lines(in_turn("buddy")) == 8
    assert host_lines(in_turn("ptemagnet")) == 1


def test_each_page_of_a_group_has_its_place() -> None:
    driver = Driver("nested", guest_allocator="ptemagnet")
    for page in (3, 0, 7):
        driver.access(BASE + page * PAGE, STORE)
    check(driver.simulator)
    frames = {gva >> 12 & 7: entry >> 12 & (1 << 40) - 1 for gva, _, entry, _ in driver.leaves()}
    first = frames[0]
    assert first % 8 == 0 and frames == {0: first, 3: first + 3, 7: first + 7}
    assert reserved_pages(driver.machine.vm) == [first + page for page in (1, 2, 4, 5, 6)]


@pytest.mark.parametrize("start", [0, 1])
def test_unmapping_gives_back_what_is_reserved_there(start: int) -> None:
    driver = Driver("nested", guest_allocator="ptemagnet")
    driver.event(MMAP, BASE, 8 * PAGE, 3)
    driver.access(BASE, STORE)
    driver.event(MUNMAP, BASE + start * PAGE, 3 * PAGE)
    check(driver.simulator)
    kept = {each % 8 for each in reserved_pages(driver.machine.vm)}
    assert kept == set(range(1, 8)) - set(range(start, start + 3))


def test_a_process_that_ends_leaves_nothing() -> None:
    driver = Driver("nested", guest_allocator="ptemagnet")
    driver.access(BASE, LOAD)
    before = int(driver.machine.vm.frames.counts[IN_USE])
    driver.event(FORK, value=2)
    driver.event(SWITCH, pid=2)
    for group in range(20):
        driver.access(BASE + (1 << 30) + group * 8 * PAGE, STORE)
    assert len(reserved_pages(driver.machine.vm)) == 7 + 20 * 7
    driver.event(SWITCH, pid=1)
    driver.event(EXIT, pid=2)
    check(driver.simulator)
    assert int(driver.machine.vm.frames.counts[IN_USE]) == before


def test_where_memory_is_short_reservations_go_first() -> None:
    """One page of each group, half of all frames: with seven more each they could not be."""
    driver = Driver("nested", memory=8 << 20, guest_allocator="ptemagnet")
    for group in range(1024):
        driver.access(BASE + group * 8 * PAGE, STORE)
    check(driver.simulator)
    assert int(driver.stats["demand_fills"]) == 1024
    with pytest.raises(RunError, match="guest memory is too small"):
        for group in range(1024, 2048):
            driver.access(BASE + group * 8 * PAGE, STORE)


class Turns:
    """Eight processes touch 2,048 pages each, a page in turn, then read them at random."""

    name, pages = "turns", 2048
    length = 8 * pages + 16 * 10_000

    def chunks(self, columns=()):  # type: ignore[no-untyped-def]
        rng = np.random.default_rng(1)
        touched = np.repeat(np.arange(self.pages), 8)
        page = np.concatenate([touched, rng.integers(self.pages, size=16 * 10_000)])
        kind = np.full(len(page), LOAD, np.uint8)
        switches = [*range(8 * self.pages), *range(8 * self.pages, len(page), 10_000)]
        events = np.zeros(7 + len(switches), EVENT)
        events["pid"] = 1
        events["kind"][:7], events["value"][:7] = FORK, range(2, 9)
        events["position"][7:], events["kind"][7:] = switches, SWITCH
        events["pid"][7:] = 1 + np.arange(len(switches)) % 8
        yield Chunk(BASE + page * PAGE, kind, np.ones(len(page), np.uint16), events)


def test_walks_wait_less_where_processes_faulted_in_turn() -> None:
    config = Config(memory=1 << 30, caches="exact")
    results = [
        simulate.compare(
            Turns(),
            presets.load("skylake-sp"),
            replace(config, guest_allocator=name),
            "nested",
            warmup=8 * Turns.pages,
        ).results[0]
        for name in ("buddy", "ptemagnet")
    ]
    assert results[0].counts["walks"] == results[1].counts["walks"]
    buddy, reserved = (result.cycles["nested_walk"].likely for result in results)
    assert reserved < 0.8 * buddy


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="guest allocator 'slab'.*ptemagnet"):
        Config(guest_allocator="slab")
