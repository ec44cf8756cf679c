"""The cycle model against sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmulab.mmu import presets
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.report.cost import CATEGORIES, COSTS, latencies, price
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.specs import costs
from mmulab.mmu.techniques.technique import Technique

TECHNIQUES = registry.built_in()
SHADOW = registry.get("shadow")

# Costs that are distinct primes times a power of ten apart, so that a wrong term shows.
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59)
COST = dict(zip((*COSTS, *costs(TECHNIQUES)), PRIMES, strict=True))
PRESET = replace(
    presets.load("skylake-sp"),
    costs={name: Cited(prime, "test") for name, prime in COST.items()},
)


def counts(**changes: object) -> dict[str, object]:
    names = (
        "loads stores fetches l2_tlb_hits repeated_l2_hits walks guest_faults pages_zeroed "
        "pages_copied invlpgs cr3_loads host_copies"
    ).split()
    base: dict[str, object] = dict.fromkeys(names, 0)
    base |= dict.fromkeys((counter.name for counter in SHADOW.counters), 0)
    base["exits"] = exits(SHADOW)
    return base | changes


def exits(technique: Technique, **changes: int) -> dict[str, int]:
    return dict.fromkeys((each.reason for each in technique.exits), 0) | changes


def references(guest: int = 0, nested: int = 0) -> dict[str, list[int]]:
    levels = len(latencies(PRESET))
    return {"guest": [guest] * levels, "nested": [nested] * levels}


def test_nothing_costs_nothing() -> None:
    assert price(counts(), references(), PRESET, SHADOW) == dict.fromkeys(CATEGORIES, 0.0)


def test_each_count_lands_in_its_category() -> None:
    cases = {
        ("work", COST["work_per_access"] * 10): counts(loads=7, stores=3, fetches=50),
        ("l2_tlb", COST["l2_tlb_hit"] * 12): counts(l2_tlb_hits=4, repeated_l2_hits=3, walks=5),
        (
            "guest_kernel",
            COST["guest_fault"] + 2 * COST["page_zero"] + 3 * COST["page_copy"],
        ): counts(guest_faults=1, pages_zeroed=2, pages_copied=3),
        ("shadow", 4 * COST["shadow.synced_entries"] + 5 * COST["shadow.unshadowed_pages"]): counts(
            synced_entries=4, unshadowed_pages=5
        ),
    }
    for (category, cycles), count in cases.items():
        expected = dict.fromkeys(CATEGORIES, 0.0) | {category: cycles}
        assert price(count, references(), PRESET, SHADOW) == expected


def test_a_fetch_only_trace_has_work() -> None:
    assert (
        price(counts(fetches=10), references(), PRESET, SHADOW)["work"]
        == 10 * COST["work_per_access"]
    )


def test_references_are_priced_by_the_level_that_serves_them() -> None:
    cycles = price(counts(), references(guest=2, nested=3), PRESET, SHADOW)
    assert cycles["guest_walk"] == 2 * sum(latencies(PRESET))
    assert cycles["nested_walk"] == 3 * sum(latencies(PRESET))


def test_an_invlpg_that_exits_is_not_paid_twice() -> None:
    happened = exits(SHADOW, invlpg=2, cr3_load=1)
    cycles = price(counts(invlpgs=5, cr3_loads=4, exits=happened), references(), PRESET, SHADOW)
    assert cycles["guest_kernel"] == 3 * COST["invlpg"] + 3 * COST["cr3_load"]
    assert cycles["exit_flush"] == 2 * (COST["vm_exit"] + COST["shadow.invlpg"]) + (
        COST["vm_exit"] + COST["shadow.cr3_load"]
    )


def test_two_exits_may_stand_in_for_one_instruction() -> None:
    # Given a technique whose exits of loads of CR3 have two reasons,
    another = replace(SHADOW.exits[-1], reason="other_load", instead_of="cr3_loads")
    technique = replace(SHADOW, exits=(*SHADOW.exits, another))
    happened = exits(technique, cr3_load=1, other_load=2)
    # then a load that exits by either is paid for as an exit only.
    cycles = price(counts(cr3_loads=4, exits=happened), references(), PRESET, technique)
    assert cycles["guest_kernel"] == COST["cr3_load"]


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)
def test_every_exit_is_paid_for(technique: Technique) -> None:
    for each in technique.exits:
        # One of each instruction, so that those that exit have happened.
        count = counts(invlpgs=1, cr3_loads=1, exits=exits(technique, **{each.reason: 1}))
        cycles = price(count, references(), PRESET, technique)
        paid = sum(cycles[c] for c in ("exit_fault", "exit_pte", "exit_flush"))
        assert paid == COST["vm_exit"] + COST[f"{technique.name}.{each.reason}"]
