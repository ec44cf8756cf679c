"""Translation pass-through: no exit for what the guest writes, and no frame of others."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.one_machine import Driver
from drivers.two_vms import two_vms
from drivers.walks import GVA, PAGE

from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.memory.entries import FRAME, PS
from mmulab.mmu.report.counts import read_counts
from mmulab.mmu.trace import EXIT, FORK, LOAD, MUNMAP, STORE, SWITCH


def leaf_of(driver: Driver, gva: int) -> tuple[np.ndarray, int]:
    """The table of the leaf of an address, as hardware finds it, and the index in it."""
    table = int(driver.regs["cr3"])
    for level in range(int(driver.regs["levels"]), 1, -1):
        table = (int(driver.table(table)[gva >> 3 + 9 * level & 511]) & FRAME) >> 12
    return driver.table(table), gva >> 12 & 511


def test_tables_hold_the_frames_of_the_host_and_nothing_exits() -> None:
    driver = Driver("tpt")
    driver.run([GVA + n * PAGE for n in range(600)], [STORE] * 600)
    driver.event(FORK, value=2)
    driver.event(SWITCH, pid=2)
    driver.run([GVA + n * PAGE for n in range(600)], [STORE] * 600)
    driver.event(MUNMAP, GVA, 600 * PAGE, pid=2)
    driver.event(SWITCH)
    driver.event(EXIT, pid=2)
    assert int(driver.stats["pte_writes"]) > 1200
    assert not driver.machine.vcpu.exits.any()
    entries, index = leaf_of(driver, GVA)
    hfn = (int(entries[index]) & FRAME) >> 12
    assert driver.machine.host.frames.frame[hfn]["reverse"] > 0
    assert driver.machine.host.memory.owner[hfn] == driver.machine.vm.record[0]["id"] == 1


@pytest.mark.parametrize("where", ["page", "table", "beyond"])
def test_a_frame_of_others_is_refused_by_the_hardware(where: str) -> None:
    driver = Driver("tpt", host_memory=128 << 20)
    driver.access(GVA)
    memory, frames = driver.machine.host.memory, driver.machine.host.frames.frame
    foreign = int(np.flatnonzero(memory.owner == 0)[-1])
    assert frames[foreign]["kind"] == 0
    entries, index = leaf_of(driver, GVA)
    if where == "table":
        table = int(driver.regs["cr3"])
        entries, index = driver.table(table), GVA >> 39 & 511
    if where == "beyond":
        foreign = 1 << 30
    entries[index] = int(entries[index]) & ~FRAME | foreign << 12
    driver.flush()
    with pytest.raises(RunError, match=f"maps frame {foreign:#x} of the host, .* not its own"):
        driver.access(GVA, LOAD)


def test_each_walk_compares_an_owner() -> None:
    driver = Driver("tpt")
    driver.run([GVA + n * PAGE for n in range(5000)], [LOAD] * 5000)
    spec = driver.simulator.spec
    counted = read_counts(driver.machine.vcpu, spec.technique, [5000, 0, 0])
    assert counted.events["tag_checks"] == counted.counts["walks"] > 0


def test_a_large_page_lies_together_in_the_host() -> None:
    driver = Driver("tpt", page_size="2m", memory=32 << 20)
    driver.access(GVA)
    table = int(driver.regs["cr3"])
    for level in (4, 3):
        table = (int(driver.table(table)[GVA >> 3 + 9 * level & 511]) & FRAME) >> 12
    leaf = int(driver.table(table)[GVA >> 21 & 511])
    first = (leaf & FRAME) >> 12
    assert leaf & PS and first & 511 == 0
    assert (driver.machine.host.memory.owner[first : first + 512] == 1).all()


def test_the_host_may_neither_page_nor_merge_it() -> None:
    with pytest.raises(InputError, match="technique tpt cannot page memory out: .* host's frames"):
        two_vms("tpt")
