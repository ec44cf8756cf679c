"""Found by random histories: stores that nobody saw."""

from __future__ import annotations

import pytest
from drivers.crowd import BASE, PAGE, crowd

from mmulab.mmu.trace import CONTENT, LOAD, STORE

TECHNIQUES = ("shadow", "nested")


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_store_after_a_fill_is_seen(technique: str) -> None:
    """The fill made the store before it forgotten, but not that the page may be stored to."""
    machine = crowd(technique)
    model = machine.models[0]
    store = (BASE * PAGE, STORE, 8)
    model.store(BASE, 1)
    machine._run(0, [store, store, store], [(2, CONTENT, 1, BASE, 1, 7)])
    machine.check()


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_store_where_another_page_was_stored_to_is_seen(technique: str) -> None:
    """A page takes the TLB slot of one with the same low bits, that has been stored to."""
    machine = crowd(technique)
    alike = [256 * n for n in range(5)]  # one more than the ways of the L1 TLB
    for page in alike:
        machine.play(("access", 0, page, 1, STORE))
    machine.play(("look", 0))
    order = [(0, STORE), (2, LOAD), (3, LOAD), (4, LOAD), (1, LOAD), (1, STORE)]
    for which in (0, 1):
        machine.models[0].store(BASE + alike[which], 100 + which)
    machine._run(0, [((BASE + alike[which]) * PAGE, kind, 8) for which, kind in order])
    machine.check()


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_stores_to_a_large_page_are_seen_for_each_frame(technique: str) -> None:
    """One TLB entry serves 512 frames; two of them had one prediction."""
    machine = crowd(technique, page_size="2m", host_page_size="2m")
    machine.play(("access", 0, 0, 1, STORE))
    machine.play(("look", 0))
    pages = [BASE + 3, BASE + 3 + 256]
    for number, page in enumerate(pages, start=100):
        machine.models[0].store(page, number)
    machine._run(0, [(page * PAGE, STORE, 8) for page in pages])
    machine.check()
