"""Caches that tables and data share: exact ones equal a brute-force model line for line, the
sample is near them, and no technique's tables are luckier than another's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drivers.followed import Followed
from drivers.traces import Script

from mmulab import workloads
from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.hardware.caches import MISSED, price
from mmulab.mmu.hardware.lines import LINES, PAGE
from mmulab.mmu.hardware.state import CACHE_LEVELS, Machine
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.machine.simulator import build
from mmulab.mmu.presets.overrides import override
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report.cost import latencies
from mmulab.mmu.report.results import TechniqueResult
from mmulab.mmu.simulate import compare
from mmulab.mmu.trace import LOAD, Chunk


class Beginning:
    """The first accesses of a trace, in chunks of a size."""

    def __init__(self, spec: str, accesses: int, chunk: int = 1 << 20) -> None:
        self.name, self.length = spec, accesses
        self._spec, self._chunk = spec, chunk

    def chunks(self, columns=()):  # type: ignore[no-untyped-def]
        left = self.length
        for chunk in workloads.resolve(self._spec).chunks():
            for first in range(0, chunk.accesses, self._chunk):
                last = min(chunk.accesses, first + self._chunk, first + left)
                if not left:
                    return
                yield piece(chunk, first, last)
                left -= last - first


def piece(chunk: Chunk, first: int, last: int) -> Chunk:
    at = chunk.events["position"]
    events = chunk.events[(at >= first) & ((at < last) | (last == chunk.accesses))].copy()
    events["position"] -= first
    return chunk.part(slice(first, last), events)


#: Small caches, so that short traces fill them.
SMALL = Config(memory=256 << 20, caches="exact", llc=1 << 20)


def small(name: str) -> Preset:
    preset = presets.load(name)
    sizes = (8 << 10, 64 << 10, 0)
    caches = tuple(replace(c, size=s) for c, s in zip(preset.caches, sizes, strict=True))
    return replace(preset, caches=caches)


TRACES = {
    "@python": 20_000,
    "@xz": 20_000,
    "@shell": 60_000,
    "gups:size=8M,accesses=20K": 20_000,
    "triad:size=1M,accesses=20K": 20_000,
    "buildfarm:accesses=6K": 6_000,
}


#: Processor and page size by technique; the last cache of zen-5 hashes its index.
ON = {"native": ("opteron-2008", "thp"), "shadow": ("zen-5", "thp"), "nested": ("haswell", "4k")}


@pytest.mark.parametrize("technique", ON)
@pytest.mark.parametrize("spec", TRACES)
def test_exact_caches_equal_a_brute_force_model(spec: str, technique: str) -> None:
    name, page_size = ON[technique]
    preset, config = small(name), replace(SMALL, page_size=page_size)
    (found,) = compare(Beginning(spec, TRACES[spec]), preset, config, technique).results
    model = Followed(Beginning(spec, TRACES[spec], 7777), preset, config, technique)
    levels = (*range(len(preset.caches)), 4)
    assert found.data["served_by"] == [model.data[level] for level in levels]
    sites = model.simulator.spec.technique.walk.sites
    expected = {}
    for (site, level), number in model.references.items():
        at = expected.setdefault(sites[site].label, [0] * len(levels))
        at[levels.index(level)] = number
    assert {each["site"]: each["served_by"] for each in found.references} == expected
    assert model.named and sum(found.data["served_by"][1:]) > 100


@pytest.mark.parametrize(("index", "level"), [("straight", -1), ("hashed", 2)])
def test_where_lines_at_one_page_offset_are_found(index: str, level: int) -> None:
    """1,000 lines at one offset, again and again. A last cache of 1,024 sets of 16 ways holds 256
    of them where the offset chooses among 64 rows, all where it does not. In the first round the
    kernel zeroes pages."""
    rounds = [(0x10_0000_0300 + (page << 12), LOAD, 8) for page in range(1000)] * 3
    preset = override(small("zen-5"), "cache.L3.index", index)
    (result,) = compare(Script(*rounds), preset, SMALL, "native", warmup=2000).results
    again = result.data["served_by"]
    assert sum(again) == 1000
    assert again[level] > 900


# --- Sampled, and what must hold of both


def cycles(result: TechniqueResult, name: str) -> tuple[float, float]:
    """(of walks, of data) on a preset, if each is waited for alone."""
    preset = presets.load(name)
    costs = latencies(preset) | {f"cost.{key}": cost for key, cost in preset.costs.items()}
    spent = {
        category: sum(number * costs[key].value for key, number in result.charges[category].items())
        for category in ("guest_walk", "nested_walk", "data")
    }
    return spent["guest_walk"] + spent["nested_walk"], spent["data"]


TECHNIQUES = "native,shadow,nested"
NEAR = [
    "@python", "@xz", "@shell", "gups:size=32M,accesses=300K", "zipf:keys=100K,accesses=300K",
    "graph:accesses=300K", "triad:size=4M,accesses=300K", "buildfarm:accesses=3M",
    "btree:accesses=300K", "hashjoin:accesses=300K", "webserver:accesses=200K",
]  # fmt: skip


@pytest.mark.parametrize("spec", NEAR)
def test_sampled_caches_are_near_exact_ones(spec: str) -> None:
    trace, preset = workloads.resolve(spec), presets.load("golden-cove")
    exact, sampled = (
        compare(trace, preset, Config(caches=how), TECHNIQUES) for how in ("exact", "sampled")
    )
    for one, other in zip(exact.results, sampled.results, strict=True):
        near = pytest.approx(cycles(one, "golden-cove"), rel=0.03)
        assert cycles(other, "golden-cove") == near
        assert sum(other.data["served_by"]) == sum(one.data["served_by"])
        assert other.counts == one.counts and other.exits == one.exits
        assert other.references_per_walk == one.references_per_walk


@pytest.mark.parametrize("how", ["exact", "sampled"])
@pytest.mark.parametrize("warmup", [0, 31_111])
def test_chunks_change_nothing(how: str, warmup: int) -> None:
    preset, config = presets.load("zen-4"), Config(caches=how)
    whole, parts = (
        compare(Beginning("@shell", 120_000, size), preset, config, TECHNIQUES, warmup=warmup)
        for size in (1 << 20, 997)
    )
    for one, other in zip(whole.results, parts.results, strict=True):
        assert one.data == other.data and one.references == other.references
        assert one.charges == other.charges and one.structures == other.structures


#: After a warm-up that touches all, what goes on for as long as GUPS does.
PAGES = {"64M": 1 << 14, "128M": 1 << 15, "256M": 1 << 16}


def steady_gups(name: str, how: str, size: str) -> list[TechniqueResult]:
    trace = workloads.resolve(f"gups:size={size},accesses=400K")
    config = Config(memory=1 << 30, caches=how)
    warmup = PAGES[size] + 200_000
    return list(compare(trace, presets.load(name), config, TECHNIQUES, warmup=warmup).results)


@pytest.mark.parametrize(("how", "within"), [("exact", 0.01), ("sampled", 0.03)])
@pytest.mark.parametrize("name", presets.names())
def test_shadow_walks_cost_what_native_ones_do(name: str, how: str, within: float) -> None:
    native, shadow, nested = steady_gups(name, how, "128M")
    assert shadow.counts["walks"] == native.counts["walks"] > 10_000
    assert cycles(shadow, name) == pytest.approx(cycles(native, name), rel=within)
    assert cycles(nested, name)[0] > 1.2 * cycles(native, name)[0]


@pytest.mark.parametrize("name", ["skylake-sp", "golden-cove", "zen-4", "neoverse-n1"])
def test_nested_over_native_is_smooth_in_the_size_of_the_table(name: str) -> None:
    ratios = []
    for size in PAGES:
        native, _, nested = steady_gups(name, "sampled", size)
        ratios.append(sum(cycles(nested, name)) / sum(cycles(native, name)))
    steps = np.array(ratios[1:]) / np.array(ratios[:-1])
    assert (steps < 1.4).all() and (steps > 1 / 1.4).all()


def test_streams_are_prefetched_and_random_updates_are_not() -> None:
    config = Config(caches="exact")
    per_access = {}
    for spec in ("triad:size=32M,accesses=300K", "gups:size=128M,accesses=300K,init=0"):
        for name in presets.names():
            result = compare(workloads.resolve(spec), presets.load(name), config, "native")[
                "native"
            ]
            per_access[spec[:4], name] = cycles(result, name)[1] / result.counts["accesses"]
    for name in presets.names():
        memory = presets.load(name).memory_latency.value
        assert per_access["tria", name] < 0.05 * memory  # a new line every eight accesses
        assert per_access["gups", name] > max(0.1 * memory, 4 * per_access["tria", name])


@entry
def _price(machine: Machine, at, line, until):  # type: ignore[no-untyped-def]
    return price(machine.core, machine.vcpu, at, line, until)


@pytest.mark.parametrize("more", [0, 1])
def test_pages_and_data_that_all_miss_stay_within_their_buffer(more: int) -> None:
    machine = build("native", presets.load("skylake-sp"), Config(memory=64 << 20)).machine
    core, guard = machine.core, np.zeros((2, 2 * MISSED), np.int64)
    fields = {name: getattr(core, name) for name in core.FIELDS}
    fields |= {"missed": guard[0, :MISSED], "missed_as": guard[1, :MISSED]}
    machine = Machine(**{name: getattr(machine, name) for name in machine.FIELDS}
                      | {"core": type(core)(**fields)})  # fmt: skip
    pages = MISSED // LINES + more
    names = np.random.default_rng(1).integers(1, 1 << 57, pages + 10) << 6
    core.noted[:pages] = names[:pages]  # each page's first line
    core.noted_as[:pages] = PAGE
    core.record[0]["noted"] = pages
    _price(machine, np.arange(10, dtype=np.int32), names[pages:], 10)
    assert not guard[:, MISSED:].any()
    ended = machine.vcpu.references[-2 * CACHE_LEVELS :]
    assert ended.tolist() == [0, 0, 0, 0, 10, 0, 0, 0, 0, pages * LINES]


def test_off_charges_no_data_and_leaves_the_caches_to_tables() -> None:
    trace, preset = workloads.resolve("gups:size=64M,accesses=100K"), presets.load("haswell")
    off, sampled = (
        compare(trace, preset, Config(caches=how), TECHNIQUES) for how in ("off", "sampled")
    )
    for alone, contended in zip(off.results, sampled.results, strict=True):
        assert sum(alone.data["served_by"]) == 0 == cycles(alone, "haswell")[1]
        assert cycles(alone, "haswell")[0] < cycles(contended, "haswell")[0]


def test_the_last_cache_is_as_large_as_asked() -> None:
    trace, preset = workloads.resolve("gups:size=64M,accesses=300K"), presets.load("skylake-sp")
    whole = int(preset.llc_size.value)
    costs = {}
    for llc in (1 << 20, "slice", 8 << 20, "socket", whole):
        result = compare(trace, preset, Config(llc=llc), "native", warmup=100_000)["native"]
        costs[llc] = cycles(result, "skylake-sp")[1]
    assert costs[whole] == costs["socket"] < 0.9 * costs[1 << 20]
    assert list(costs.values()) == sorted(costs.values(), reverse=True)
