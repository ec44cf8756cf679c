"""What interval sampling found: estimates with their intervals, as plain data with a schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmulab.mmu.report.cost import Range
from mmulab.mmu.report.results import host_pages, named
from mmulab.mmu.report.shown import Shown
from mmulab.mmu.sampling.statistics import Estimate

SCHEMA = "mmulab.estimates"
SCHEMA_VERSION = 1

#: Part of an estimate that `units_for` is asked about: SMARTS's goal.
GOAL = 0.03


@dataclass(frozen=True)
class TechniqueEstimate:
    """One technique over a trace, estimated.

    technique, name, parameters: as of `TechniqueResult`. metrics: what a whole run would have
    counted, and what cycles that comes to, by the names that rows of studies have, and ratios.
    times: its cycles as a multiple of those of the first technique, over the same units. costs:
    cycles per access with every cost at its lowest, as likely, at its highest, without an interval.
    units_for_goal: with how many units its cycles would be known to GOAL; None: not known.
    """

    technique: str
    name: str
    parameters: dict[str, str]
    metrics: dict[str, Estimate]
    times: Estimate
    costs: Range
    units_for_goal: int | None

    @property
    def cycles_per_access(self) -> Estimate:
        return self.metrics["cycles_per_access"]

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TechniqueEstimate:
        """What `to_dict` made plain."""
        return cls(
            plain["technique"],
            plain["name"],
            plain["parameters"],
            {name: Estimate(**each) for name, each in plain["metrics"].items()},
            Estimate(**plain["times_first"]),
            Range(**plain["costs"]),
            plain["units_for_3_percent"],
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "technique": self.technique,
            "name": self.name,
            "parameters": self.parameters,
            "metrics": {name: each._asdict() for name, each in self.metrics.items()},
            "times_first": self.times._asdict(),
            "costs": self.costs._asdict(),
            "units_for_3_percent": self.units_for_goal,
        }


@dataclass(frozen=True, repr=False)
class Estimates(Shown):
    """Techniques side by side over a trace of which only units were measured.

    trace, preset, version, settings, warmup, warnings, input, made: as of `Comparison`. accesses:
    of the trace, those that the estimates are for. intervals: how it was sampled, in canonical
    form. unit: accesses of a unit. units: how many were measured. population: how many there are,
    by stratum.
    """

    trace: str
    preset: str
    version: str
    accesses: int
    warmup: int
    intervals: str
    unit: int
    units: int
    population: tuple[int, ...]
    settings: dict[str, Any]
    results: tuple[TechniqueEstimate, ...]
    warnings: tuple[str, ...] = ()
    input: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        names = ", ".join(result.technique for result in self.results)
        return f"<estimates of {names} over {self.trace}, {self.preset}, {self.intervals}>"

    def __getitem__(self, technique: str) -> TechniqueEstimate:
        """A result by its technique's spec or, where one variant of it ran, its name."""
        return named(self.results, technique)

    @property
    def differs(self) -> dict[str, Any]:
        """As of `Comparison`."""
        found: dict[str, Any] = self.input["preset"]["set"]
        return found

    @property
    def host_pages(self) -> str:
        """As of `Comparison`."""
        return host_pages(self.results, self.settings)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Estimates:
        """What `to_dict` made plain."""
        given, sampled = plain["input"], plain["intervals"]
        return cls(
            trace=plain["trace"],
            preset=plain["preset"],
            version=plain["version"],
            accesses=plain["accesses"],
            warmup=given["warmup"],
            intervals=sampled["text"],
            unit=sampled["unit"],
            units=sampled["units"],
            population=tuple(sampled["population"]),
            settings=given["settings"],
            results=tuple(map(TechniqueEstimate.from_dict, plain["results"])),
            warnings=tuple(plain["warnings"]),
            input=given,
            made=plain["made"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; see docs/results.md."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "version": self.version,
            "made": self.made,
            "input": self.input,
            "trace": self.trace,
            "preset": self.preset,
            "accesses": self.accesses,
            "intervals": {
                "text": self.intervals,
                "unit": self.unit,
                "units": self.units,
                "population": list(self.population),
            },
            "confidence": 0.95,
            "warnings": list(self.warnings),
            "results": [result.to_dict() for result in self.results],
        }


def to_json(estimates: Sequence[Estimates]) -> str:
    """A list with one object for each trace."""
    return json.dumps([each.to_dict() for each in estimates], indent=2) + "\n"


def to_csv(estimates: Sequence[Estimates]) -> str:
    """A row for each metric of each technique of each trace."""
    lines = ["trace,technique,metric,value,low,high,cv"]
    for one in estimates:
        for result in one.results:
            for metric, each in result.metrics.items():
                ends = ["" if end is None else repr(end) for end in (each.low, each.high)]
                key = f'"{one.trace}","{result.technique}",{metric}'
                lines.append(f"{key},{each.value!r},{ends[0]},{ends[1]},{each.cv!r}")
    return "\n".join(lines) + "\n"
