"""What a vCPU and a core have counted, as plain numbers by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mmulab.mmu.hardware.lookups import hits_of_arrays
from mmulab.mmu.hardware.state import CACHE_LEVELS, MENDING, VCPU, Core
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.memory.cpus import COUNTS
from mmulab.mmu.memory.entries import SIZE_NAMES
from mmulab.mmu.memory.vm import VM
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.techniques.technique import Technique

#: Statistics that counts have under other names.
_BY_OTHER_NAMES = ("l1_misses", "l2_hits", "l2_denied", "walks")
_BY_SIZE = ("faults",)  # by page size


class Counted(NamedTuple):
    """Events by name: those that every technique counts, a technique's exits by reason, and
    its other counters."""

    counts: dict[str, int]
    exits: dict[str, int]
    events: dict[str, int]


def read_counts(vcpu: VCPU, technique: Technique, by_kind: Sequence[int]) -> Counted:
    """What a vCPU has counted. by_kind: loads, stores and fetches that it was counted over."""
    stats = vcpu.stats[0]
    loads, stores, fetches = (int(n) for n in by_kind)
    counts = {
        "accesses": loads + stores + fetches,
        "loads": loads,
        "stores": stores,
        "fetches": fetches,
        "l1_tlb_misses": int(stats["l1_misses"].sum()),
        "l1_data_tlb_misses": int(stats["l1_misses"][:2].sum()),
        "l1_instruction_tlb_misses": int(stats["l1_misses"][2]),
        "l2_tlb_hits": int(stats["l2_hits"].sum()),
        "l2_tlb_misses": int(
            stats["l1_misses"].sum() - stats["l2_hits"].sum() - stats["l2_denied"]
        ),
        "walks": int(stats["walks"].sum()),
    }
    for name in stats.dtype.names or ():
        if name in _BY_SIZE:
            counts |= {f"{name}_{size}": int(stats[name][i]) for i, size in enumerate(SIZE_NAMES)}
        elif name not in _BY_OTHER_NAMES:
            counts[name] = int(stats[name].sum())
    return Counted(
        counts,
        {each.reason: int(vcpu.exits[at]) for at, each in enumerate(technique.exits)},
        {
            each.name: counts[each.of] if each.of else int(vcpu.own[at])
            for at, each in enumerate(technique.counters)
        },
    )


def read_first_touches(vcpu: VCPU, technique: Technique) -> Counted:
    """Of what a vCPU has counted, what came of first touches: see `machine.first_touches`."""
    counts = dict.fromkeys(read_counts(vcpu, technique, (0, 0, 0)).counts, 0)
    counts |= {name: int(vcpu.first[0][name]) for name, _ in MENDING}
    return Counted(
        counts,
        {each.reason: int(vcpu.first_exits[at]) for at, each in enumerate(technique.exits)},
        {each.name: int(vcpu.first_own[at]) for at, each in enumerate(technique.counters)},
    )


def references_of(vcpu: VCPU) -> np.ndarray:
    """Memory references of page walks, int64[site, cache level that served]: a view."""
    return vcpu.references[: -2 * CACHE_LEVELS].reshape(-1, CACHE_LEVELS)


def read_data(vcpu: VCPU, cache_levels: int, touched: int) -> list[int]:
    """Lines that accesses of the program touched, a count for each cache level that served them,
    and memory. touched: in all."""
    served = vcpu.references[-2 * CACHE_LEVELS : -CACHE_LEVELS].tolist()
    beyond = [*served[1:cache_levels], served[-1]]
    return [touched - sum(beyond), *beyond] if cache_levels else [touched]


def read_references(vcpu: VCPU, walk: Walk, cache_levels: int) -> list[dict[str, Any]]:
    """Memory references of page walks, an object for each site of the walk that made any.

    site: its label. dimension: "guest" (the guest's table, or the only one), "nested", or what a
    walk's site names otherwise. level: of the table, 1 for the leaves. served_by: a count for
    each cache level, and memory. hidden, where there are any: of those, the references that went
    out with others and were not waited for.
    """
    served = _by_level(references_of(vcpu), cache_levels)[: len(walk.sites)]
    hidden = _by_level(hidden_of(vcpu), cache_levels)
    return [
        {
            "site": walk.sites[at].label,
            "dimension": walk.sites[at].dimension,
            "level": walk.sites[at].level,
            "served_by": served[at].tolist(),
        }
        | ({"hidden": hidden[at].tolist()} if hidden[at].any() else {})
        for at in np.flatnonzero(served.any(axis=1))
    ]


def read_dimensions(vcpu: VCPU, walk: Walk, cache_levels: int) -> dict[str, list[int]]:
    """Memory references of page walks that are waited for, by dimension, a count for each cache
    level and memory."""
    served = _by_level(references_of(vcpu) - hidden_of(vcpu), cache_levels)
    dimensions = np.array([site.dimension for site in walk.sites])
    return {
        dimension: served[: len(dimensions)][dimensions == dimension].sum(axis=0).tolist()
        for dimension in dict.fromkeys(("guest", "nested", *dimensions.tolist()))
    }


def hidden_of(vcpu: VCPU) -> np.ndarray:
    """Of `references_of`, those that are not waited for: a view."""
    return vcpu.hidden[: -2 * CACHE_LEVELS].reshape(-1, CACHE_LEVELS)


def _by_level(served: np.ndarray, cache_levels: int) -> np.ndarray:
    return np.concatenate([served[:, :cache_levels], served[:, -1:]], axis=1)


def read_structures(
    core: Core,
    vcpu: VCPU,
    units: Sequence[str],
    preset: Preset,
    by_kind: Sequence[int],
    touched: int = 0,
) -> dict[str, dict[str, int]]:
    """Hits and misses of each unit and cache level that was looked into, by name.

    by_kind: loads, stores and fetches that they were counted over. touched: lines of the program
    that they touched.
    """
    stats = vcpu.stats[0]
    l1_hits = np.array(by_kind) + stats["straddles"] - stats["l1_misses"]
    used = {
        name: {"hits": int(hits), "misses": int(unit["misses"])}
        for name, hits, unit in zip(units, hits_of_arrays(core, l1_hits), core.unit, strict=True)
    }
    levels = len(preset.caches)
    of_walks = _by_level(references_of(vcpu), levels).sum(axis=0).tolist()
    of_data = read_data(vcpu, levels, touched)
    for level, cache in enumerate(preset.caches):
        served = [of_data] if level < core.record[0]["enter"] else [of_data, of_walks]
        used[f"cache {cache.name}"] = {
            "hits": sum(each[level] for each in served),
            "misses": sum(sum(each[level + 1 :]) for each in served),
        }
    return {name: counts for name, counts in used.items() if any(counts.values())}


def shootdowns_of(vm: VM, vcpu: int | None = None) -> dict[str, int]:
    """What a VM's vCPUs told each other, or one of them did, by name."""
    rows = vm.cpu if vcpu is None else vm.cpu[vcpu : vcpu + 1]
    return {name: int(rows[name].sum()) for name in COUNTS}
