"""The cycle model: what was counted, times what each costs.

Counting is the simulator's business, pricing is this file's: the same counts can
be priced again with other costs. All costs come from the preset and can be
overridden; their sources stand there.

    cycles = work + TLB + walks + guest kernel + VM exits + shadow upkeep

Not modelled: overlap of walks with other work (an out-of-order core hides part of
them), more than one walk at a time, and the VMM's own use of TLBs and caches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.techniques.technique import Technique

#: Names of a preset's costs, each in cycles an event.
COSTS = (
    "work_per_access",
    "l2_tlb_hit",
    "guest_fault",
    "page_zero",
    "page_copy",
    "invlpg",
    "cr3_load",
    "vm_exit",
)

#: Where cycles go, in the order of tables and plots, with what each name means.
CATEGORIES = {
    "work": "the program itself, with translation free",
    "l2_tlb": "L1 TLB misses: the look-up in the L2 TLB",
    "guest_walk": "page walks: references to the guest's table (or the only one)",
    "nested_walk": "page walks: references to the nested table",
    "guest_kernel": "guest page faults, zeroing, copying, INVLPG, CR3 loads",
    "exit_fault": "VM exits that back or map memory: EPT violations, shadow fills, "
    "reflected faults, copies of merged pages",
    "exit_pte": "VM exits of guest page-table writes",
    "exit_flush": "VM exits of INVLPG and CR3 loads",
    "shadow": "bringing shadow tables up to date",
}

#: Counts of the guest kernel's work that an exit may stand in for.
REPLACED = ("invlpgs", "cr3_loads")

#: Categories that a program would have with free translation, too.
NOT_TRANSLATION = ("work", "guest_kernel")


def latencies(preset: Preset) -> list[float]:
    """Cycles of a page-table reference by the level that serves it, memory last."""
    return [cache.latency.value for cache in preset.caches] + [preset.memory_latency.value]


def costs_of(preset: Preset, technique: Technique) -> dict[str, float]:
    """What each of a technique's exits and counters costs beside `vm_exit`: its own cost, or
    the preset's for it, `NAME.REASON`."""
    return {
        name: preset.costs.get(f"{technique.name}.{name}", cost).value
        for name, cost in technique.costs.items()
    }


def check_categories(technique: Technique) -> None:
    """Raises InputError where what a technique counts is to be charged to no category, or in
    the place of a count that has no cost."""
    charged = [each.category for each in technique.exits]
    charged += [each.category for each in technique.counters]
    for category in charged:
        if category not in CATEGORIES:
            raise InputError(
                f"technique {technique.name}: {unknown('category', category, CATEGORIES)}"
            )
    for one in technique.exits:
        if one.instead_of and one.instead_of not in REPLACED:
            problem = unknown("count that an exit stands for", one.instead_of, REPLACED)
            raise InputError(f"technique {technique.name}: {problem}")


def price(
    counts: Mapping[str, Any],
    references: Mapping[str, list[int]],
    preset: Preset,
    technique: Technique,
) -> dict[str, float]:
    """Cycles by category.

    counts: as in `mmu.report.results.TechniqueResult.counts`. references: by dimension
    ("guest", "nested"), a count for each cache level and memory.
    """
    cost = {name: preset.costs[name].value for name in COSTS}
    cycles = dict.fromkeys(CATEGORIES, 0.0)
    data = counts["loads"] + counts["stores"]
    cycles["work"] = cost["work_per_access"] * (data or counts["fetches"])
    looked_into = counts["l2_tlb_hits"] + counts["repeated_l2_hits"] + counts["walks"]
    cycles["l2_tlb"] = cost["l2_tlb_hit"] * looked_into
    for dimension, served in references.items():
        category = "guest_walk" if dimension == "guest" else "nested_walk"
        cycles[category] += sum(
            n * latency for n, latency in zip(served, latencies(preset), strict=True)
        )
    exits = counts["exits"]
    instead: Counter[str] = Counter()
    for each in technique.exits:
        instead[each.instead_of] += exits[each.reason]
    cycles["guest_kernel"] = (
        cost["guest_fault"] * counts["guest_faults"]
        + cost["page_zero"] * counts["pages_zeroed"]
        + cost["page_copy"] * counts["pages_copied"]
        + cost["invlpg"] * (counts["invlpgs"] - instead["invlpgs"])
        + cost["cr3_load"] * (counts["cr3_loads"] - instead["cr3_loads"])
    )
    own = costs_of(preset, technique)
    for each in technique.exits:
        cycles[each.category] += exits[each.reason] * (cost["vm_exit"] + own[each.reason])
    cycles["exit_fault"] += cost["page_copy"] * counts["host_copies"]
    for counter in technique.counters:
        if counter.cost:
            cycles[counter.category] += own[counter.name] * counts[counter.name]
    return cycles
