"""Numbers of presets: every cost is there, with a source for each."""

from __future__ import annotations

import pytest

from mmulab.mmu import presets
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import NUMBERS, PREFETCHERS, STATED
from mmulab.mmu.report.cost import COSTS, costs_of
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.specs import costs

OF_TECHNIQUES = costs(registry.built_in())


def test_all_costs_are_there(preset):
    has = {unit.name for unit in preset.walk_caches if unit.ways}
    of_structures = {"pwc_hit"} if "pwc" in has else set()
    assert {*COSTS, *of_structures} <= set(preset.costs)
    assert set(preset.costs) <= {*COSTS, *of_structures, *OF_TECHNIQUES}
    assert all(cost.value > 0 for cost in preset.costs.values())


def test_every_number_has_a_source(preset):
    numbers = [getattr(preset, name) for name in NUMBERS]
    numbers += [*preset.costs.values(), *OF_TECHNIQUES.values()]
    numbers += [cache.latency for cache in preset.caches]
    assert all(isinstance(number, Cited) for number in numbers)
    stated = [getattr(preset, name) for name in STATED]
    for thing in (*numbers, *stated, *preset.tlbs, *preset.walk_caches, *preset.caches):
        assert thing.source == thing.source.strip() != ""


def test_every_cost_has_a_range(preset):
    costs = [preset.memory_latency, *(c.latency for c in preset.caches)]
    for cost in (*costs, *preset.costs.values(), *OF_TECHNIQUES.values()):
        assert cost.low <= cost.value <= cost.high and cost.low < cost.high, cost.source


def test_exits_of_shadow_paging_cost_more_than_the_exit_alone(preset):
    costs = [costs_of(preset, registry.get(name)) for name in ("shadow", "nested")]
    cost = {key: cited.value for each in costs for key, cited in each.items()}
    shadow = cost["cost.shadow.reflected_fault"], cost["cost.shadow.shadow_fill"]
    assert 0 < shadow[0] < shadow[1] <= cost["cost.nested.ept_violation"]
    assert all(value > 0 for value in cost.values())
    assert preset.costs["page_zero"].value < preset.costs["page_copy"].value


def test_what_a_core_has_at_once_and_of_the_last_cache(preset):
    names = [cache.name for cache in preset.caches]
    assert preset.walks_enter.names[0] in names[:2]
    assert preset.prefetchers.names and set(preset.prefetchers.names) <= set(PREFETCHERS)
    assert 1 <= preset.walkers.value <= preset.miss_registers.value < preset.window.value
    assert 1 < preset.clock_ghz.value < 7
    each = preset.llc_size.value / preset.llc_slices.value
    assert each == pytest.approx(preset.caches[-1].size, rel=0.03)


#: Figures of sources in ns, at the clock that a preset states.
IN_NS = {
    ("skylake-sp", "memory"): 80,
    ("skylake-sp", "L3"): 20.5,
    ("golden-cove", "memory"): 109,
    ("golden-cove", "L3"): 37,
    ("zen-4", "memory"): 73.35,
    ("lion-cove", "memory"): 131.4,
    ("neoverse-v2", "memory"): 114.08,
}


@pytest.mark.parametrize(("name", "what"), IN_NS)
def test_latencies_in_ns_are_cycles_at_the_clock_of_the_preset(name, what):
    preset = presets.load(name)
    latency = {cache.name: cache.latency for cache in preset.caches}.get(
        what, preset.memory_latency
    )
    assert latency.value / preset.clock_ghz.value == pytest.approx(IN_NS[name, what], rel=0.01)
    assert f"{IN_NS[name, what]:g} ns" in latency.source


@pytest.mark.parametrize(
    ("name", "cycles"), [("haswell", 8), ("skylake-sp", 9), ("golden-cove", 7), ("lion-cove", 7)]
)
def test_hits_of_the_l2_tlb_cost_what_intel_counts_for_them(name, cycles):
    assert presets.load(name).costs["l2_tlb_hit"].value == cycles
