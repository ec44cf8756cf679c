"""Results: dataclasses that turn into plain dicts with a versioned schema.

The schema is described in docs/results.md. A change that takes a key away or
changes what it means raises SCHEMA_VERSION.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.report.cost import Range, total
from mmulab.mmu.report.measured import Measured
from mmulab.mmu.report.shown import Shown
from mmulab.mmu.report.verdict import Costs, Pair

SCHEMA = "mmulab.comparison"
SCHEMA_VERSION = 2


class Named(Protocol):
    """What is told of a technique, and of which."""

    @property
    def technique(self) -> str: ...

    @property
    def name(self) -> str: ...


OfTechnique = TypeVar("OfTechnique", bound=Named)


def named(results: Sequence[OfTechnique], technique: str) -> OfTechnique:
    """A result by its technique's spec or, where one variant of it ran, its name. Raises
    KeyError."""
    for result in results:
        if result.technique == technique:
            return result
    found = [result for result in results if result.name == technique]
    if len(found) != 1:
        raise KeyError(technique)
    return found[0]


@dataclass(frozen=True)
class CoreResult:
    """One core over the measured part of a trace.

    cycles: of the vCPU on it. counts: events by name that translation is about. shootdowns: as of
    `Measured`, its own.
    """

    core: int
    accesses: int
    cycles: Range
    counts: dict[str, int]
    shootdowns: dict[str, int]

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> CoreResult:
        """What `to_dict` made plain."""
        return cls(**{**plain, "cycles": Range(**plain["cycles"])})

    def to_dict(self) -> dict[str, Any]:
        return {
            "core": self.core,
            "accesses": self.accesses,
            "cycles": self.cycles._asdict(),
            "counts": self.counts,
            "shootdowns": self.shootdowns,
        }


@dataclass(frozen=True)
class TechniqueResult(Measured):
    """One technique over the measured part of a trace.

    structures: hits and misses of each TLB, walk cache and cache. frames: host frames of 4 KiB
    in use at the end, by kind. first_touch: of the cycles, those of first touches of memory, which
    a longer run would not have more of, by category. cores: what each did, of several.
    """

    structures: dict[str, dict[str, int]] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    first_touch: dict[str, Range] = field(default_factory=dict)
    cores: tuple[CoreResult, ...] = ()

    @property
    def first_touch_percent(self) -> float:
        """Part of all likely cycles that first touches took."""
        whole = self.total_cycles.likely
        return 100 * total(self.first_touch).likely / whole if whole else 0.0

    @property
    def slowest(self) -> CoreResult:
        """The core that took the most likely cycles, so that the others have ended before."""
        return max(self.cores, key=lambda core: core.cycles.likely)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TechniqueResult:
        """What `to_dict` made plain."""
        first = {name: Range(**spent) for name, spent in plain["first_touch"].items()}
        return cls(
            **cls.fields(plain),
            structures=plain["structures"],
            frames=plain["frames"],
            first_touch=first,
            cores=tuple(map(CoreResult.from_dict, plain["cores"])) if "shootdowns" in plain else (),
        )

    def to_dict(self) -> dict[str, Any]:
        cycles = self.total_cycles._asdict()
        one = {"core": 0, "accesses": self.counts["accesses"], "cycles": cycles}
        return super().to_dict() | {
            "overlap": self.overlap.to_dict(),
            "structures": self.structures,
            "frames": self.frames,
            "first_touch": {name: spent._asdict() for name, spent in self.first_touch.items()},
            "first_touch_percent": self.first_touch_percent,
            "cores": [core.to_dict() for core in self.cores] or [one],
        }


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Techniques side by side over one trace.

    trace: its name. preset: its name. settings: all of the machine's configuration, its seed
    that of generators and random replacement. accesses: measured accesses, without the
    warm-up. warnings: what must be known before one concludes from it, a sentence each. verdict:
    which techniques take fewer cycles than which, in how much of the range of the costs. costs: of
    all techniques, by the keys of `--set`. input, made: what it was made of, and when and where, as
    `mmu.report.made` has them.
    """

    trace: str
    preset: str
    version: str
    accesses: int
    warmup: int
    settings: dict[str, Any]
    results: tuple[TechniqueResult, ...]
    warnings: tuple[str, ...] = ()
    verdict: tuple[Pair, ...] = ()
    costs: dict[str, Cited] = field(default_factory=dict)
    input: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        names = ", ".join(result.technique for result in self.results)
        return f"<comparison of {names} over {self.trace}, {self.preset}>"

    def __getitem__(self, technique: str) -> TechniqueResult:
        """A result by its technique's spec or, where one variant of it ran, its name."""
        return named(self.results, technique)

    def pair(self, of: str, to: str) -> Pair:
        """Any two techniques, named as for `comparison[...]`: the ratio of their cycles, what each
        cost does to it, and where they are equal."""
        return Costs(self.costs).pair(self[of], self[to])

    @property
    def differs(self) -> dict[str, Any]:
        """What makes the preset another than the published one of its name, by the keys of
        `--set`."""
        found: dict[str, Any] = self.input["preset"]["set"]
        return found

    @property
    def seed(self) -> int:
        return int(self.settings["seed"])

    @property
    def host_pages(self) -> str:
        """The page size that VMMs back memory with, where those compared have the same."""
        return host_pages(self.results, self.settings)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Comparison:
        """What `to_dict` made plain."""
        given = plain["input"]
        costs = {
            key: Cited(**entry)
            for key, entry in given["preset"]["numbers"].items()
            if key == "memory_latency" or key.startswith("cost.") or key.endswith(".latency")
        }
        return cls(
            trace=plain["trace"],
            preset=plain["preset"],
            version=plain["version"],
            accesses=plain["accesses"],
            warmup=given["warmup"],
            settings=given["settings"],
            results=tuple(map(TechniqueResult.from_dict, plain["results"])),
            warnings=tuple(plain["warnings"]),
            verdict=tuple(Pair.from_dict(pair, costs) for pair in plain["verdict"]),
            costs=costs,
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
            "warnings": list(self.warnings),
            "results": [result.to_dict() for result in self.results],
            "verdict": [pair.to_dict() for pair in self.verdict],
        }


def host_pages(results: Iterable[Any], settings: Mapping[str, Any]) -> str:
    """The page size that VMMs back memory with, where techniques, with their parameters, have the
    same."""
    name = "host_page_size"
    sizes = {each.parameters[name] for each in results if name in each.parameters}
    if len(sizes) > 1:
        return "as named"
    return sizes.pop() if sizes else str(settings[name])


def to_json(comparisons: list[Comparison]) -> str:
    """A list with one object for each trace."""
    return json.dumps([c.to_dict() for c in comparisons], indent=2, sort_keys=False) + "\n"
