"""References that page walks make, against the arithmetic of the architecture.

A walk of g guest levels on h host levels reads (g + 1)(h + 1) - 1 entries: each of the g
guest tables is located by h references and read by one, and the page itself is located
by h more (Bhargava et al., ASPLOS 2008). A leaf one level up takes 1 off its dimension.
"""

from __future__ import annotations

import pytest
from drivers.one_machine import Driver
from drivers.walks import DEPTH_OFF, GVA, LARGE_MEMORY, PAGE, cold

from mmulab.mmu.hardware.walks.sites import STEP
from mmulab.mmu.report.counts import references_of
from mmulab.mmu.trace import LOAD


def two_dimensional(g: int, h: int) -> int:
    return (g + 1) * (h + 1) - 1


@pytest.mark.parametrize("technique", ["native", "shadow"])
@pytest.mark.parametrize("levels", [4, 5])
def test_one_dimension_reads_an_entry_a_level(technique, levels):
    # Given a mapped page and no walk caches, when it is read with a cold TLB,
    references = cold(Driver(technique, levels=levels, walk_caches=False))
    # then each level is read once.
    assert references == levels


@pytest.mark.parametrize(
    ("levels", "host_levels", "expected"), [(4, 4, 24), (4, 5, 29), (5, 4, 29), (5, 5, 35)]
)
def test_two_dimensions(levels, host_levels, expected):
    driver = Driver("nested", levels=levels, host_levels=host_levels, walk_caches=False)
    assert cold(driver) == expected == two_dimensional(levels, host_levels)


def test_references_by_guest_and_host_level():
    # Given a nested machine, when a page is read cold,
    driver = Driver("nested", walk_caches=False)
    driver.access(GVA)
    driver.flush()
    driver.simulator.reset_counters()
    driver.access(GVA)
    # then each guest table is read once and located by one reference at each host level,
    # and so is the page (guest level 0).
    counts = references_of(driver.machine.vcpu).sum(axis=1).reshape(-1, STEP)
    assert counts[1:5, :5].tolist() == [[1] * 5] * 4
    assert counts[0, :5].tolist() == [0, 1, 1, 1, 1]
    assert counts.sum() == 24


@pytest.mark.parametrize("page_size", ["4k", "2m", "1g"])
@pytest.mark.parametrize("levels", [4, 5])
def test_large_leaves_shorten_one_dimension(page_size, levels):
    driver = Driver(
        "native", levels=levels, page_size=page_size, memory=LARGE_MEMORY, walk_caches=False
    )
    assert cold(driver) == levels - DEPTH_OFF[page_size]


@pytest.mark.parametrize("page_size", ["4k", "2m", "1g"])
@pytest.mark.parametrize("host_page_size", ["4k", "2m", "1g"])
def test_large_leaves_shorten_their_own_dimension(page_size, host_page_size):
    # Host pages of a size back guest tables as well as data.
    driver = Driver(
        "nested",
        page_size=page_size,
        host_page_size=host_page_size,
        memory=LARGE_MEMORY,
        walk_caches=False,
    )
    g, h = 4 - DEPTH_OFF[page_size], 4 - DEPTH_OFF[host_page_size]
    assert cold(driver) == two_dimensional(g, h)


@pytest.mark.parametrize("page_size", ["4k", "2m", "1g"])
@pytest.mark.parametrize("host_page_size", ["4k", "2m", "1g"])
def test_shadow_leaf_is_the_smaller_of_both(page_size, host_page_size):
    driver = Driver(
        "shadow",
        page_size=page_size,
        host_page_size=host_page_size,
        memory=LARGE_MEMORY,
        walk_caches=False,
    )
    assert cold(driver) == 4 - min(DEPTH_OFF[page_size], DEPTH_OFF[host_page_size])


def test_first_touch_native():
    # Given an empty address space, the first walk reads the PML4E and stops; when the guest
    # has mapped the page, the access begins again and reads all four.
    assert Driver("native", walk_caches=False).access(GVA) == 1 + 4


def test_first_touch_nested():
    # The first walk locates the PML4 page (4 references), reads the PML4E and stops. The
    # guest kernel's own writes have backed the new tables and the zeroed page by then.
    assert Driver("nested", walk_caches=False).access(GVA) == 4 + 1 + 24


@pytest.mark.parametrize(("technique", "one_walk"), [("native", 4), ("shadow", 4), ("nested", 24)])
def test_straddling_access_translates_both_pages(technique, one_walk):
    # Given two mapped pages, when eight bytes are read four before the page boundary,
    driver = Driver(technique, walk_caches=False)
    references = cold(driver, GVA + PAGE - 4, LOAD, 8)
    # then both pages are walked for,
    assert references == 2 * one_walk
    # and both are in the TLB; an access that ends at the boundary needs only one of them.
    assert driver.access(GVA) == driver.access(GVA + PAGE) == 0
    driver.flush()
    assert driver.access(GVA + PAGE - 8, LOAD, 8) == one_walk
