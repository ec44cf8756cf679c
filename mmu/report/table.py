"""Comparisons as CSV: wide, a row for each trace and technique, always the same columns.

What only one technique or preset has (exits by reason, structures, sites) is in JSON.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mmulab.mmu.report.cost import CATEGORIES
from mmulab.mmu.report.overlap import GROUPS
from mmulab.mmu.report.results import Comparison, TechniqueResult


def to_csv(comparisons: Sequence[Comparison]) -> str:
    """One row for each trace and technique, with a header."""
    rows = [_row(comparison, result) for comparison in comparisons for result in comparison.results]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(comparison: Comparison, result: TechniqueResult) -> dict[str, Any]:
    files = comparison.input["files"]
    row: dict[str, Any] = {
        "trace": comparison.trace,
        "sha256": files.get(comparison.input["trace"]["spec"]),
        "preset": comparison.preset,
        "set": in_words(comparison.differs, ";"),
        "technique": result.technique,
        "name": result.name,
        "parameters": in_words(result.parameters, ";"),
        **comparison.settings,
        "warmup": comparison.warmup,
        **result.counts,
        "exits": result.total_exits,
    }
    for dimension in ("guest", "nested"):
        row[f"references.{dimension}"] = result.references_in(dimension)
    row["references_per_walk"] = result.references_per_walk
    for category in CATEGORIES:
        row |= _columns(f"cycles.{category}", result.cycles[category]._asdict())
    for group in GROUPS:
        row |= _columns(f"overlap.{group}", result.overlap.of(group)._asdict())
    row |= _columns("total_cycles", result.total_cycles._asdict())
    row |= _columns("cycles_per_access", result.range_per_access._asdict())
    row["translation_percent"] = result.translation_percent
    frames = {kind.replace(" ", "_"): number for kind, number in result.frames.items()}
    return row | _columns("frames", frames)


def _columns(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}.{key}": value for key, value in values.items()}


def in_words(settings: Mapping[str, Any], between: str) -> str:
    """Settings as `key=value`, in the order of their keys."""
    return between.join(f"{key}={settings[key]}" for key in sorted(settings))
