"""Results: dataclasses that turn into plain dicts with a versioned schema.

The schema is described in docs/results.md. A change that takes a key away or
changes what it means raises SCHEMA_VERSION.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from typing import Any

from mmulab.mmu.report.cost import NOT_TRANSLATION

SCHEMA = "mmulab.comparison"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TechniqueResult:
    """One technique over the measured part of a trace.

    technique: its spec, in canonical form. name, parameters: what that says, with the values of
    all parameters. labels: what each of its exit reasons is called. counts: events by name.
    references: memory references of page walks by dimension ("guest": the guest's table or the
    only one; "nested"), a list with an entry for each cache level and memory. structures: hits
    and misses of each L2 TLB, walk cache and cache. cycles: by category of
    `mmu.report.cost.CATEGORIES`. frames: host frames of 4 KiB in use at
    the end, by kind.
    """

    technique: str
    name: str
    parameters: dict[str, str]
    labels: dict[str, str]
    counts: dict[str, Any]
    references: dict[str, list[int]]
    structures: dict[str, dict[str, int]]
    cycles: dict[str, float]
    frames: dict[str, int]

    @property
    def total_cycles(self) -> float:
        return sum(self.cycles.values())

    @property
    def cycles_per_access(self) -> float:
        return self.total_cycles / max(1, self.counts["accesses"])

    @property
    def translation_percent(self) -> float:
        """Part of all cycles that free translation would save."""
        spent = sum(n for name, n in self.cycles.items() if name not in NOT_TRANSLATION)
        return 100 * spent / self.total_cycles if self.total_cycles else 0.0

    @property
    def references_per_walk(self) -> float:
        total = sum(map(sum, self.references.values()))
        return total / self.counts["walks"] if self.counts["walks"] else 0.0

    @property
    def exits(self) -> int:
        return int(sum(self.counts["exits"].values()))

    def to_dict(self) -> dict[str, Any]:
        plain = asdict(self)
        del plain["labels"]
        return plain | {
            "cycles_per_access": self.cycles_per_access,
            "translation_percent": self.translation_percent,
            "references_per_walk": self.references_per_walk,
        }


@dataclass(frozen=True)
class Comparison:
    """Techniques side by side over one trace.

    accesses: measured accesses, without the warm-up. settings: all of the machine's
    configuration. seed: of generators and random replacement.
    """

    trace: str
    preset: str
    version: str
    seed: int
    accesses: int
    warmup: int
    settings: dict[str, Any]
    results: tuple[TechniqueResult, ...]

    def __getitem__(self, technique: str) -> TechniqueResult:
        """A result by its technique's spec or, where one variant of it ran, its name."""
        for result in self.results:
            if result.technique == technique:
                return result
        named = [result for result in self.results if result.name == technique]
        if len(named) != 1:
            raise KeyError(technique)
        return named[0]

    @property
    def host_pages(self) -> str:
        """The page size that VMMs back memory with, where those compared have the same."""
        name = "host_page_size"
        sizes = {each.parameters[name] for each in self.results if name in each.parameters}
        if len(sizes) > 1:
            return "as named"
        return sizes.pop() if sizes else str(self.settings[name])

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; see docs/results.md."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            **{name: value for name, value in asdict(self).items() if name != "results"},
            "results": [result.to_dict() for result in self.results],
        }


def to_json(comparisons: list[Comparison]) -> str:
    """A list with one object for each trace."""
    return json.dumps([c.to_dict() for c in comparisons], indent=2, sort_keys=False) + "\n"


def to_csv(comparisons: list[Comparison]) -> str:
    """One row for each trace and technique; nested counts as `exits.invlpg` and so on."""
    rows = []
    for comparison in comparisons:
        for result in comparison.results:
            row: dict[str, Any] = {
                "trace": comparison.trace,
                "preset": comparison.preset,
                "technique": result.technique,
                "seed": comparison.seed,
                "warmup": comparison.warmup,
            }
            for name, value in result.to_dict().items():
                if name != "technique":
                    row.update(_flatten(name, value))
            rows.append(row)
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flatten(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = {str(index): item for index, item in enumerate(value)}.items()
    else:
        return {name: value}
    flat: dict[str, Any] = {}
    for key, item in items:
        flat.update(_flatten(f"{name}.{key}", item))
    return flat
