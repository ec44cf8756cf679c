"""The model of Linux's KSM against a recorded kernel, a live one, LTP and kernel selftests."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import ksm_program
import ksm_scenarios
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ksm_nodes import Chain, StableNode
from linux_ksm import COUNTERS, KSM
from rbtree import Node, RedBlackTree

RECORDED = ksm_scenarios.recorded()


@pytest.mark.parametrize("run", RECORDED["runs"], ids=lambda run: run["name"])
def test_every_counter_of_a_recorded_kernel(run):
    assert RECORDED["counters"] == list(COUNTERS)
    model = [[record[c] for c in COUNTERS] for record in ksm_scenarios.replay(run["scenario"])]
    assert model == run["records"]


def kernel_obstacle() -> str | None:
    if not sys.platform.startswith("linux"):
        return "not Linux"
    release = re.match(r"(\d+)\.(\d+)", Path("/proc/sys/kernel/osrelease").read_text())
    if release is None or (int(release[1]), int(release[2])) < (6, 11):
        return "a kernel before 6.11 looks a page up before it knows that the page keeps still"
    return ksm_program.obstacle()


def test_every_counter_of_this_machines_kernel():
    """Live, where KSM may be used: some named scenarios, and random ones never seen before."""
    reason = kernel_obstacle()
    if reason:
        pytest.skip(reason)
    named = ksm_scenarios.named()
    scenarios = [named["zero pages"], named["chains with at most 3 sites a page, pruned"]]
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    scenarios += [ksm_scenarios.random_scenario(rng, batches=n % 2 == 0) for n in range(10)]
    program = subprocess.Popen(
        [sys.executable, ksm_program.__file__],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        out, errors = program.communicate(json.dumps(scenarios), timeout=120)
    except subprocess.TimeoutExpired:
        program.terminate()  # puts KSM's settings back
        raise
    if "KSM is in use" in errors:
        pytest.skip(errors)
    assert program.returncode == 0, errors
    for number, (scenario, real) in enumerate(zip(scenarios, json.loads(out), strict=True)):
        assert ksm_scenarios.replay(scenario) == real, f"seed {seed}, scenario {number}"


# Linux Test Project, testcases/kernel/mem/ksm ---------------------------------------------------


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


# Linux, tools/testing/selftests/mm --------------------------------------------------------------


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


# Properties -------------------------------------------------------------------------------------


def check(ksm: KSM, contents: list[int | None]) -> None:
    """What holds at any time: contents, sharing limits, counters against what can be counted."""
    frames: dict[int, list[int]] = {}
    for number, (site, content) in enumerate(zip(ksm.sites, contents, strict=True)):
        assert site.present == (content is not None) and site.content == content
        if isinstance(site.frame, StableNode):
            assert site.frame.content == content and number in site.frame.mapped
            frames.setdefault(id(site.frame), []).append(number)
    assert all(len(sites) <= ksm.max_page_sharing for sites in frames.values())
    alone = (
        sum(c is not None for c in contents) - ksm.ksm_zero_pages - sum(map(len, frames.values()))
    )
    assert ksm.frames() == alone + len(frames)
    nodes = list(stable_nodes(ksm))
    assert ksm.pages_shared == sum(bool(node.items) for node in nodes)
    assert ksm.pages_shared + ksm.pages_sharing == sum(len(node.items) for node in nodes)
    assert ksm.pages_unshared == sum(i.unstable_scan is not None for i in ksm.items.values())
    assert ksm.pages_volatile >= 0


def in_order(tree: RedBlackTree) -> list[Node]:
    def below(node: Node | None) -> list[Node]:
        return [] if node is None else [*below(node.left), node, *below(node.right)]

    return below(tree.root)


def stable_nodes(ksm: KSM):
    chains = dups = 0
    for node in in_order(ksm.stable):
        if isinstance(node.value, Chain):
            chains, dups = chains + 1, dups + len(node.value.dups)
            yield from node.value.dups
        else:
            yield node.value
    assert (ksm.stable_node_chains, ksm.stable_node_dups) == (chains, dups)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_contents_are_kept_and_counters_add_up(seed, batches, checksum_first):
    scenario = ksm_scenarios.random_scenario(random.Random(seed), batches)
    limits = {name: scenario["settings"][name] for name in ("max_page_sharing", "smart_scan")}
    ksm = KSM(scenario["pages"], checksum_first=checksum_first,
              use_zero_pages=scenario["settings"]["use_zero_pages"], **limits)  # fmt: skip
    contents: list[int | None] = list(scenario["pages"])
    for step in scenario["steps"]:
        for page, tag in step.get("write", []):
            ksm.write(page, tag)
            contents[page] = tag
        for page in step.get("discard", []):
            ksm.discard(page)
            contents[page] = None
        check(ksm, contents)
        ksm.scan(step.get("batch"))
        check(ksm, contents)


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(2, 9), st.booleans())
def test_a_population_that_keeps_still_has_a_closed_form(contents, most, zero):
    """Each content's n pages fill KSM pages of `most` sites; one page left over stays alone."""
    ksm = KSM(contents, max_page_sharing=most, smart_scan=False, use_zero_pages=zero)
    for _ in range(2):
        ksm.full_scan()
    counts = Counter(contents)
    zeros = counts.pop(0, 0) if zero else 0
    shared = sharing = unshared = 0
    for n in counts.values():
        pages, left = n // most, n % most
        shared += pages + (left > 1)
        sharing += pages * (most - 1) + max(left - 1, 0)
        unshared += left == 1
    assert (ksm.pages_shared, ksm.pages_sharing, ksm.pages_unshared) == (shared, sharing, unshared)
    assert (ksm.ksm_zero_pages, ksm.frames()) == (zeros, shared + unshared)
    chained = [n for n in counts.values() if n > most + 1]
    assert ksm.stable_node_chains == len(chained)
    before = ksm.counters()
    for _ in range(3):
        ksm.full_scan()  # and it stays so; the zero pages' rmap_items are gone
    settled = ksm.counters()
    assert [before[c] for c in COUNTERS[:3]] == [settled[c] for c in COUNTERS[:3]]
    assert settled["pages_volatile"] == 0 and before["pages_volatile"] == zeros


@pytest.mark.parametrize("checksum_first", [True, False])
def test_when_a_late_page_joins_a_ksm_page(checksum_first):
    """Before Linux 6.11 at ksmd's first visit, since then at its second."""
    ksm = KSM([1, 1, 2], smart_scan=False, checksum_first=checksum_first)
    for _ in range(3):
        ksm.full_scan()
    ksm.write(2, 1)
    ksm.full_scan()
    assert ksm.pages_sharing == (1 if checksum_first else 2)
    ksm.full_scan()
    assert ksm.pages_sharing == 2


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=120))
def test_the_red_black_tree_is_one(steps):
    tree, held = RedBlackTree(), {}
    for insert, key in steps:
        if insert and key not in held:
            parent, side, at = None, "", tree.root
            while at is not None:
                parent, side = at, "left" if key < at.value else "right"
                at = getattr(at, side)
            held[key] = tree.insert(key, parent, side)
        elif not insert and key in held:
            tree.erase(held.pop(key))
        assert [node.value for node in in_order(tree)] == sorted(held)
        assert all(held[node.value] is node for node in in_order(tree))

        def blacks(node: Node | None, parent: Node | None) -> int:
            if node is None:
                return 0
            assert node.parent is parent and not (node.red and parent is not None and parent.red)
            left, right = blacks(node.left, node), blacks(node.right, node)
            assert left == right
            return left + (not node.red)

        blacks(tree.root, None)
        assert tree.root is None or not tree.root.red


def test_a_limit_of_one_site_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        KSM([1], max_page_sharing=1)
