"""The model of Linux's KSM against what LTP and the kernel's selftests expect."""

from __future__ import annotations

import pytest
from drivers import ksm_scenarios
from models.linux_ksm import KSM

# --- Linux Test Project, testcases/kernel/mem/ksm -------------------------------------


@pytest.mark.parametrize(("pages", "processes"), [(256, 3), (64, 4), (16, 3), (1, 3)])
def test_ltp_ksm01(pages, processes):
    """ksm01 to ksm04 (ksm_test.h, create_same_memory): what they expect after each phase.

    ksm02 binds the memory to a NUMA node and ksm03, ksm04 limit it: same expectations. A process
    has size * 1 MiB / page size pages: LTP's -s 1 is 256.
    """
    total = pages * processes
    records = ksm_scenarios.replay(ksm_scenarios.ltp_ksm01(pages, processes))
    names = ("pages_shared", "pages_sharing", "pages_volatile", "pages_unshared")
    got = [tuple(record[name] for name in names) for record in records]
    phases = [(2, total - 2, 0, 0), (3, total - 3, 0, 0), (1, total - 1, 0, 0),
              (1, total - 2, 0, 1), (0, 0, 0, 0)]  # fmt: skip
    if pages == 1:
        # With one page each, contents that one process has alone stay unshared: c, a, a; c, b, a.
        phases[0], phases[1] = (1, 1, 0, 1), (0, 0, 0, 3)
    assert got == phases


@pytest.mark.parametrize("pages", [2, 100])
def test_ltp_ksm06_on_one_node(pages):
    """ksm06 fills every page alike and expects one page shared by all the others."""
    ksm = KSM([10] * pages, max_page_sharing=pages, smart_scan=False)
    for _ in range(3):
        ksm.full_scan()
    assert (ksm.pages_shared, ksm.pages_sharing) == (1, pages - 1)
    assert (ksm.pages_volatile, ksm.pages_unshared) == (0, 0)


def test_ltp_ksm07():
    """ksm07: of a page that is alone, smart scan skips at least half of the scans."""
    ksm = KSM(["a"])
    for scans in range(1, 200):
        ksm.full_scan()
        assert ksm.pages_scanned + ksm.pages_skipped == ksm.full_scans == scans
        if scans >= 16:
            assert ksm.pages_skipped >= scans * 50 // 100
    # From the tenth on, one visit in nine.
    assert 199 // 9 < ksm.pages_scanned < 199 // 9 + 9


# --- Linux, tools/testing/selftests/mm ------------------------------------------------


def selftest_count(duplicates: int, most: int) -> tuple[int, int]:
    """pages_shared, pages_sharing that ksm_tests.c accepts (assert_ksm_pages_count)."""
    if duplicates % most in (0, 1):
        shared = duplicates // most
        return shared, shared * (most - 1)
    shared = duplicates // most + 1
    return shared, duplicates - shared


@pytest.mark.parametrize("most", [2, 3, 7, 10, 256])
@pytest.mark.parametrize("pages", [2, 3, 10, 11, 20, 31, 300])
def test_selftest_page_merge(pages, most):
    """ksm_tests.c, check_ksm_merge: two full scans after the pages were written alike."""
    ksm = KSM(["*"] * pages, max_page_sharing=most)
    ksm.full_scan()
    assert ksm.pages_shared == 0
    ksm.full_scan()
    assert (ksm.pages_shared, ksm.pages_sharing) == selftest_count(pages, most)


def test_selftest_unmerge():
    """ksm_tests.c, check_ksm_unmerge: both pages written differently, one scan."""
    ksm = KSM(["*", "*"])
    for _ in range(2):
        ksm.full_scan()
    assert (ksm.pages_shared, ksm.pages_sharing) == selftest_count(2, 256)
    ksm.write(0, "-")
    ksm.write(1, "+")
    assert ksm.pages_shared == 1  # the counters lag behind the frames
    assert ksm.frames() == 2
    ksm.full_scan()
    assert (ksm.pages_shared, ksm.pages_sharing) == selftest_count(0, 256) == (0, 0)


@pytest.mark.parametrize("use_zero_pages", [True, False])
def test_selftest_zero_page_merge(use_zero_pages):
    """ksm_tests.c, check_ksm_zero_page_merge: nothing counts as shared with the zero page."""
    ksm = KSM([0] * 10, use_zero_pages=use_zero_pages)
    for _ in range(2):
        ksm.full_scan()
    expected = selftest_count(0 if use_zero_pages else 10, 256)
    assert (ksm.pages_shared, ksm.pages_sharing) == expected
    assert ksm.ksm_zero_pages == (10 if use_zero_pages else 0)
    for site in range(5):
        ksm.write(site, site + 1)
    assert ksm.ksm_zero_pages == (5 if use_zero_pages else 0)
