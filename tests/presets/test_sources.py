"""Numbers of presets: every cost is there, with a source for each."""

from __future__ import annotations

from mmulab.mmu.presets.preset import Cited
from mmulab.mmu.report.cost import COSTS


def test_all_costs_are_there(preset):
    assert set(preset.costs) == set(COSTS)
    assert all(cost.value > 0 for cost in preset.costs.values())


def test_every_number_has_a_source(preset):
    numbers = [preset.page_table_share, preset.memory_latency, *preset.costs.values()]
    numbers += [cache.latency for cache in preset.caches]
    assert all(isinstance(number, Cited) for number in numbers)
    for thing in (*numbers, *preset.tlbs, *preset.walk_caches, *preset.caches):
        assert thing.source == thing.source.strip() != ""


def test_exits_of_shadow_paging_cost_more_than_the_exit_alone(preset):
    costs = {name: cost.value for name, cost in preset.costs.items()}
    assert costs["reflect_fault"] < costs["shadow_fill"] <= costs["ept_violation"]
    assert costs["page_zero"] < costs["page_copy"]
