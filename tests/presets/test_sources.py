"""Numbers of presets: every cost is there, with a source for each."""

from __future__ import annotations

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.report.cost import COSTS, costs_of
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.specs import costs

OF_TECHNIQUES = costs(registry.built_in())


def test_all_costs_are_there(preset):
    assert set(COSTS) <= set(preset.costs) <= {*COSTS, *OF_TECHNIQUES}
    assert all(cost.value > 0 for cost in preset.costs.values())


def test_every_number_has_a_source(preset):
    numbers = [preset.page_table_share, preset.memory_latency, *preset.costs.values()]
    numbers += OF_TECHNIQUES.values()
    numbers += [cache.latency for cache in preset.caches]
    assert all(isinstance(number, Cited) for number in numbers)
    for thing in (*numbers, *preset.tlbs, *preset.walk_caches, *preset.caches):
        assert thing.source == thing.source.strip() != ""


def test_every_cost_has_a_range(preset):
    costs = [preset.page_table_share, preset.memory_latency, *(c.latency for c in preset.caches)]
    for cost in (*costs, *preset.costs.values(), *OF_TECHNIQUES.values()):
        assert cost.low <= cost.value <= cost.high and cost.low < cost.high, cost.source


def test_exits_of_shadow_paging_cost_more_than_the_exit_alone(preset):
    shadow, nested = (costs_of(preset, registry.get(name)) for name in ("shadow", "nested"))
    assert 0 < shadow["reflected_fault"] < shadow["shadow_fill"] <= nested["ept_violation"]
    assert all(cost > 0 for cost in (*shadow.values(), *nested.values()))
    assert preset.costs["page_zero"].value < preset.costs["page_copy"].value
