"""Counts of two-dimensional walks equal a brute-force model exactly: nested TLB, paging-structure
caches of both dimensions, and the caches that references go through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drivers.geometries import hardware, make_late, pages_of, policies, run, way_counts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.brute_nested import LEVEL_OF, Nested

from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.hardware.build import build_core, size_of_last
from mmulab.mmu.hardware.caches import FULL
from mmulab.mmu.hardware.state import CACHE_LEVELS
from mmulab.mmu.hardware.walks.sites import STEP
from mmulab.mmu.machine.data import Lines
from mmulab.mmu.machine.simulator import Simulator, build
from mmulab.mmu.presets.cited import Cited, Stated
from mmulab.mmu.presets.preset import Cache, Preset, WalkCache
from mmulab.mmu.report.counts import read_data, read_structures, references_of
from mmulab.mmu.techniques.reference import Tables
from mmulab.mmu.trace import MMAP, STORE, SWITCH

QUIET = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))

#: (start, pages of 4 KiB, page size that the guest maps it with): far apart, so that all levels
#: of the tables differ.
REGIONS = (
    (0x1000_0000, 64, 1),
    (0x7F00_0000_0000, 64, 1),
    (0x4000_0000, 3 * 512, 2),
    (0x55_4000_0000, 2 * 512, 2),
)
PROCESSES = (1, 2, 3)


def pages() -> list[int]:
    return [start + 4096 * page for start, count, _ in REGIONS for page in range(count)]


cache_sizes = st.one_of(st.integers(1, 60), st.integers(1, 3000))  # in lines


@st.composite
def nested_hardware(draw: st.DrawFn) -> Preset:
    """TLBs of any geometry, small walk caches of all kinds or few, small caches or none."""
    base = draw(hardware())
    names = [f"{prefix}{name}" for prefix in ("", "ept_") for name in LEVEL_OF] + ["ntlb"]
    chosen = draw(
        st.sampled_from(
            [
                names, ["ntlb"], ["pde", "ept_pde"], ["pde", "ntlb"], [],
                ["pwc"], ["pwc", "ntlb"], ["guest_pwc", "ntlb"], ["nested_pwc"],
                ["guest_pwc", "nested_pwc"], [*names, "pwc"],
            ]
        )
    )  # fmt: skip
    caches = []
    for name in chosen:
        policy = draw(policies)
        ways = draw(way_counts(policy)) if draw(st.integers(0, 7)) else 0  # absent
        caches.append(WalkCache(name, draw(st.sampled_from([1, 2, 4])), ways, "test", policy))
    latency = Cited(1, "test")
    lines = tuple(
        Cache(f"L{number}", 64 * draw(cache_sizes), draw(way_counts("lru")), latency, "test")
        for number in range(1, draw(st.integers(0, CACHE_LEVELS - 1)) + 1)
    )
    return replace(
        base,
        walk_caches=tuple(caches),
        caches=lines,
        walks_enter=Stated((draw(st.sampled_from([c.name for c in lines[:2]] or ["L1"])),), "test"),
        prefetchers=Stated(
            tuple(draw(st.sets(st.sampled_from(["next-line", "adjacent-line", "stream"])))), "test"
        ),
    )


class Both:
    """A machine whose guest has touched all its pages and whose caches then became cold, and
    the model, side by side."""

    def __init__(self, preset: Preset, config: Config) -> None:
        self.preset = preset
        config = config.on(preset.arch)
        self.simulator = build("nested", preset, config)
        config = self.simulator.config
        for process in PROCESSES:
            self._event(SWITCH, process, 0, 0, 0)
            for start, count, size in REGIONS:
                self._event(MMAP, process, start, 4096 * count, 7 | size << 8)
            run(self.simulator, [(page, STORE, 1) for page in pages()], [])
        self._event(SWITCH, 1, 0, 0, 0)
        make_cold(self.simulator, preset, config)
        tables = Tables(self.simulator.machine, "test")
        host = self.simulator.machine.host
        entries = {}
        for hfn in np.flatnonzero(host.memory.table).tolist():
            found = tables.contents(hfn)
            assert found is not None
            entries[hfn] = found.tolist()
        of = self.simulator.machine.vm.process
        cr3 = {int(of[p]["pid"]): int(of[p]["cr3"]) for p in tables.processes()}
        self.model = Nested(
            preset, bool(config.pcid), (config.levels, config.host_levels), entries,
            {process: cr3[process] for process in PROCESSES}, int(tables.regs["root"]),
            size_of_last(preset, config.llc) if preset.caches else 0,
            config.caches == "exact" and bool(preset.caches),
        )  # fmt: skip
        self.lines = Lines(preset, config.caches, 1)
        self.touched = 0

    def _event(self, *event: int) -> None:
        run(self.simulator, [], [(0, *event)])

    def play(self, step: tuple) -> None:
        if step[0] == "switch":
            run(self.simulator, [], [(0, SWITCH, step[1], 0, 0, 0)], self.lines)
            self.model.switch(step[1])
            return
        accesses = burst(*step)
        self.touched += run(self.simulator, accesses, [], self.lines)
        for address, kind, size in accesses:
            self.model.access_bytes(address, kind, size, pages_of(address, size))

    def compare(self) -> None:
        machine, model = self.simulator.machine, self.model
        stats = machine.vcpu.stats[0]
        assert stats["walks"].tolist() == model.counts.walks
        assert stats["l1_misses"].tolist() == model.counts.l1_misses
        assert stats["l2_hits"].tolist() == model.counts.l2_hits
        references = references_of(machine.vcpu).reshape(STEP, STEP, -1)
        counted = {
            (int(g), int(h), int(c)): int(references[g, h, c])
            for g, h, c in zip(*np.nonzero(references), strict=True)
        }
        assert counted == dict(model.references)
        assert int(stats["repeated_lookups"]) == model.counts.repeated_lookups == 0
        found = read_structures(
            machine.core, machine.vcpu, self.simulator.units, self.preset, model.by_kind,
            self.touched,
        )  # fmt: skip
        levels = len(self.preset.caches)
        served = read_data(machine.vcpu, levels, self.touched)
        of_model = model.caches.data
        expected = [of_model[level] for level in (*range(levels), CACHE_LEVELS - 1)]
        assert served == (expected if levels else [0])
        arrays = {f"TLB {tlb.name}": array for tlb, array in model.tlbs}
        arrays |= {f"walk cache {name}": array for name, array in model.cached.items()}
        for name, array in arrays.items():
            expected = {"hits": array.hits, "misses": array.misses}
            assert found.get(name, {"hits": 0, "misses": 0}) == expected, name
        self._compare_caches(found)

    def _compare_caches(self, found: dict[str, dict[str, int]]) -> None:
        """A prefetched line counts as served by the second level: what lies beyond is none of
        its business."""
        for number, (cache, level) in enumerate(
            zip(self.preset.caches, self.model.caches.levels, strict=True)
        ):
            counted = found.get(f"cache {cache.name}", {"hits": 0, "misses": 0})
            if number == 0 or not self.preset.prefetchers.names:
                assert counted == {"hits": level.hits, "misses": level.misses}, cache.name


def make_cold(simulator: Simulator, preset: Preset, config: Config) -> None:
    """All TLBs and caches as they were before the first access; tables stay."""
    core = simulator.machine.core
    fresh, _ = build_core(preset, config.seed, caches=config.caches, llc=config.llc)
    for name in (
        "unit", "route", "tag", "digest", "age", "data", "tree", "owner", "first", "span", "hint",
        "predictor", "line", "weight",
    ):  # fmt: skip
        getattr(core, name)[...] = getattr(fresh, name)
    for name in ("derived", "mixed", "packed"):
        core.record[name] = fresh.record[name]
    simulator.reset_counters()


def burst(how: str, region: int, seed: int, count: int, kinds: tuple[int, ...]) -> list:
    """(address, kind, size) of some accesses to one region."""
    start, there, _ = REGIONS[region]
    rng = np.random.default_rng(seed)
    number = {
        "random": rng.integers(0, there, count),
        "sequential": (rng.integers(0, there) + np.arange(count)) % there,
        "loop": rng.integers(0, there, 6)[np.arange(count) % 6],
    }[how]
    offset = np.where(rng.random(count) < 0.1, 4092, 8 * rng.integers(0, 510, count))
    offset[number == there - 1] = 0  # none leaves the region
    return [
        (int(start + 4096 * page + within), kinds[i % len(kinds)], 8)
        for i, (page, within) in enumerate(zip(number, offset, strict=True))
    ]


steps = st.one_of(
    st.tuples(
        st.sampled_from(["random", "sequential", "loop"]), st.integers(0, len(REGIONS) - 1),
        st.integers(0, 1 << 20), st.integers(1, 60),
        st.sampled_from([(0,), (1,), (2,), (0, 1), (0, 1, 2)]),
    ),
    st.tuples(st.just("switch"), st.sampled_from(PROCESSES)),
)  # fmt: skip


@QUIET
@given(
    preset=nested_hardware(), history=st.lists(steps, min_size=1, max_size=15),
    pcid=st.booleans(), levels=st.sampled_from([4, 5]), host_levels=st.sampled_from([4, 5]),
    host_page_size=st.sampled_from(["4k", "2m"]), ept_ad=st.booleans(),
    ticks=st.none() | st.integers(0, 100), caches=st.sampled_from(["exact", "off"]),
)  # fmt: skip
def test_any_geometry_and_history(
    preset: Preset, history: list, pcid: bool, levels: int, host_levels: int,
    host_page_size: str, ept_ad: bool, ticks: int | None, caches: str,
) -> None:  # fmt: skip
    config = Config(
        memory=128 << 20, pcid=pcid, levels=levels, host_levels=host_levels,
        host_page_size=host_page_size, ept_ad=ept_ad, caches=caches, llc="slice",
    )  # fmt: skip
    both = Both(preset, config)
    if ticks is not None:
        make_late(both.simulator.machine.core, ticks)
    for step in history:
        both.play(step)
    both.compare()


@pytest.mark.parametrize("name", presets.names())
@pytest.mark.parametrize("host_page_size", ["4k", "2m"])
def test_presets(name: str, host_page_size: str) -> None:
    preset = presets.load(name)
    config = Config(memory=128 << 20, pcid=True, host_page_size=host_page_size, caches="exact")
    both = Both(preset, config)
    for number in range(60):
        how = ("random", "sequential", "loop")[number % 3]
        both.play((how, number % len(REGIONS), number, 100, (0, 1, 2)))
        if number % 7 == 0:
            both.play(("switch", PROCESSES[number % 3]))
    both.compare()
    assert sum(both.model.references.values()) > 500


def test_more_references_in_one_run_than_are_priced_at_once() -> None:
    preset = presets.load("haswell")  # its L3 has more ways than are looked at together
    preset = replace(
        preset,
        tlbs=tuple(replace(tlb, sets=1, ways=2) for tlb in preset.tlbs),
    )
    both = Both(preset, Config(memory=128 << 20, pcid=True, caches="exact"))
    for region in range(len(REGIONS)):
        both.play(("random", region, region, 1500, (0, 1)))
    both.compare()
    assert sum(both.model.references.values()) > 2 * FULL
