"""What always holds of the model of Linux's KSM, and of its tree."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from drivers import ksm_scenarios
from hypothesis import given, settings
from hypothesis import strategies as st
from models.ksm_nodes import Chain, StableNode
from models.linux_ksm import COUNTERS, KSM
from models.rbtree import Node, RedBlackTree


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
