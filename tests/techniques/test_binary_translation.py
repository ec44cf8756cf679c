"""Binary translation: when a site that writes gPTEs becomes a call-out, and when no more."""

from __future__ import annotations

import pytest
from drivers.one_machine import Driver
from drivers.walks import GVA, PAGE

import mmulab
from mmulab.mmu.check import check
from mmulab.mmu.memory.entries import RW, A, D, P
from mmulab.mmu.techniques.binary_translation import (
    CALLOUTS,
    CHANGE,
    CLEAR,
    IDLE_CALLOUTS,
    REVERTED,
    SET,
    TRANSLATED,
    WRITE_PROTECT,
    site_of,
)
from mmulab.mmu.techniques.shadow.hooks import PTE_WRITE
from mmulab.mmu.trace import LOAD, MMAP, MUNMAP

READ_WRITE = 3


def counted(driver: Driver) -> tuple[int, ...]:
    """Traps and what came of them, since this was last asked."""
    own, exits = driver.machine.vcpu.own, driver.machine.vcpu.exits
    names = (CALLOUTS, IDLE_CALLOUTS, TRANSLATED, REVERTED)
    found = (int(exits[PTE_WRITE]), *(int(own[name]) for name in names))
    own[:] = exits[:] = 0
    return found


def mapped(traps: int, idle: int, pages: int = 64) -> Driver:
    """A machine with a shadowed leaf table, of which a page has been used; no site has trapped."""
    driver = Driver(f"binary-translation:traps={traps},idle={idle}")
    driver.event(MMAP, GVA, pages * PAGE, READ_WRITE)
    driver.access(GVA, LOAD)
    driver.machine.vm.private.site[:] = 0  # type: ignore[attr-defined]
    counted(driver)
    return driver


def test_sites_are_told_by_what_they_do_to_an_entry() -> None:
    page, other = 5 << 12 | P | RW | A, 6 << 12 | P | RW | A
    site = getattr(site_of, "py_func", site_of)
    assert site(0, page) == SET
    assert site(page, 0) == CLEAR
    assert site(page | D, page & ~RW) == WRITE_PROTECT
    assert site(page & ~RW, page) == CHANGE
    assert site(page & ~RW, other) == CHANGE


@pytest.mark.parametrize("traps", [1, 3, 20])
def test_a_site_becomes_a_call_out_after_so_many_traps(traps: int) -> None:
    # Given a site that sets gPTEs of a shadowed table, when it runs k times,
    driver = mapped(traps, idle=1000)
    k = 12
    for page in range(1, 1 + k):
        driver.access(GVA + page * PAGE, LOAD)
    # then the first `traps` of its writes trap, and the others call out.
    expected = min(k, traps)
    assert counted(driver) == (expected, k - expected, 0, int(k >= traps), 0)
    check(driver.simulator)


def test_each_site_is_translated_for_itself() -> None:
    # Given a site that is a call-out, when another one writes,
    driver = mapped(traps=3, idle=1000)
    for page in range(1, 9):
        driver.access(GVA + page * PAGE, LOAD)
    counted(driver)
    driver.event(MUNMAP, GVA + 5 * PAGE, 2 * PAGE)
    # then its writes trap.
    assert counted(driver) == (2, 0, 0, 0, 0)
    check(driver.simulator)


def test_a_site_that_finds_no_shadow_is_translated_back() -> None:
    # Given a call-out, when it sets entries of a new table, which no walk has used yet,
    driver = mapped(traps=1, idle=2)
    driver.access(GVA + PAGE, LOAD)
    assert counted(driver) == (1, 0, 0, 1, 0)
    # (a page elsewhere: an entry of each new table below the root and its leaf, the root's last)
    driver.access(GVA + (1 << 39), LOAD)
    # then two such call-outs in a row make it a plain store: the next write traps anew.
    traps, callouts, idle, translated, reverted = counted(driver)
    assert reverted == 1
    assert idle == 2
    driver.access(GVA + 2 * PAGE, LOAD)
    assert counted(driver)[0] + traps == 1
    check(driver.simulator)


def test_call_outs_are_what_makes_it_cheaper() -> None:
    # On a program that changes its tables all the time, traps cost more than call-outs.
    of_each = mmulab.compare(
        "microchurn:heap=256K,accesses=200K",
        techniques=f"binary-translation,binary-translation:traps={1 << 40},shadow:policy=trap",
        preset="skylake-sp",
        memory="1G",
    ).to_dict()["results"]
    writes = [one["cycles"]["exit_pte"]["likely"] for one in of_each]
    assert writes[0] < writes[1] / 3
    assert of_each[0]["references"] == of_each[1]["references"]
