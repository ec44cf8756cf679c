"""ASAP: which references are waited for."""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers.dumped import PAGES, guest_lines, host_lines, write, write_touches
from drivers.one_machine import Driver
from drivers.walks import GVA, LARGE_MEMORY

import mmulab
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.report.counts import hidden_of, references_of
from mmulab.mmu.trace import MPROTECT, STORE


def hidden_when_warm(size: str) -> tuple[int, int]:
    """(references, those hidden) of a walk whose lines are all in the first cache."""
    driver = Driver("asap", page_size=size, host_page_size=size, memory=LARGE_MEMORY,
                    walk_caches=False)  # fmt: skip
    for _ in range(3):
        driver.flush()
        before = hidden_of(driver.machine.vcpu).sum()
        references = driver.access(GVA)
    return references, int(hidden_of(driver.machine.vcpu).sum() - before)


@pytest.mark.parametrize(
    ("size", "references", "hidden"),
    [
        ("4k", 24, 5 * 2),  # t = max(s1 + s2, s3, s4) of each of five host walks
        ("2m", 15, 4 * 1),  # t = max(s1 + s2, s3) of four
    ],
)
def test_the_lower_levels_of_a_host_walk_are_hidden(
    size: str, references: int, hidden: int
) -> None:
    assert hidden_when_warm(size) == (references, hidden)


def test_entries_of_the_guest_overlap_where_no_host_walk_comes_between() -> None:
    # Given a nested TLB that has the guest's tables, and no other walk cache,
    driver = Driver("asap", memory=64 << 20)
    core = driver.machine.core
    for number, name in enumerate(driver.simulator.units):
        if name.endswith(("pml4e", "pdpte", "pde")):
            core.route["unit"][core.route["unit"] == number] = NIL
    driver.access(GVA, STORE)
    # when a page alone has left the TLB,
    driver.event(MPROTECT, GVA, 4096, 1)
    before = hidden_of(driver.machine.vcpu).sum()
    # then its four entries are one step, the walk of the page another: of each two are hidden.
    assert driver.access(GVA) == 8
    assert hidden_of(driver.machine.vcpu).sum() - before == 4


def test_a_walk_that_reaches_further_is_waited_for(tmp_path: Path) -> None:
    """Where the host's leaf comes from L2, 14 cycles, and the rest from L1, at 4: max(8, 4, 14)."""
    lines = guest_lines()
    comparison = mmulab.compare(
        write_touches(tmp_path / "touches"), format="plain", techniques="asap",
        preset="dmt-artifact", walk_caches=False, caches="off", memory="2G", warmup=4 * PAGES,
        guest_tables=str(write(tmp_path / "guest", lines)),
        host_tables=str(write(tmp_path / "host", host_lines(lines))),
    )  # fmt: skip
    found = {each["site"]: each for each in comparison["asap"].references}
    leaf, third = found["nL1 of the page"], found["nL2 of the page"]
    first, second = found["nL4 of the page"], found["nL3 of the page"]
    assert sum(leaf["served_by"][2:]) == sum(third["served_by"][2:]) == 0
    waited = {
        name: each["served_by"][1] - each["hidden"][1]
        for name, each in (("leaf", leaf), ("third", third))
    }
    beyond = sum(waited.values())
    assert waited["leaf"] > 0
    # Else the first two levels are waited for, and nothing beside them.
    assert first["hidden"] == second["hidden"] == [beyond, 0, 0, 0]
    assert leaf["hidden"][0] == leaf["served_by"][0]
    assert third["hidden"][0] == third["served_by"][0]


def test_all_references_are_counted() -> None:
    driver = Driver("asap", memory=64 << 20, walk_caches=False)
    driver.access(GVA)
    driver.flush()
    before = references_of(driver.machine.vcpu).sum()
    assert driver.access(GVA) == 24
    assert references_of(driver.machine.vcpu).sum() - before == 24
