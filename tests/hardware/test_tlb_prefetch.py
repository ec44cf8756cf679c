"""TLB prefetch: counts equal a brute-force model's, and nothing that a guest sees changes."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.geometries import hardware, pages_of, run
from drivers.guest import SMALL, Guest
from drivers.one_machine import Driver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.brute_prefetch import Predictor, Prefetching

import mmulab
from mmulab.mmu import presets
from mmulab.mmu.check import check, compare_contents
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.hardware.walks.prefetched import SITES
from mmulab.mmu.hardware.walks.sites import PREFETCH, STEP
from mmulab.mmu.machine.simulator import build
from mmulab.mmu.memory.entries import EPT_A, EPT_D, FRAME, A
from mmulab.mmu.presets.overrides import override
from mmulab.mmu.presets.preset import TLB_PREFETCHERS, Preset
from mmulab.mmu.report.counts import references_of
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.technique import Variant
from mmulab.mmu.trace import LOAD, MMAP, MUNMAP, STORE, SWITCH

QUIET = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
PAGE, BASE = 4096, 0x7F00_0000_0000
#: Regions of the model's address space by the page size that they are mapped with.
REGIONS = {"4k": (0x1000_0000, 96 * PAGE), "2m": (0x4000_0000, 16 << 21)}


def with_prefetch(preset: Preset, how: str, **numbers: int) -> Preset:
    preset = override(preset, "tlb_prefetch", how)
    for name, number in numbers.items():
        preset = override(preset, f"tlb_prefetch_{name}", number)
    return preset


def size_at(_process: int, address: int) -> str:
    return next(s for s, (start, length) in REGIONS.items() if start <= address < start + length)


@st.composite
def bursts(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """(address, kind, size): strides and hops, in one region, that come back."""
    size = draw(st.sampled_from(list(REGIONS)))
    start, length = REGIONS[size]
    page = PAGE if size == "4k" else 1 << 21
    hops = draw(st.lists(st.integers(-5, 5), min_size=1, max_size=3))
    at, kinds = (
        draw(st.integers(0, length // page - 1)),
        draw(st.sampled_from(["0", "1", "01", "02"])),
    )
    made = []
    for number in range(draw(st.integers(1, 40))):
        made.append((start + at * page + 64, int(kinds[number % len(kinds)]), 1))
        at = (at + hops[number % len(hops)]) % (length // page)
    return made


steps = st.one_of(
    bursts(), bursts(), st.tuples(st.just("switch"), st.integers(1, 3)),
    st.tuples(st.just("remap"), st.integers(0, 95)),
)  # fmt: skip


class Both:
    """A machine and the model, side by side."""

    def __init__(self, preset: Preset, pcid: bool) -> None:
        numbers = (
            int(getattr(preset, f"tlb_prefetch_{n}").value) for n in ("degree", "slots", "rows")
        )
        predictor = Predictor(preset.tlb_prefetch.names[0], *numbers)
        entries = int(preset.tlb_prefetch_entries.value)
        self.model = Prefetching(preset, size_at, pcid, entries=entries, predictor=predictor)
        self.simulator = build("native", preset, Config(memory=2 << 30, pcid=pcid))
        self._map(1)

    def _map(self, process: int) -> None:
        for number, (start, length) in enumerate(REGIONS.values(), start=1):
            run(self.simulator, [], [(0, MMAP, process, start, length, 7 | number << 8)])

    def play(self, step) -> None:  # type: ignore[no-untyped-def]
        if isinstance(step, list):
            run(self.simulator, step, [])
            for address, kind, size in step:
                self.model.access(pages_of(address, size), kind)
        elif step[0] == "switch":
            fresh = step[1] not in self.model.ran
            run(self.simulator, [], [(0, SWITCH, step[1], 0, 0, 0)])
            self.model.switch(step[1])
            if fresh:
                self._map(step[1])
        else:
            page, process = REGIONS["4k"][0] + step[1] * PAGE, self.model.process
            if self.model.tables.pop((process, "4k", page >> 12), None):
                self.model.invlpg(page)
            run(self.simulator, [], [(0, MUNMAP, process, page, PAGE, 0)])
            run(self.simulator, [], [(0, MMAP, process, page, PAGE, 7 | 1 << 8)])

    def compare(self) -> None:
        stats, model = self.simulator.machine.vcpu.stats[0], self.model
        assert stats["l1_misses"].tolist() == model.counts.l1_misses
        assert stats["l2_hits"].tolist() == model.counts.l2_hits
        assert stats["walks"].tolist() == model.counts.walks
        assert int(stats["tlb_prefetches"]) == model.walked_ahead
        assert int(stats["tlb_prefetch_fills"]) == model.filled
        assert int(stats["tlb_prefetch_hits"]) == model.served
        by_site = references_of(self.simulator.machine.vcpu).sum(axis=1).reshape(2, -1, STEP)
        assert by_site[0, :, 0].tolist() == model.counts.references
        assert by_site[1, :, 0].tolist() == model.ahead


@QUIET
@given(
    preset=hardware(), history=st.lists(steps, min_size=1, max_size=12), pcid=st.booleans(),
    how=st.sampled_from(TLB_PREFETCHERS), entries=st.sampled_from([1, 3, 16, 40]),
    degree=st.integers(1, 4), slots=st.integers(1, 4), rows=st.sampled_from([1, 4, 256]),
)  # fmt: skip
def test_counts_are_the_models(
    preset: Preset, history: list, pcid: bool, how: str, entries: int, degree: int, slots: int,
    rows: int,
) -> None:  # fmt: skip
    both = Both(
        with_prefetch(preset, how, entries=entries, degree=degree, slots=slots, rows=rows), pcid
    )
    for step in history:
        both.play(step)
    both.compare()


def prefetching(technique: str, how: str = "sequential", **options: object) -> Driver:
    made = Driver(technique, **options)  # type: ignore[arg-type]
    preset = with_prefetch(presets.load("skylake-sp"), how)
    made.simulator = build(technique, preset, made.config)
    made.machine = made.simulator.machine
    return made


def walks_of(technique: str, how: str, stride: int, pages: int = 8000) -> dict[str, int]:
    """Counts of the second of two rounds over more pages than the TLBs hold."""
    made = prefetching(technique, how, memory=256 << 20, host_memory=1 << 30)
    touched = [BASE + page * PAGE for page in range(0, pages, stride)]
    names = ("tlb_prefetches", "tlb_prefetch_fills", "tlb_prefetch_hits")
    for page in range(stride):
        made.run([at + page * PAGE for at in touched], [STORE] * len(touched))
    made.flush()
    before = {name: int(made.stats[name]) for name in names}
    walks = int(made.stats["walks"].sum())
    for page in range(stride):
        made.run([at + page * PAGE for at in touched], [LOAD] * len(touched))
    check(made.simulator)
    counts = {name: int(made.stats[name]) - before[name] for name in names}
    return counts | {"walks": int(made.stats["walks"].sum()) - walks}


@pytest.mark.parametrize("technique", ["native", "nested"])
def test_a_sweep_is_all_but_prefetched(technique: str) -> None:
    """Sequential misses once; distance twice, whose table has seen one page follow another."""
    found = walks_of(technique, "sequential", 1)
    assert found["walks"] == 1 and found["tlb_prefetch_hits"] == 7999
    found = walks_of(technique, "distance", 1)
    assert found["walks"] <= 2 and found["tlb_prefetch_hits"] >= 7998


def test_a_stride_is_distances_business() -> None:
    """Columns of a matrix: the page after a page is not what comes next."""
    assert walks_of("native", "sequential", 8)["tlb_prefetch_hits"] == 0
    found = walks_of("native", "distance", 8)
    assert found["walks"] <= 2 * 8 and found["tlb_prefetch_hits"] >= 8000 - 2 * 8


def frame_of(entry: int) -> int:
    return (int(entry) & FRAME) >> 12


def guest_table(driver: Driver, gva: int) -> int:
    """gfn of the leaf table that maps gva."""
    gfn = int(driver.process()["cr3"])
    for level in (4, 3, 2):
        gfn = frame_of(driver.table(driver.hfn(gfn))[gva >> (3 + 9 * level) & 511])
    return gfn


def nested_leaf(driver: Driver, gfn: int) -> tuple[np.ndarray, int]:
    """(table, index) of the EPT leaf of a gfn."""
    hfn = int(driver.regs["root"])
    for level in (4, 3, 2):
        hfn = frame_of(driver.table(hfn)[gfn >> (9 * (level - 1)) & 511])
    return driver.table(hfn), gfn & 511


@pytest.mark.parametrize("case", ["A of gPTE", "A of EPT", "D of EPT", "nothing"])
def test_what_a_walk_would_mark_is_left_alone(case: str) -> None:
    """The page after the one that misses, in a gPT page of its own: A clear in its gPTE, or in its
    EPT leaf; D clear in the EPT leaf of the gPT page, which EPT has a walk set."""
    made = prefetching("nested")
    made.run([BASE - PAGE, BASE], [LOAD] * 2)
    table = guest_table(made, BASE)
    gptes = made.table(made.hfn(table))
    entries, index, bit = {
        "A of gPTE": (gptes, BASE >> 12 & 511, A),
        "A of EPT": (*nested_leaf(made, frame_of(gptes[BASE >> 12 & 511])), EPT_A),
        "D of EPT": (*nested_leaf(made, table), EPT_D),
        "nothing": (gptes, BASE >> 12 & 511, 0),
    }[case]
    assert entries[index] & bit == bit
    entries[index] &= ~bit
    cleared = int(entries[index])
    made.flush()
    walks, fills = int(made.stats["walks"].sum()), int(made.stats["tlb_prefetch_fills"])
    made.access(BASE - PAGE)
    assert int(made.stats["walks"].sum()) == walks + 1
    assert int(made.stats["tlb_prefetch_fills"]) == fills + (case == "nothing")
    assert int(entries[index]) == cleared
    made.access(BASE)
    assert int(made.stats["walks"].sum()) == walks + 1 + (case != "nothing")
    assert int(entries[index]) == cleared | bit


def test_a_first_store_walks_although_the_page_is_there() -> None:
    """D is clear in what a prefetch has found, as in any entry that a load has made."""
    made = prefetching("native")
    made.run([BASE, BASE + PAGE], [LOAD] * 2)
    made.flush()
    made.access(BASE)
    walks = int(made.stats["walks"].sum())
    made.access(BASE + PAGE, STORE)
    assert int(made.stats["walks"].sum()) == walks + 1
    assert int(made.stats["tlb_prefetch_hits"]) == int(made.stats["dirty_walks"]) == 0
    check(made.simulator)


histories = st.lists(
    st.one_of(
        st.tuples(st.just("access"), st.integers(0, 2), st.integers(0, 60), st.integers(0, 2),
                  st.integers(1, 9)),
        st.tuples(st.just("map"), st.integers(0, 2), st.integers(0, 60),
                  st.sampled_from([1, 8, 600]), st.sampled_from([1, 3, 7]), st.integers(0, 1)),
        st.tuples(st.just("unmap"), st.integers(0, 2), st.integers(0, 60),
                  st.sampled_from([1, 3, 8])),
        st.tuples(st.just("protect"), st.integers(0, 2), st.integers(0, 60),
                  st.sampled_from([1, 8]), st.sampled_from([1, 3])),
        st.tuples(st.just("fork")),
        st.tuples(st.just("switch"), st.integers(0, 7)),
        st.tuples(st.just("exit"), st.integers(0, 7)),
        st.tuples(st.just("reclaim"), st.integers(0, 1 << 20)),
    ),
    min_size=1, max_size=40,
)  # fmt: skip
OTHERS = ("pvm", "nested-on-nested", "hosted", "hosted:mmu=shadow")
#: Of each walk that has a prefetch.
TECHNIQUES = [("native", "shadow", "nested"), pytest.param(OTHERS, marks=pytest.mark.long)]


@pytest.mark.parametrize("techniques", TECHNIQUES)
@pytest.mark.parametrize("how", TLB_PREFETCHERS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_the_guest_sees_what_it_sees_without(
    how: str, techniques: tuple[str, ...], history: list[tuple]
) -> None:
    """And the tables hold what they do without, bit for bit."""
    config = Config(memory=64 << 20, host_memory=128 << 20)
    preset = with_prefetch(SMALL, how, degree=2)
    pairs = [[build(name, each, config) for each in (SMALL, preset)] for name in techniques]
    guest = Guest([each for pair in pairs for each in pair])
    for step in history:
        guest.play(step)
        for simulator in guest.simulators:
            check(simulator)
        compare_contents(guest.simulators)
    for pair in pairs:
        alone, ahead = (each.machine.host.memory.entry for each in pair)
        assert np.array_equal(alone, ahead), pair[0].technique


@pytest.mark.parametrize(
    ("technique", "set_", "problem"),
    [
        ("dmt", {}, "technique dmt: tlb_prefetch: its walk has none"),
        ("sagepte", {}, "technique sagepte: tlb_prefetch: its walk has none"),
        ("native", {"coalescing": 4}, "tlb_prefetch and coalescing"),
        ("native", {"tlb_prefetch_rows": 3}, "tlb_prefetch_rows: 3; expected a power of two"),
        ("native", {"tlb_prefetch_degree": 5}, "tlb_prefetch_degree: 5; expected a whole number"),
        ("native", {"tlb_prefetch": "sequential+distance"}, "expected one of them"),
        ("native", {"arch": "riscv64"}, "technique native: tlb_prefetch: its walk has none"),
    ],
)
def test_what_cannot_be_is_one_sentence(technique: str, set_: dict, problem: str) -> None:
    preset = with_prefetch(presets.load("skylake-sp"), "sequential")
    for key, value in set_.items():
        preset = override(preset, key, value)
    with pytest.raises(InputError, match=problem):
        build(technique, preset, Config())


def test_techniques_with_the_usual_walks_have_it() -> None:
    there = {n for n in registry.of_package() if registry.get(n).is_on(Variant(prefetches=True))}
    one = {"native", "container", "shadow", "pvm", "paravirt", "binary-translation"}
    assert there == one | {"nested", "hosted", "nested-on-nested"}


def test_references_ahead_are_counted_apart() -> None:
    found = {
        how: mmulab.compare(
            "scan:size=16M,accesses=600K", preset="skylake-sp", techniques="nested",
            warmup=300_000, set={"tlb_prefetch": how} if how else {},
        )["nested"]
        for how in ("", "sequential")
    }  # fmt: skip
    alone, ahead = found[""], found["sequential"]
    sites = [each for each in ahead.references if each["dimension"] == PREFETCH]
    assert {each["site"] for each in sites} >= {"prefetch gL1", "prefetch nL1 of the page"}
    assert all(each["hidden"] == each["served_by"] for each in sites)
    assert sum(map(sum, (each["served_by"] for each in sites))) == pytest.approx(
        2 * ahead.counts["tlb_prefetches"], rel=0.01
    )
    assert ahead.references_per_walk == pytest.approx(alone.references_per_walk, abs=1)
    # A hit costs the look-up that the walk's miss would have cost.
    assert ahead.charges["l2_tlb"] == alone.charges["l2_tlb"]
    assert ahead.counts["l2_tlb_misses"] == alone.counts["l2_tlb_misses"]
    served = ahead.counts["tlb_prefetch_hits"]
    missed = ahead.counts["l2_tlb_misses"] - served
    assert ahead.structures["TLB prefetch buffer"] == {"hits": served, "misses": missed}
    walked = ahead.counts["walks"] + ahead.counts["tlb_prefetch_hits"]
    assert walked == alone.counts["walks"]
    assert ahead.cycles_per_access < alone.cycles_per_access


def test_sites_have_names_of_their_own() -> None:
    labels = [site.label for site in SITES if site.level]
    assert len(set(labels)) == len(labels)
