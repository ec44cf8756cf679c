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
from mmulab.mmu.hardware.build import build_core, build_vcpu
from mmulab.mmu.hardware.caches import price
from mmulab.mmu.hardware.state import CACHE_LEVELS, VCPU, Core
from mmulab.mmu.hardware.walks.sites import STEP
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.machine.simulator import Simulator, build
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import Cache, Preset, WalkCache
from mmulab.mmu.report.counts import read_structures, references_of
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
        Cache(f"L{number}", 64 * draw(st.integers(1, 60)), draw(way_counts("lru")), latency, "test")
        for number in range(1, draw(st.integers(0, CACHE_LEVELS - 1)) + 1)
    )
    share = Cited(draw(st.sampled_from([0.5, 1.0])), "test")
    return replace(base, walk_caches=tuple(caches), caches=lines, page_table_share=share)


class Both:
    """A machine whose guest has touched all its pages and whose caches then became cold, and
    the model, side by side."""

    def __init__(self, preset: Preset, config: Config) -> None:
        self.preset = preset
        self.simulator = build("nested", preset, config)
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
        )  # fmt: skip

    def _event(self, *event: int) -> None:
        run(self.simulator, [], [(0, *event)])

    def play(self, step: tuple) -> None:
        if step[0] == "switch":
            self._event(SWITCH, step[1], 0, 0, 0)
            self.model.switch(step[1])
            return
        accesses = burst(*step)
        run(self.simulator, accesses, [])
        for address, kind, size in accesses:
            self.model.access(pages_of(address, size), kind)

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
            machine.core, machine.vcpu, self.simulator.units, self.preset, model.by_kind
        )
        arrays = {f"TLB {tlb.name}": array for tlb, array in model.tlbs}
        arrays |= {f"walk cache {name}": array for name, array in model.cached.items()}
        arrays |= {f"cache L{number}": array for number, array in enumerate(model.lines, 1)}
        for name, array in arrays.items():
            expected = {"hits": array.hits, "misses": array.misses}
            assert found.get(name, {"hits": 0, "misses": 0}) == expected, name


def make_cold(simulator: Simulator, preset: Preset, config: Config) -> None:
    """All TLBs and caches as they were before the first access; tables stay."""
    frames = max(config.host_frames, config.guest_frames)
    core, (fresh, _) = simulator.machine.core, build_core(preset, frames, config.seed)
    for name in (
        "unit", "route", "tag", "digest", "age", "data", "tree", "owner", "first", "span", "hint",
        "predictor", "line", "long_line", "weight",
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


@entry
def priced(core, vcpu):
    return price(core, vcpu)


@QUIET
@given(
    preset=nested_hardware(), history=st.lists(steps, min_size=1, max_size=15),
    pcid=st.booleans(), levels=st.sampled_from([4, 5]), host_levels=st.sampled_from([4, 5]),
    host_page_size=st.sampled_from(["4k", "2m"]), ept_ad=st.booleans(),
    ticks=st.none() | st.integers(0, 100),
)  # fmt: skip
def test_any_geometry_and_history(
    preset: Preset, history: list, pcid: bool, levels: int, host_levels: int,
    host_page_size: str, ept_ad: bool, ticks: int | None,
) -> None:  # fmt: skip
    config = Config(
        memory=128 << 20, pcid=pcid, levels=levels, host_levels=host_levels,
        host_page_size=host_page_size, ept_ad=ept_ad,
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
    preset = replace(
        preset, caches=tuple(replace(c, name=f"L{n}") for n, c in enumerate(preset.caches, 1))
    )
    both = Both(preset, Config(memory=128 << 20, pcid=True, host_page_size=host_page_size))
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
        caches=tuple(replace(c, name=f"L{n}") for n, c in enumerate(preset.caches, 1)),
    )
    both = Both(preset, Config(memory=128 << 20, pcid=True))
    for region in range(len(REGIONS)):
        both.play(("random", region, region, 1500, (0, 1)))
    both.compare()
    assert sum(both.model.references.values()) > 2 * both.simulator.machine.core.noted.size


def test_lines_of_a_large_host_are_told_apart() -> None:
    """Beyond 128 GiB lines take more than 31 bits. They are priced as on a smaller host, and
    those that differ in their upper bits alone are not one."""
    preset = presets.load("skylake-sp")
    served = [0, 1, 2, CACHE_LEVELS - 1]  # by its three caches, by memory
    counted = []
    for host_memory in (100 << 30, 4 << 40):
        core, _ = build_core(preset, host_memory >> 12)
        vcpu = build_vcpu(1)
        assert core.cache["short"][: len(preset.caches)].all() == (host_memory == 100 << 30)
        rng = np.random.default_rng(1)
        for span in (100, 1000, 5000, 20000) * 3:
            price_lines(core, vcpu, rng.integers(0, span, core.noted.size))
        counted.append(vcpu.references[served].tolist())
    assert counted[0] == counted[1] and min(counted[0]) > 0
    alike = 30_000 + (np.arange(16) << 32)
    before = vcpu.references.copy()
    price_lines(core, vcpu, np.tile(alike, 2))
    assert (vcpu.references - before)[served].tolist() == [16, 0, 0, 16]


def price_lines(core: Core, vcpu: VCPU, lines: np.ndarray) -> None:
    """References to lines, of site 0."""
    core.noted[: lines.size] = lines << 12
    core.record[0]["noted"] = lines.size
    priced(core, vcpu)
