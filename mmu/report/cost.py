"""The cycle model: what was counted, times what each costs.

Counting is the simulator's business, pricing is this file's: what is charged is
linear in the costs, so that the same counts can be priced again with other costs.
All costs come from the preset and can be overridden; their sources and ranges stand
there.

    cycles = work + data + TLB + walks + guest kernel + VM exits + shadow upkeep

Work contains the first cache's latency of every load and store, so that data costs, for each line
that the program touches, what the level that serves it takes beyond that. Of cycles of walks and of
the program's misses, only the part that is waited for is taken: `mmu.report.overlap`.

Not modelled: the VMM's own use of TLBs and caches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.presets.cited import WALK, Cited
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.presets.shootdowns import SHOOTDOWNS
from mmulab.mmu.report.counts import Counted
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

#: Those that only some presets have, by the count that it is charged for, and where: of a
#: structure, and what a walk takes beside its references, which is in no maker's numbers.
OF_SOME = {
    "walks": (WALK, "guest_walk"),
    "tlb_prefetch_hits": ("l2_tlb_hit", "l2_tlb"),  # the buffer is looked into with the L2 TLB
    "guest_pwc_hits": ("pwc_hit", "guest_walk"),
    "nested_pwc_hits": ("pwc_hit", "nested_walk"),
}

#: Where cycles go, in the order of tables and plots, with what each name means.
CATEGORIES = {
    "work": "the program itself, with translation free and all its data in the first cache",
    "data": "data caches: the program's own misses of the first cache",
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

#: And of a run on several cores.
SHOOTDOWN = "shootdown"
OF_CORES = {SHOOTDOWN: "telling other cores to drop translations, and being told"}

#: What a line of 64 bytes holds of a guest's table.
GPTES_A_LINE = 8

#: Counts of the guest kernel's work that an exit may stand in for.
REPLACED = ("invlpgs", "cr3_loads")

#: Categories that a program would have with free translation, too.
NOT_TRANSLATION = ("work", "data", "guest_kernel")


class Range(NamedTuple):
    """Cycles: the likely number, and those with every cost at its lowest and its highest."""

    low: float
    likely: float
    high: float

    def __add__(self, other: Any) -> Range:
        return Range(*(mine + its for mine, its in zip(self, other, strict=True)))

    def over(self, number: float) -> Range:
        """Each a part of so many."""
        return Range(*(each / number for each in self))


NOTHING = Range(0.0, 0.0, 0.0)

#: How often each cost is charged, by category and by the key of the cost.
Charges = dict[str, dict[str, float]]


def latencies(preset: Preset) -> dict[str, Cited]:
    """Cycles of a page-table reference by the level that serves it, memory last, by key."""
    of_caches = {f"cache.{cache.name}.latency": cache.latency for cache in preset.caches}
    return of_caches | {"memory_latency": preset.memory_latency}


def costs_of(preset: Preset, technique: Technique, several: bool = False) -> dict[str, Cited]:
    """Every cost that a technique can be charged, by the keys of `--set`: the preset's, and for
    each of its exits and counters its own or the preset's for it, `cost.NAME.REASON`. several: on
    several cores."""
    own = {f"{technique.name}.{name}": cost for name, cost in technique.costs.items()}
    costs = {name: preset.costs.get(name, cost) for name, cost in own.items()}
    costs |= {name: preset.costs[name] for name in COSTS}
    if several:
        costs |= {name: preset.costs.get(name, cost) for name, cost in SHOOTDOWNS.items()}
    of_some = (name for name, _ in OF_SOME.values())
    costs |= {name: preset.costs[name] for name in of_some if name in preset.costs}
    return latencies(preset) | {f"cost.{name}": cost for name, cost in costs.items()}


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


def charges(
    counted: Counted,
    references: Mapping[str, Sequence[int]],
    preset: Preset,
    technique: Technique,
    data: Sequence[int] = (),
    cores: Mapping[str, int] | None = None,
) -> Charges:
    """What is charged for what was counted: pricing is these numbers times the costs.

    references: by dimension, a count for each cache level and memory; all but "guest" are the
    nested walk's. data: the same of lines that the program touched. What a miss costs beyond the
    first level is its latency less that level's, which is therefore charged a negative number.
    cores: what vCPUs told each other, where there are several (`memory.cpus.COUNTS`). Costs that
    are charged nothing are left out.
    """
    counts, exits, events = counted
    charged: dict[str, Counter[str]] = {category: Counter() for category in CATEGORIES}
    charged["work"]["cost.work_per_access"] = (
        counts["loads"] + counts["stores"] or counts["fetches"]
    )
    if sum(data[1:]):
        beyond = [-sum(data[1:]), *data[1:]]
        charged["data"].update(dict(zip(latencies(preset), beyond, strict=True)))
    looked_into = counts["l2_tlb_hits"] + counts["repeated_l2_hits"] + counts["walks"]
    charged["l2_tlb"]["cost.l2_tlb_hit"] = looked_into
    for dimension, served in references.items():
        category = "guest_walk" if dimension == "guest" else "nested_walk"
        charged[category].update(dict(zip(latencies(preset), served, strict=True)))
    for name, (cost, category) in OF_SOME.items():
        if cost in preset.costs:
            charged[category][f"cost.{cost}"] += counts[name]
    instead: Counter[str] = Counter()
    for one in technique.exits:
        instead[one.instead_of] += exits[one.reason]
        if one.by_hardware:
            charged[one.category]["cost.vm_exit"] += exits[one.reason]
        charged[one.category][f"cost.{technique.name}.{one.reason}"] += exits[one.reason]
    charged["guest_kernel"].update(
        {
            "cost.guest_fault": counts["guest_faults"],
            "cost.page_zero": counts["pages_zeroed"],
            "cost.page_copy": counts["pages_copied"],
            "cost.invlpg": counts["invlpgs"] - instead["invlpgs"],
            "cost.cr3_load": counts["cr3_loads"] - instead["cr3_loads"],
        }
    )
    # A thread that looks at gPTEs waits for each line of them: an assumption; nothing prefetches.
    charged["guest_kernel"]["memory_latency"] += counts["thp_scanned"] // GPTES_A_LINE
    charged["exit_fault"]["cost.page_copy"] += counts["host_copies"]
    if cores is not None:
        charged[SHOOTDOWN] = Counter(_of_shootdowns(cores, technique.virtual))
    for counter in technique.counters:
        if counter.cost:
            key = f"cost.{technique.name}.{counter.name}"
            charged[counter.category][key] += events[counter.name]
    return {
        category: {key: number for key, number in of_one.items() if number}
        for category, of_one in charged.items()
    }


def _of_shootdowns(cores: Mapping[str, int], virtual: bool) -> dict[str, float]:
    """What telling others is charged. A guest's IPI is sent by an exit, and comes without one
    (posted interrupts); a kick is an exit of who is kicked."""
    exits = cores["ipis_sent"] if virtual else 0
    return {
        "cost.shootdown": cores["shootdowns"],
        "cost.ipi_send": cores["ipis_sent"],
        "cost.ipi_receive": cores["ipis_received"],
        "cost.virtual_ipi": exits,
        "cost.flush_hypercall": cores["flush_hypercalls"],
        "cost.kick": cores["kicks_sent"],
        "cost.kicked": cores["kicks_received"],
        "cost.vm_exit": exits + cores["flush_hypercalls"] + cores["kicks_received"],
    }


def price(
    charged: Charges, costs: Mapping[str, Cited], waited: Mapping[str, Range] | None = None
) -> dict[str, Range]:
    """Cycles by category. costs: as of `costs_of`. waited: the part of a category's cycles that
    the program waits for, where it is not all."""
    cycles = {
        category: Range(
            sum(number * costs[key].low for key, number in of_one.items()),
            sum(number * costs[key].value for key, number in of_one.items()),
            sum(number * costs[key].high for key, number in of_one.items()),
        )
        for category, of_one in charged.items()
    }
    return cycles | {
        category: Range(*(n * part for n, part in zip(cycles[category], parts, strict=True)))
        for category, parts in (waited or {}).items()
    }


def total(cycles: Mapping[str, Range]) -> Range:
    """Of all categories."""
    return sum(cycles.values(), NOTHING)


def likely(charged: Charges, costs: Mapping[str, Cited]) -> float:
    """Cycles in all, each cost as likely."""
    return sum(
        number * costs[key].value for of_one in charged.values() for key, number in of_one.items()
    )
