"""TLB entries for groups of pages: a sweep misses once a group, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drivers.guest import BASES, SMALL, Guest
from drivers.one_machine import Driver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab.mmu import presets
from mmulab.mmu.check import check, compare_contents
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.machine.simulator import Simulator, build
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.trace import FORK, LOAD, STORE, SWITCH

PAGE, BASE, PAGES = 4096, 0x7F00_0000_0000, 4096
TECHNIQUES = ("native", "shadow", "nested", "nested:host_page_size=2m")


def coalescing(pages: int, preset: str = "skylake-sp"):  # type: ignore[no-untyped-def]
    return replace(presets.load(preset), coalescing=Cited(pages, "test"))


def driver(technique: str, pages: int, allocator: str) -> Driver:
    options = {"memory": 256 << 20, "host_memory": 1 << 30, "guest_allocator": allocator}
    made = Driver(technique, **options)
    made.simulator = build(technique, coalescing(pages), made.config)
    made.machine = made.simulator.machine
    return made


def misses_of_a_sweep(made: Driver) -> int:
    """Second-level misses of a steady sweep over more pages than the TLBs hold, even in groups."""
    sweep = [BASE + page * PAGE for page in range(PAGES * 8)]
    for kind in (STORE, LOAD, LOAD):
        before = int(made.stats["walks"].sum())
        made.run(sweep, [kind] * len(sweep))
    check(made.simulator)
    return int(made.stats["walks"].sum()) - before


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("pages", [2, 4, 8])
def test_a_sweep_over_aligned_memory_misses_once_a_group(technique: str, pages: int) -> None:
    assert misses_of_a_sweep(driver(technique, 1, "ptemagnet")) == PAGES * 8
    # A VMM that backs memory by 4 KiB takes frames for tables among them, which splits a group of
    # each 2 MiB: for an sPT page; for a gPT page and a nested one.
    tables = {"shadow": 1, "nested": 2}.get(technique, 0) * PAGES * 8 // 512
    more = misses_of_a_sweep(driver(technique, pages, "ptemagnet")) - PAGES * 8 // pages
    assert (tables - 2) * (pages - 1) <= more <= tables * (pages - 1) or more == tables == 0


def test_scattered_frames_miss_as_often_as_before() -> None:
    """Two processes touch pages in turn, so that no two neighbours have neighbouring frames."""
    made = driver("nested", 8, "buddy")
    made.event(FORK, value=2)
    for page in range(2048):
        for pid in (1, 2):
            made.event(SWITCH, pid=pid)
            made.access(BASE + page * PAGE, STORE)
    made.event(SWITCH, pid=1)
    sweep = [BASE + page * PAGE for page in range(2048)]
    before = int(made.stats["walks"].sum())
    made.run(sweep, [LOAD] * len(sweep))
    made.run(sweep, [LOAD] * len(sweep))
    assert int(made.stats["walks"].sum()) - before == 2 * 2048


def test_a_page_without_the_others_d_is_alone_until_they_have_it() -> None:
    made = driver("native", 4, "ptemagnet")
    group = [BASE + page * PAGE for page in range(4)]
    made.run(group, [LOAD] * 4)
    made.flush()
    made.access(group[0])
    walks = int(made.stats["walks"].sum())
    made.run(group, [LOAD] * 4)
    assert int(made.stats["walks"].sum()) == walks  # one entry has all four
    made.access(group[1], STORE)  # sets D: the group is none any more
    made.run(group, [LOAD] * 4)
    assert int(made.stats["walks"].sum()) == walks + 1 + 3
    made.run(group, [STORE] * 4)
    walks = int(made.stats["walks"].sum())
    made.flush()
    made.run(group, [STORE] * 4)
    assert int(made.stats["walks"].sum()) == walks + 1
    check(made.simulator)


steps = st.one_of(
    st.tuples(st.just("access"), st.integers(0, 2), st.integers(0, 60), st.integers(0, 2),
              st.integers(1, 9)),
    st.tuples(st.just("map"), st.integers(0, 2), st.integers(0, 60), st.sampled_from([1, 8, 40]),
              st.sampled_from([1, 3, 7]), st.just(0)),
    st.tuples(st.just("unmap"), st.integers(0, 2), st.integers(0, 60), st.sampled_from([1, 3, 8])),
    st.tuples(st.just("protect"), st.integers(0, 2), st.integers(0, 60), st.sampled_from([1, 8]),
              st.sampled_from([1, 3])),
    st.tuples(st.just("fork")),
    st.tuples(st.just("switch"), st.integers(0, 7)),
    st.tuples(st.just("exit"), st.integers(0, 7)),
    st.tuples(st.just("reclaim"), st.integers(0, 1 << 20)),
)  # fmt: skip


def machines(config: Config) -> list[Simulator]:
    small = replace(SMALL, coalescing=Cited(4, "test"))
    return [build("native", SMALL, config), *(build(name, small, config) for name in TECHNIQUES)]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=1, max_size=40))
def test_the_guest_sees_what_it_sees_without(history: list[tuple]) -> None:
    config = Config(memory=64 << 20, host_memory=128 << 20, guest_allocator="ptemagnet")
    guest = Guest(machines(config))
    for step in history:
        guest.play(step)
        for simulator in guest.simulators:
            check(simulator)
        compare_contents(guest.simulators)


@pytest.mark.parametrize("pages", [3, 32, 0.5])
def test_other_groups_are_refused(pages: float) -> None:
    with pytest.raises(InputError, match=f"coalescing: {pages:g} pages; expected 1"):
        build("native", coalescing(pages), Config())  # type: ignore[arg-type]


def test_groups_serve_what_their_pages_would() -> None:
    """Random loads and stores: a group's entry gives each page its own frame."""
    made, alone = (driver("nested:host_page_size=2m", n, "ptemagnet") for n in (8, 1))
    rng = np.random.default_rng(1)
    for _ in range(20):
        pages = (BASES[0] + rng.integers(0, 64, 50) * PAGE).tolist()
        kinds = rng.integers(0, 2, 50).tolist()
        for each in (made, alone):
            each.flush()
            each.run(pages, kinds)
        check(made.simulator)
        compare_contents([made.simulator, alone.simulator])
    assert int(made.stats["walks"].sum()) < int(alone.stats["walks"].sum())
