"""The cycle model against sums done by hand."""

from __future__ import annotations

from dataclasses import replace

from mmulab.mmu import presets
from mmulab.mmu.hardware.state import EXIT_REASONS
from mmulab.mmu.presets.preset import Cited
from mmulab.mmu.report.cost import CATEGORIES, COSTS, latencies, price

# Costs that are distinct primes times a power of ten apart, so that a wrong term shows.
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53)
PRESET = replace(
    presets.load("skylake-sp"),
    costs={name: Cited(prime, "test") for name, prime in zip(COSTS, PRIMES, strict=True)},
)
COST = dict(zip(COSTS, PRIMES, strict=True))


def counts(**changes: object) -> dict[str, object]:
    names = (
        "loads stores fetches l2_tlb_hits walks guest_faults pages_zeroed pages_copied "
        "invlpgs cr3_loads synced_entries unshadowed_pages host_copies"
    ).split()
    base: dict[str, object] = dict.fromkeys(names, 0)
    base["exits"] = dict.fromkeys(EXIT_REASONS, 0)
    return base | changes


def references(guest: int = 0, nested: int = 0) -> dict[str, list[int]]:
    levels = len(latencies(PRESET))
    return {"guest": [guest] * levels, "nested": [nested] * levels}


def test_nothing_costs_nothing() -> None:
    assert price(counts(), references(), PRESET) == dict.fromkeys(CATEGORIES, 0.0)


def test_each_count_lands_in_its_category() -> None:
    cases = {
        ("work", COST["work_per_access"] * 10): counts(loads=7, stores=3, fetches=50),
        ("l2_tlb", COST["l2_tlb_hit"] * 9): counts(l2_tlb_hits=4, walks=5),
        (
            "guest_kernel",
            COST["guest_fault"] + 2 * COST["page_zero"] + 3 * COST["page_copy"],
        ): counts(guest_faults=1, pages_zeroed=2, pages_copied=3),
        ("shadow", 4 * COST["sync_entry"] + 5 * COST["unshadow_page"]): counts(
            synced_entries=4, unshadowed_pages=5
        ),
    }
    for (category, cycles), count in cases.items():
        expected = dict.fromkeys(CATEGORIES, 0.0) | {category: cycles}
        assert price(count, references(), PRESET) == expected


def test_a_fetch_only_trace_has_work() -> None:
    assert price(counts(fetches=10), references(), PRESET)["work"] == 10 * COST["work_per_access"]


def test_references_are_priced_by_the_level_that_serves_them() -> None:
    cycles = price(counts(), references(guest=2, nested=3), PRESET)
    assert cycles["guest_walk"] == 2 * sum(latencies(PRESET))
    assert cycles["nested_walk"] == 3 * sum(latencies(PRESET))


def test_an_invlpg_that_exits_is_not_paid_twice() -> None:
    exits = dict.fromkeys(EXIT_REASONS, 0) | {"invlpg": 2, "cr3_load": 1}
    cycles = price(counts(invlpgs=5, cr3_loads=4, exits=exits), references(), PRESET)
    assert cycles["guest_kernel"] == 3 * COST["invlpg"] + 3 * COST["cr3_load"]
    assert cycles["exit_flush"] == 2 * (COST["vm_exit"] + COST["exit_invlpg"]) + (
        COST["vm_exit"] + COST["exit_cr3"]
    )


def test_every_exit_is_paid_for() -> None:
    for reason in EXIT_REASONS:
        exits = dict.fromkeys(EXIT_REASONS, 0) | {reason: 1}
        # One of each instruction, so that those that exit have happened.
        cycles = price(counts(invlpgs=1, cr3_loads=1, exits=exits), references(), PRESET)
        paid = sum(cycles[c] for c in ("exit_fault", "exit_pte", "exit_flush"))
        assert paid > COST["vm_exit"]
