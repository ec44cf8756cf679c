"""What one technique did and what it cost: the same numbers whatever it ran in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mmulab.mmu.hardware.state import VCPU
from mmulab.mmu.hardware.walks.sites import PREFETCH
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report import cost
from mmulab.mmu.report.cost import NOT_TRANSLATION, Charges, Range
from mmulab.mmu.report.counts import (
    read_counts,
    read_data,
    read_dimensions,
    read_first_touches,
    read_references,
)
from mmulab.mmu.report.overlap import Independence, Overlap, overlap
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.specs import Spec, parse

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Measured:
    """A technique over the measured part of a trace, on one vCPU.

    technique: its spec, in canonical form. name, parameters: what that says, with the values of
    all parameters. labels: what each of its exit reasons is called. counts: events by name.
    exits: its VM exits by reason. events: what else it alone counts. references: memory
    references of page walks by site, as `mmu.report.counts.read_references` has them. data:
    "served_by", lines that the program's loads and stores touched, a count for each cache level
    and memory; all 0 where caches are off. charges: how often each cost is charged, by category
    of `mmu.report.cost.CATEGORIES`. cycles: what that comes to. overlap: the part of the cycles of
    walks and misses that is waited for. shootdowns: what vCPUs told each other to drop, by the
    names of `mmu.memory.cpus.COUNTS`; empty on one.
    """

    technique: str
    name: str
    parameters: dict[str, str]
    labels: dict[str, str]
    counts: dict[str, int]
    exits: dict[str, int]
    events: dict[str, int]
    references: list[dict[str, Any]]
    data: dict[str, list[int]]
    charges: Charges
    cycles: dict[str, Range]
    overlap: Overlap
    shootdowns: dict[str, int] = field(default_factory=dict, kw_only=True)

    @property
    def total_cycles(self) -> Range:
        return cost.total(self.cycles)

    @property
    def range_per_access(self) -> Range:
        """Cycles per access."""
        return self.total_cycles.over(max(1, self.counts["accesses"]))

    @property
    def cycles_per_access(self) -> float:
        """The likely ones."""
        return self.range_per_access.likely

    @property
    def translation_percent(self) -> float:
        """Part of all likely cycles that free translation would save."""
        spent = sum(n.likely for name, n in self.cycles.items() if name not in NOT_TRANSLATION)
        return 100 * spent / self.total_cycles.likely if self.total_cycles.likely else 0.0

    def references_in(self, dimension: str) -> int:
        """References to tables of "guest", which is also the only one, or "nested"."""
        found = (each for each in self.references if each["dimension"] == dimension)
        return sum(sum(each["served_by"]) for each in found)

    @property
    def references_per_walk(self) -> float:
        walks = (each for each in self.references if each["dimension"] != PREFETCH)
        total = sum(sum(each["served_by"]) for each in walks)
        return total / self.counts["walks"] if self.counts["walks"] else 0.0

    @property
    def total_exits(self) -> int:
        return sum(self.exits.values())

    def repriced(self, preset: Preset) -> Self:
        """The same counts at the costs of another preset, whose caches have the same names, and
        whose window is taken as that of the one before."""
        costs = cost.costs_of(preset, parse(self.technique).technique, bool(self.shootdowns))
        known = self.overlap.independence
        hidden = _overlap(known, self.counts, self.charges, costs, preset, self.references)
        cycles = cost.price(self.charges, costs, hidden.by_category)
        return replace(self, cycles=cycles, overlap=hidden)

    @staticmethod
    def fields(plain: Mapping[str, Any]) -> dict[str, Any]:
        """The fields, of what `to_dict` made plain. Exits of a technique that is not of the package
        are called by their reasons."""
        kept = ("technique", "name", "parameters", "counts", "exits", "events", "references",
                "data", "charges")  # fmt: skip
        known = registry.get(plain["name"]).exits if plain["name"] in registry.of_package() else ()
        labels = {reason: reason for reason in plain["exits"]}
        return {name: plain[name] for name in kept} | {
            "labels": labels | {each.reason: each.label for each in known},
            "cycles": {name: Range(**spent) for name, spent in plain["cycles"].items()},
            "overlap": Overlap.from_dict(plain.get("overlap", {})),
            "shootdowns": plain.get("shootdowns", {}),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, as docs/results.md has them."""
        return {
            "technique": self.technique,
            "name": self.name,
            "parameters": self.parameters,
            "counts": self.counts,
            "exits": self.exits,
            "events": self.events,
            "references": self.references,
            "data": self.data,
            "charges": self.charges,
            "cycles": {name: spent._asdict() for name, spent in self.cycles.items()},
            "total_cycles": self.total_cycles._asdict(),
            "cycles_per_access": self.range_per_access._asdict(),
            "translation_percent": self.translation_percent,
            "references_per_walk": self.references_per_walk,
        } | ({"shootdowns": self.shootdowns} if self.shootdowns else {})


def first_touches(spec: Spec, vcpu: VCPU, preset: Preset) -> dict[str, Range]:
    """Of a vCPU's cycles, those of first touches of memory, by category."""
    technique = spec.technique
    charged = cost.charges(read_first_touches(vcpu, technique), {}, preset, technique)
    return cost.price(charged, cost.costs_of(preset, technique))


def _overlap(
    known: Independence | None,
    counts: Mapping[str, int],
    charged: Charges,
    costs: Mapping[str, Cited],
    preset: Preset,
    references: Sequence[Mapping[str, Any]],
) -> Overlap:
    if known is None:
        return Overlap()
    data = counts["loads"] + counts["stores"] or counts["fetches"]
    ahead = sum(
        times * latency.value
        for each in references
        if each["dimension"] == PREFETCH
        for times, latency in zip(each["served_by"], cost.latencies(preset).values(), strict=True)
    )
    return overlap(known, data, counts["walks"], charged, costs, preset, ahead)


def measured(
    spec: Spec,
    vcpu: VCPU,
    by_kind: Sequence[int],
    preset: Preset,
    touched: int = 0,
    known: Independence | None = None,
    shootdowns: dict[str, int] | None = None,
) -> dict[str, Any]:
    """The fields of `Measured`. by_kind: loads, stores and fetches that were counted. touched:
    lines of the program that they touched, where those go through the caches. known: of the
    trace; without, nothing is hidden. shootdowns: of several vCPUs, which `vcpu` is the total of
    (`machine.vcpus.total_of`), or of one of them."""
    technique = spec.technique
    levels = len(preset.caches)
    counted = read_counts(vcpu, technique, by_kind)
    dimensions = read_dimensions(vcpu, technique.walk, levels)
    data = read_data(vcpu, levels, touched)
    charged = cost.charges(counted, dimensions, preset, technique, data, shootdowns)
    costs = cost.costs_of(preset, technique, shootdowns is not None)
    references = read_references(vcpu, technique.walk, levels)
    hidden = _overlap(known, counted.counts, charged, costs, preset, references)
    return {
        "technique": spec.text,
        "name": spec.name,
        "parameters": spec.parameters,
        "labels": {each.reason: each.label for each in technique.exits},
        "counts": counted.counts,
        "exits": counted.exits,
        "events": counted.events,
        "references": references,
        "data": {"served_by": data},
        "charges": charged,
        "cycles": cost.price(charged, costs, hidden.by_category),
        "overlap": hidden,
        "shootdowns": shootdowns or {},
    }
