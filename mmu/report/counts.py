"""What a core has counted, as plain numbers by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmulab.mmu.hardware.state import EXIT_REASONS, REFERENCES, Core
from mmulab.mmu.presets.preset import Preset


def read_counts(core: Core, by_kind: Sequence[int]) -> dict[str, Any]:
    """Events by name, as in `mmu.report.results.TechniqueResult.counts`.

    by_kind: loads, stores and fetches that they were counted over.
    """
    stats = core.stats[0]
    loads, stores, fetches = (int(n) for n in by_kind)
    counts: dict[str, Any] = {
        "accesses": loads + stores + fetches,
        "loads": loads,
        "stores": stores,
        "fetches": fetches,
        "l1_tlb_misses": int(stats["l1_misses"].sum()),
        "l1_data_tlb_misses": int(stats["l1_misses"][:2].sum()),
        "l1_instruction_tlb_misses": int(stats["l1_misses"][2]),
        "l2_tlb_hits": int(stats["l2_hits"].sum()),
        "l2_tlb_misses": int(stats["l1_misses"].sum() - stats["l2_hits"].sum()),
        "walks": int(stats["walks"].sum()),
    }
    for name in stats.dtype.names or ():
        if name not in ("l1_misses", "l2_hits", "walks", "exits"):
            counts[name] = int(stats[name])
    counts["exits"] = {
        reason: int(n) for reason, n in zip(EXIT_REASONS, stats["exits"], strict=False)
    }
    return counts


def references_of(core: Core) -> np.ndarray:
    """Memory references of page walks by [guest level, host level, cache level]: a view."""
    return core.references.reshape(REFERENCES)


def read_references(core: Core, cache_levels: int) -> dict[str, list[int]]:
    """Memory references of page walks by dimension, a count for each cache level and memory."""
    references = references_of(core)
    by_level = np.concatenate([references[:, :, :cache_levels], references[:, :, -1:]], axis=2)
    return {
        "guest": by_level[:, 0].sum(axis=0).tolist(),
        "nested": by_level[:, 1:].sum(axis=(0, 1)).tolist(),
    }


def read_structures(core: Core, units: Sequence[str], preset: Preset) -> dict[str, dict[str, int]]:
    """Hits and misses of each unit and cache level that was looked into, by name."""
    used = {
        name: {"hits": int(unit["hits"]), "misses": int(unit["misses"])}
        for name, unit in zip(units, core.unit, strict=True)
    }
    served = references_of(core).sum(axis=(0, 1)).tolist()
    for level, cache in enumerate(preset.caches):
        used[f"cache {cache.name}"] = {"hits": served[level], "misses": sum(served[level + 1 :])}
    return {name: counts for name, counts in used.items() if any(counts.values())}
