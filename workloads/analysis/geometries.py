"""Misses of every LRU geometry of one TLB level, in one pass (Hill and Smith 1989).

Exact for a TLB that holds pages of one size and loses none but to others: a trace whose events take
translations away is refused. Behind an L1, what is looked up is what misses there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmulab import __version__
from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.memory.entries import INDEX_BITS, PAGE_SHIFT, SIZE_NAMES
from mmulab.mmu.report.made import Making, files_of, of_trace
from mmulab.mmu.report.shown import Shown
from mmulab.mmu.tlb_stream.levels import Geometry
from mmulab.mmu.trace import (
    BRK,
    EVENT_NAMES,
    EXEC,
    EXIT,
    FORK,
    MPROTECT,
    MUNMAP,
    Chunk,
    Trace,
)
from mmulab.workloads.analysis import geometry_kernels as kernels
from mmulab.workloads.analysis.miss_ratio import page_size_index
from mmulab.workloads.analysis.stack_kernels import EMPTY
from mmulab.workloads.slices import Owners, parts

SCHEMA = "mmulab.geometries"
SCHEMA_VERSION = 1

#: The most sets and ways that are followed: 64 MiB of tags.
MOST_SETS, MOST_WAYS = 1 << 16, 64

#: Events after which a TLB has fewer translations.
_TAKE_AWAY = (MUNMAP, MPROTECT, FORK, EXEC, EXIT)


@dataclass(frozen=True)
class SizeGeometries:
    """One page size. touches: pages touched by accesses. looked_up: of these, those that an L1 in
    front leaves. hits: int64[levels, ways], of 1 << level sets and one way more than the column:
    look-ups that hit in the last of them, the latest page's first."""

    page_size: str
    touches: int
    looked_up: int
    hits: np.ndarray

    def misses(self, sets: int, ways: int) -> int:
        """Look-ups that miss a TLB of this geometry."""
        return self.looked_up - int(self.hits[sets.bit_length() - 1, :ways].sum())

    def table(self) -> np.ndarray:
        """int64[levels, ways]: misses of each geometry."""
        return np.asarray(self.looked_up - np.cumsum(self.hits, axis=1))


@dataclass(frozen=True, repr=False)
class Geometries(Shown):
    """Misses of every geometry for one trace. accesses: those counted, warm-up left out. l1:
    the TLB in front, or None. ignored: events that took translations away, by name."""

    trace: str
    accesses: int
    sizes: tuple[SizeGeometries, ...]
    l1: Geometry | None = None
    ignored: dict[str, int] = field(default_factory=dict)
    input: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"<misses of {self.trace} with up to {self.sets[-1]} sets of {self.ways} ways>"

    @property
    def sets(self) -> list[int]:
        return [1 << level for level in range(len(self.sizes[0].hits))]

    @property
    def ways(self) -> int:
        return int(self.sizes[0].hits.shape[1])

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Geometries:
        """What `to_dict` made plain."""
        sizes = tuple(
            SizeGeometries(
                each["page_size"], each["touches"], each["looked_up"],
                -np.diff(np.array(each["misses"], np.int64), axis=1, prepend=each["looked_up"]),
            )
            for each in plain["page_sizes"]
        )  # fmt: skip
        l1 = plain["input"]["l1"]
        return cls(
            plain["trace"], plain["accesses"], sizes, Geometry(*l1) if l1 else None,
            plain["ignored"], plain["input"], plain["made"],
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain data; see docs/results.md."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "made": self.made,
            "input": self.input,
            "trace": self.trace,
            "accesses": self.accesses,
            "ignored": self.ignored,
            "sets": self.sets,
            "ways": list(range(1, self.ways + 1)),
            "page_sizes": [
                {
                    "page_size": each.page_size, "touches": each.touches,
                    "looked_up": each.looked_up, "misses": each.table().tolist(),
                }
                for each in self.sizes
            ],
        }  # fmt: skip


class _Pass:
    """One page size."""

    def __init__(self, page_size: int, sets: int, ways: int, l1: Geometry | None) -> None:
        self._name = SIZE_NAMES[page_size]
        self._shift = PAGE_SHIFT + INDEX_BITS * page_size
        self._levels = sets.bit_length()
        self._ways = ways
        self._tags = np.full((2 * sets - 1) * ways, EMPTY, np.int64)
        self._latest = np.zeros(self._levels, np.int64)
        self._hits = np.zeros((self._levels, ways), np.int64)
        self._l1 = (l1.sets, l1.ways) if l1 else (1, 0)
        self._l1_tags = np.full(max(1, self._l1[0] * self._l1[1]), EMPTY, np.int64)
        self._state = np.zeros(kernels.STATE, np.int64)
        self._state[kernels.LAST] = EMPTY

    def run(self, chunk: Chunk, start: int, end: int, owner: int) -> None:
        kernels.look_up(
            to_read(chunk.address), to_read(chunk.size), start, end, self._shift, owner,
            self._levels, self._ways, self._tags, self._latest, self._hits, *self._l1,
            self._l1_tags, self._state,
        )  # fmt: skip

    def result(self) -> SizeGeometries:
        touches, repeats, l1_hits = (int(n) for n in self._state[: kernels.LAST])
        in_front = repeats + l1_hits if self._l1[1] else 0
        hits = self._hits.copy()
        hits[:, 0] += np.cumsum(self._latest) + (0 if self._l1[1] else repeats)
        return SizeGeometries(self._name, touches, touches - in_front, hits)


def measure(
    trace: Trace,
    page_sizes: Sequence[str] = ("4k",),
    sets: int = 4096,
    ways: int = 16,
    l1: Geometry | None = None,
    skip: int = 0,
    most: int | None = None,
    ignore: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Geometries:
    """Misses of every LRU geometry of up to so many sets, a power of two, and ways.

    l1: an LRU TLB in front. skip: accesses left out at the beginning. most: accesses to take.
    ignore: take the trace as though no event took a translation away. advance: told how many have
    been taken. Raises InputError for a bad page size, geometry or trace, and for one with such
    events.
    """
    _check(sets, ways, l1)
    passes = [_Pass(page_size_index(name), sets, ways, l1) for name in page_sizes]
    if not passes:
        raise InputError("expected at least one page size: 4k, 2m or 1g")
    making = Making(files_of([trace]))
    asked = {
        "call": "geometries", "trace": of_trace(trace),
        "page_sizes": [each.lower() for each in page_sizes], "sets": sets, "ways": ways,
        "l1": [l1.sets, l1.ways] if l1 else None, "warmup": skip, "max": most, "ignore": ignore,
    }  # fmt: skip
    accesses, taken, owners = 0, _Taken(), Owners()
    for part in parts(trace.chunks(), skip, most):
        taken.add(part)
        if taken.found and not ignore:
            raise InputError(f"{trace.name}: {taken.said}")
        for start, end, owner in owners.parts(part):
            for each in passes:
                each.run(part, start, end, owner)
        accesses += part.accesses
        if advance:
            advance(accesses)
    if not accesses:
        raise InputError(f"{trace.name}: no accesses after the first that were skipped")
    results = tuple(each.result() for each in passes)
    asked["files"] = making.files()
    return Geometries(
        trace.name, accesses, results, l1, dict(taken.found), input=asked, made=making.made()
    )


class _Taken:
    """Events that take translations away; of BRK, those that shrink the heap."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self._ends: dict[int, int] = {}

    def add(self, chunk: Chunk) -> None:
        for event in chunk.events:
            kind, pid, start = int(event["kind"]), int(event["pid"]), int(event["start"])
            shrinks = kind == BRK and start < self._ends.get(pid, start)
            if kind == BRK:
                self._ends[pid] = start
            if shrinks or kind in _TAKE_AWAY:
                self.found[EVENT_NAMES[kind]] += 1

    @property
    def said(self) -> str:
        name = next(iter(self.found))
        return (
            f"{name} takes translations away, which one pass for all geometries cannot follow; "
            "--ignore-invalidations takes the trace as though nothing did"
        )


def _check(sets: int, ways: int, l1: Geometry | None) -> None:
    if not 1 <= sets <= MOST_SETS or sets & (sets - 1):
        raise InputError(f"sets {sets}: expected a power of two, {MOST_SETS:,} at most")
    if not 1 <= ways <= MOST_WAYS:
        raise InputError(f"ways {ways}: expected 1 to {MOST_WAYS}")
    if l1 and l1.policy != "lru":
        raise InputError(f"L1 with {l1.policy} replacement: expected lru")
