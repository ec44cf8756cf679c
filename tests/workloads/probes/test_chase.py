"""Rings of words: what lies in them, and that they are walked whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mmulab.workloads.probes import chase, memory
from mmulab.workloads.probes.memory import LINE, PAGE, WORD


def walked(order: np.ndarray, size: int) -> list[int]:
    """The words that a ring of this order comes to, in order."""
    words = np.zeros(size // WORD, np.uint64)
    at = first = chase.link(words, order)
    found = []
    while not found or at != first:
        found.append(int(at))
        at = words[at]
    return found


ORDERS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "pages": lambda random: chase.shuffled(chase.pages(96), random),
    "lines": lambda random: chase.by_blocks(chase.dense(5000), random),
    "huge": lambda random: chase.shuffled(chase.huge_pages(3, PAGE * 16), random),
}


@pytest.mark.parametrize("name", ORDERS)
def test_a_ring_comes_by_every_word_once(name: str) -> None:
    order = ORDERS[name](np.random.default_rng(1))
    assert walked(order, int(order.max() + 1) * WORD) == order.tolist()
    assert len(set(order.tolist())) == order.size


@pytest.mark.parametrize("count", [16, 96, 1024, 4096])
def test_one_page_of_two_is_touched_and_sets_get_as_many(count: int) -> None:
    pages = chase.pages(count) * WORD // PAGE
    assert np.array_equal(pages // 2, np.arange(count))
    for sets in (2, 8, 16):
        assert set(np.bincount(pages % sets, minlength=sets)) == {count // sets}


def test_lines_in_their_pages_go_round() -> None:
    offsets = chase.pages(128) * WORD % PAGE // LINE
    assert sorted(offsets) == sorted(list(range(64)) * 2)


def test_blocks_are_walked_one_after_another() -> None:
    order = chase.by_blocks(chase.dense(1 << 14), np.random.default_rng(2)) * WORD // (128 << 10)
    assert np.count_nonzero(np.diff(order)) == (1 << 20) // (128 << 10) - 1


def test_steps_have_what_structures_have() -> None:
    assert {48, 64, 96, 1024, 1280, 1536, 2048, 3072, 4096} <= set(chase.steps(16, 8192, 4))
    assert chase.steps(16, 64, 2) == [16, 24, 32, 48, 64]


def test_a_curve_is_measured() -> None:
    with memory.reserved(1 << 20, "4k") as words:
        order = lambda n, random: chase.shuffled(chase.pages(n), random)  # noqa: E731
        ticks: list[int] = []
        found = chase.curve(words, [16, 64], order, 0.01, ticks.append, least=1)
    assert found.sizes == (16, 64) and len(ticks) >= 2
    assert all(0 < each.low <= each.value <= each.median <= each.high for each in found.samples)
    assert np.array_equal(found.ns(), [each.low for each in found.samples])
