"""The cycle model against sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmulab.mmu import presets
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.report import cost as model
from mmulab.mmu.report.cost import CATEGORIES, COSTS, NOTHING, Range, costs_of
from mmulab.mmu.report.counts import Counted
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.specs import costs
from mmulab.mmu.techniques.technique import Technique

TECHNIQUES = registry.built_in()
SHADOW = registry.get("shadow")

# Costs that are distinct primes, so that a wrong term shows.
PRIMES = [n for n in range(2, 1000) if all(n % d for d in range(2, n))]
COST = dict(zip((*COSTS, *costs(TECHNIQUES)), PRIMES, strict=False))
assert len(COST) < len(PRIMES)
PRESET = replace(
    presets.load("skylake-sp"),
    costs={name: Cited(prime, "test") for name, prime in COST.items()},
)


LATENCIES = [cost.value for cost in model.latencies(PRESET).values()]


def counted(technique: Technique = SHADOW, **changes: int) -> Counted:
    """Nothing but what is named: a count, an exit (of its reason) or an event."""
    names = (
        "loads stores fetches l2_tlb_hits repeated_l2_hits walks guest_faults pages_zeroed "
        "pages_copied invlpgs cr3_loads host_copies guest_pwc_hits nested_pwc_hits "
        "tlb_prefetch_hits thp_scanned"
    ).split()
    exits = (each.reason for each in technique.exits)
    events = (each.name for each in technique.counters)
    zeros = Counted(*(dict.fromkeys(each, 0) for each in (names, exits, events)))
    for name, number in changes.items():
        kind = next(each for each in zeros if name in each)
        kind[name] = number
    return zeros


def references(guest: int = 0, nested: int = 0) -> dict[str, list[int]]:
    levels = len(LATENCIES)
    return {"guest": [guest] * levels, "nested": [nested] * levels}


def price(
    of: Counted, served: dict[str, list[int]] | None = None, technique: Technique = SHADOW
) -> dict[str, float]:
    """Likely cycles by category."""
    charged = model.charges(of, served or references(), PRESET, technique)
    priced = model.price(charged, costs_of(PRESET, technique))
    assert model.likely(charged, costs_of(PRESET, technique)) == model.total(priced).likely
    return {category: spent.likely for category, spent in priced.items()}


def test_nothing_costs_nothing() -> None:
    assert price(counted()) == dict.fromkeys(CATEGORIES, 0.0)


def test_each_count_lands_in_its_category() -> None:
    cases = {
        ("work", COST["work_per_access"] * 10): counted(loads=7, stores=3, fetches=50),
        ("l2_tlb", COST["l2_tlb_hit"] * 14): counted(
            l2_tlb_hits=4, repeated_l2_hits=3, walks=5, tlb_prefetch_hits=2
        ),
        (
            "guest_kernel",
            COST["guest_fault"] + 2 * COST["page_zero"] + 3 * COST["page_copy"],
        ): counted(guest_faults=1, pages_zeroed=2, pages_copied=3),
        ("guest_kernel", 3 * LATENCIES[-1]): counted(thp_scanned=3 * 8),
        (
            "shadow",
            4 * COST["shadow.synced_entries"] + 5 * COST["shadow.unshadowed_pages"],
        ): counted(synced_entries=4, unshadowed_pages=5),
    }
    for (category, cycles), count in cases.items():
        expected = dict.fromkeys(CATEGORIES, 0.0) | {category: cycles}
        assert price(count) == expected


def test_a_fetch_only_trace_has_work() -> None:
    assert price(counted(fetches=10))["work"] == 10 * COST["work_per_access"]


def test_references_are_priced_by_the_level_that_serves_them() -> None:
    cycles = price(counted(), references(guest=2, nested=3))
    assert cycles["guest_walk"] == 2 * sum(LATENCIES)
    assert cycles["nested_walk"] == 3 * sum(LATENCIES)


def test_hits_of_the_page_walk_cache_are_charged_where_a_preset_has_one() -> None:
    hits = counted(guest_pwc_hits=3, nested_pwc_hits=5)
    assert price(hits)["guest_walk"] == price(hits)["nested_walk"] == 0
    preset = replace(PRESET, costs={**PRESET.costs, "pwc_hit": Cited(61, "test")})
    charged = model.charges(hits, references(), preset, SHADOW)
    cycles = model.price(charged, costs_of(preset, SHADOW))
    assert cycles["guest_walk"].likely == 3 * 61 and cycles["nested_walk"].likely == 5 * 61


def test_an_invlpg_that_exits_is_not_paid_twice() -> None:
    cycles = price(counted(invlpgs=5, cr3_loads=4, invlpg=2, cr3_load=1))
    assert cycles["guest_kernel"] == 3 * COST["invlpg"] + 3 * COST["cr3_load"]
    assert cycles["exit_flush"] == 2 * (COST["vm_exit"] + COST["shadow.invlpg"]) + (
        COST["vm_exit"] + COST["shadow.cr3_load"]
    )


def test_two_exits_may_stand_in_for_one_instruction() -> None:
    # Given a technique whose exits of loads of CR3 have two reasons,
    another = replace(SHADOW.exits[-1], reason="other_load", instead_of="cr3_loads")
    technique = replace(SHADOW, exits=(*SHADOW.exits, another))
    # then a load that exits by either is paid for as an exit only.
    cycles = price(counted(technique, cr3_loads=4, cr3_load=1, other_load=2), technique=technique)
    assert cycles["guest_kernel"] == COST["cr3_load"]


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)
def test_every_exit_is_paid_for(technique: Technique) -> None:
    for each in technique.exits:
        # One of each instruction, so that those that exit have happened.
        count = counted(technique, invlpgs=1, cr3_loads=1, **{each.reason: 1})
        cycles = price(count, technique=technique)
        paid = sum(cycles[c] for c in ("exit_fault", "exit_pte", "exit_flush"))
        by_hardware = COST["vm_exit"] if each.by_hardware else 0
        assert paid == by_hardware + COST[f"{technique.name}.{each.reason}"]


def test_a_range_is_priced_at_both_ends() -> None:
    exit_cost = Cited(1000, "test", low=500, high=3000)
    preset = replace(PRESET, costs=PRESET.costs | {"vm_exit": exit_cost})
    charged = model.charges(counted(invlpg=2, invlpgs=2), references(), preset, SHADOW)
    priced = model.price(charged, costs_of(preset, SHADOW))
    own = 2 * COST["shadow.invlpg"]
    assert priced["exit_flush"] == Range(1000 + own, 2000 + own, 6000 + own)
    assert priced["work"] == NOTHING
    assert model.total(priced) == priced["exit_flush"]
