"""Miss-ratio curves of a trace at several page sizes, as results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmulab import __version__
from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.kernels.jobs import jobs_of
from mmulab.mmu.memory.entries import SIZE_NAMES
from mmulab.mmu.report.made import Making, files_of, of_trace
from mmulab.mmu.report.shown import Shown
from mmulab.mmu.trace import Trace
from mmulab.workloads.analysis.in_parallel import InParallel
from mmulab.workloads.analysis.stack_distance import MissRatioCurve, StackDistances
from mmulab.workloads.slices import parts

SCHEMA = "mmulab.miss-ratio"
SCHEMA_VERSION = 2

#: Hit ratios whose number of entries is reported.
HIT_RATIOS = (0.9, 0.99, 0.999)


@dataclass(frozen=True, repr=False)
class MissRatios(Shown):
    """Miss-ratio curves of one trace. accesses: those counted, warm-up left out."""

    trace: str
    accesses: int
    curves: tuple[MissRatioCurve, ...]
    input: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        sizes = ", ".join(curve.page_size for curve in self.curves)
        return f"<miss ratios of {self.trace}, {sizes} pages>"

    def sizes(self) -> list[int]:
        """Powers of two up to where the longest curve ends."""
        largest = max(curve.largest for curve in self.curves)
        return [1 << n for n in range(max(1, (largest - 1).bit_length()) + 1)]

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> MissRatios:
        """What `to_dict` made plain, which knows ratios at its sizes alone: between two of them,
        that of the smaller stands."""
        curves = []
        for each in plain["curves"]:
            hits = np.zeros(max(plain["entries"]) + 1)
            ratios = np.array([1.0, *each["miss_ratio"]])
            hits[plain["entries"]] = -np.diff(ratios) * each["touches"]
            curves.append(
                MissRatioCurve(
                    each["page_size"], each["touches"], each["first_touches"], hits,
                    each["sampled"],
                )
            )  # fmt: skip
        named = (plain[name] for name in ("input", "made"))
        return cls(plain["trace"], plain["accesses"], tuple(curves), *named)

    def to_dict(self, sizes: Sequence[int] | None = None) -> dict[str, Any]:
        """Plain data; see docs/results.md. sizes: those of `sizes()` unless given."""
        entries = list(sizes or self.sizes())
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "made": self.made,
            "input": self.input,
            "trace": self.trace,
            "accesses": self.accesses,
            "entries": entries,
            "curves": [
                {
                    "page_size": curve.page_size,
                    "touches": curve.touches,
                    "first_touches": curve.cold,
                    "sampled": curve.rate,
                    "miss_ratio": [round(float(r), 9) for r in curve.miss_ratio(entries)],
                    "entries_for_hit_ratio": {
                        str(ratio): curve.entries_for(ratio) for ratio in HIT_RATIOS
                    },
                }
                for curve in self.curves
            ],
        }


def page_size_index(name: str) -> int:
    """0 to 2 for 4k, 2m, 1g. Raises InputError."""
    if name.lower() not in SIZE_NAMES:
        raise unknown("page size", name, SIZE_NAMES)
    return SIZE_NAMES.index(name.lower())


def measure(
    trace: Trace,
    page_sizes: Sequence[str] = SIZE_NAMES,
    rate: float = 1.0,
    skip: int = 0,
    most: int | None = None,
    advance: Callable[[int], None] | None = None,
    jobs: int | None = None,
) -> MissRatios:
    """Miss-ratio curves in one pass.

    rate: part of the pages followed (SHARDS), 1 for all. skip: accesses left out at the
    beginning. most: accesses to take. advance: told how many have been read. jobs: cores to use,
    those that there are unless given; no result depends on it.
    Raises InputError for a bad page size, rate or trace.
    """
    distances = [StackDistances(page_size_index(name), rate) for name in page_sizes]
    if not distances:
        raise InputError("expected at least one page size: 4k, 2m or 1g")
    making = Making(files_of([trace]))
    asked = {
        "call": "miss_ratio",
        "trace": of_trace(trace),
        "page_sizes": [each.lower() for each in page_sizes],
        "sample": rate,
        "warmup": skip,
        "max": most,
    }
    accesses = 0
    with InParallel(distances, jobs_of(jobs)) as several:
        for part in parts(trace.chunks(), skip, most):
            several.add(part)
            accesses += part.accesses
            if advance:
                advance(accesses)
        several.finish()
    if not accesses:
        raise InputError(f"{trace.name}: no accesses after the first that were skipped")
    return MissRatios(
        trace.name,
        accesses,
        tuple(each.curve() for each in distances),
        input=asked | {"files": making.files()},
        made=making.made(),
    )
