"""What a trace is like, in one pass: what `mmulab trace info` reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from mmulab import __version__
from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.memory.entries import INDEX_BITS, PAGE_SHIFT, SIZE_NAMES
from mmulab.mmu.report.made import Making, files_of, of_trace
from mmulab.mmu.report.shown import Shown
from mmulab.mmu.trace import COLUMNS, EVENT_NAMES, MMAP, MUNMAP, SWITCH, Chunk, Trace, chunks_of
from mmulab.workloads.analysis import tally_kernels as kernels
from mmulab.workloads.analysis.stack_distance import StackDistances
from mmulab.workloads.analysis.stack_kernels import EMPTY

SCHEMA = "mmulab.trace-info"
SCHEMA_VERSION = 2

#: Accesses of a working-set interval where the trace does not say how long it is.
INTERVAL = 100_000
INTERVALS = 60  # of a trace that says

#: Touched pages closer than this are one region. An assumption: 4 MiB, two of the large
#: pages that a region could be backed by.
GAP_PAGES = 1024

POINTS = 60_000  # samples of (access, address) for the figure

KIND_NAMES = ("loads", "stores", "fetches")


@dataclass(frozen=True)
class Region:
    """Touched pages that lie together. accesses: loads, stores, fetches."""

    process: int
    start: int
    end: int
    pages: int
    accesses: tuple[int, int, int]

    @property
    def bytes(self) -> int:
        return self.end - self.start

    @property
    def uses(self) -> str:
        """Which kinds of access it saw, as rwx."""
        loads, stores, fetches = self.accesses
        return ("r" if loads else "-") + ("w" if stores else "-") + ("x" if fetches else "-")


@dataclass(frozen=True, repr=False)
class TraceInfo(Shown):
    """A trace, summed up.

    kinds: accesses by KIND_NAMES. sizes: accesses by bytes. events: by name. columns: those of
    mmu.trace.COLUMNS that it has, each with the accesses for which it says something.
    pages: touched pages by page size. working_set: distinct 4 KiB pages touched in each
    interval of `interval` accesses (Denning, The working set model for program behavior,
    CACM 11(5), 1968, at multiples of tau). entries_for_99: TLB entries for 99 % hits by
    page size, fully associative LRU; None where first touches alone are more than 1 %.
    reuse: touches of 4 KiB pages by stack distance, in powers of two: [1], [2], [3, 4], ...
    points: (access number, address) of a sample, for the figure.
    """

    trace: str
    accesses: int
    kinds: dict[str, int]
    sizes: dict[int, int]
    processes: int
    threads: int
    events: dict[str, int]
    columns: dict[str, int]
    pages_mapped: int
    pages_unmapped: int
    pages: dict[str, int]
    interval: int
    working_set: list[int]
    entries_for_99: dict[str, int | None]
    reuse: list[int]
    first_touches: int
    regions: list[Region]
    points: np.ndarray
    input: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"<what {self.trace} is like: {self.accesses:,} accesses>"

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TraceInfo:
        """What `to_dict` made plain, without points."""
        kept = (each.name for each in fields(cls) if each.name in plain)
        regions = [Region(**{**each, "accesses": tuple(each["accesses"])})
                   for each in plain["regions"]]  # fmt: skip
        return cls(
            **{name: plain[name] for name in kept if name not in ("regions", "sizes")},
            sizes={int(size): count for size, count in plain["sizes"].items()},
            regions=regions,
            points=np.empty((2, 0), np.int64),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data; see docs/results.md. The sample of points is left out."""
        values = asdict(self)
        del values["points"]
        values["sizes"] = {str(size): count for size, count in self.sizes.items()}
        begin = ("made", "input")
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            **{name: values.pop(name) for name in begin},
            **values,
        }


class _Collector:
    """Sums up a trace chunk by chunk."""

    def __init__(self, interval: int, every: int) -> None:
        self.interval, self.every = interval, every
        self.accesses = self.mapped = self.unmapped = 0
        self.kinds = np.zeros(3, np.int64)
        self.sizes = np.zeros(1, np.int64)
        self.events: Counter[int] = Counter()
        self.columns: Counter[str] = Counter()
        self.pids: dict[int, int] = {1: 0}
        self.seen: set[int] = set()
        self.threads: set[tuple[int, int]] = set()
        self.current = 1
        self.distances = [StackDistances(size) for size in range(len(SIZE_NAMES))]
        self.working_set: list[int] = []
        self.points: list[np.ndarray] = []
        self._keys = np.full(1 << 14, EMPTY, np.int64)
        self._counts = np.zeros((1 << 14, kernels.COLUMNS), np.int64)
        self._state = np.zeros(2, np.int64)

    def add(self, chunk: Chunk) -> None:
        self.kinds += np.bincount(chunk.kind, minlength=3)
        sizes = np.bincount(chunk.size)
        if len(sizes) > len(self.sizes):
            self.sizes = np.append(self.sizes, np.zeros(len(sizes) - len(self.sizes), np.int64))
        self.sizes[: len(sizes)] += sizes
        for name, column in chunk.columns().items():
            self.columns[name] += int(np.count_nonzero(column))
        for each in self.distances:
            each.add(chunk)
        first = -self.accesses % self.every
        part = chunk.address[first :: self.every]
        self.points.append(
            np.stack([self.accesses + first + self.every * np.arange(len(part)), part])
        )
        self._events(chunk)
        self.accesses += chunk.accesses

    def _events(self, chunk: Chunk) -> None:
        start = 0
        self.events.update(chunk.events["kind"].tolist())
        pages = (chunk.events["length"] + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT
        self.mapped += int(pages[chunk.events["kind"] == MMAP].sum())
        self.unmapped += int(pages[chunk.events["kind"] == MUNMAP].sum())
        for event in chunk.events[chunk.events["kind"] == SWITCH]:
            self._touch(chunk, start, int(event["position"]))
            start, self.current = int(event["position"]), int(event["pid"])
            self.threads.add((self.current, int(event["value"])))
        self._touch(chunk, start, chunk.accesses)

    def _touch(self, chunk: Chunk, position: int, end: int) -> None:
        if position < end:
            self.seen.add(self.current)
        owner = self.pids.setdefault(self.current, len(self.pids)) << 52
        while position < end:
            number = (self.accesses + position) // self.interval
            self._begin(number)
            stop = min(end, (number + 1) * self.interval - self.accesses)
            position = kernels.tally(
                to_read(chunk.address), to_read(chunk.size), to_read(chunk.kind), position, stop,
                owner, number,
                self._state, self._keys, self._counts,
            )  # fmt: skip
            if position < stop:
                self._grow()

    def _begin(self, number: int) -> None:
        """Ends the intervals before this one."""
        while len(self.working_set) < number:
            self.working_set.append(int(self._state[kernels.TOUCHED]))
            self._state[kernels.TOUCHED] = 0

    def _grow(self) -> None:
        keys = np.full(2 * len(self._keys), EMPTY, np.int64)
        counts = np.zeros((len(keys), kernels.COLUMNS), np.int64)
        kernels.rehash(self._keys, self._counts, keys, counts)
        self._keys, self._counts = keys, counts

    def pages(self) -> tuple[np.ndarray, np.ndarray]:
        """(key of each touched page, sorted by process and address, its counts)"""
        used = np.flatnonzero(self._keys != EMPTY)
        order = used[np.argsort(self._keys[used].view(np.uint64))]
        return self._keys[order], self._counts[order, : len(KIND_NAMES)]

    def last_working_set(self) -> int:
        return int(self._state[kernels.TOUCHED])


_PAGE_BITS = 52


def _regions(keys: np.ndarray, counts: np.ndarray, pids: list[int]) -> list[Region]:
    page = keys << (64 - _PAGE_BITS) >> (64 - _PAGE_BITS)
    owner = (keys.view(np.uint64) >> np.uint64(_PAGE_BITS)).astype(np.int64)
    apart = (np.diff(page) > GAP_PAGES) | (np.diff(page) < 0) | (np.diff(owner) != 0)
    cut = np.flatnonzero(apart) + 1
    regions = []
    for first, last in zip([0, *cut.tolist()], [*cut.tolist(), len(page)], strict=True):
        loads, stores, fetches = (int(n) for n in counts[first:last].sum(axis=0))
        regions.append(
            Region(pids[int(owner[first])], int(page[first]) << PAGE_SHIFT,
                   (int(page[last - 1]) + 1) << PAGE_SHIFT, last - first, (loads, stores, fetches))
        )  # fmt: skip
    return regions


def _reuse(hits: np.ndarray) -> list[int]:
    """Touches by stack distance, summed over 1, 2, 3-4, 5-8, ..."""
    buckets, low = [], 1
    high = 1
    while low < len(hits):
        buckets.append(int(hits[low : high + 1].sum()))
        low, high = high + 1, 2 * high
    while buckets and not buckets[-1]:
        buckets.pop()
    return buckets


def summarise(
    trace: Trace, advance: Callable[[int], None] | None = None, window: int | None = None
) -> TraceInfo:
    """Sums a trace up in one pass. Memory is some 250 bytes a touched page.

    advance: told how many accesses have been taken. window: accesses of a working-set
    interval; by the trace's length unless given. Raises InputError for a bad trace or window.
    """
    length = trace.length
    if window is not None and window < 1:
        raise InputError(f"window {window}: expected 1 access or more")
    interval = window or (max(1000, -(-length // INTERVALS)) if length else INTERVAL)
    making = Making(files_of([trace]))
    asked = {"call": "trace_info", "trace": of_trace(trace), "window": window}
    collector = _Collector(interval, max(1, (length or 20 * INTERVAL) // POINTS))
    for chunk in chunks_of(trace, COLUMNS):
        collector.add(chunk)
        if advance:
            advance(collector.accesses)
    if not collector.accesses:
        raise InputError(f"{trace.name}: no memory accesses")
    keys, counts = collector.pages()
    curves = [each.curve() for each in collector.distances]
    return TraceInfo(
        trace=trace.name,
        accesses=collector.accesses,
        kinds=dict(zip(KIND_NAMES, collector.kinds.tolist(), strict=True)),
        sizes={size: int(n) for size, n in enumerate(collector.sizes) if n},
        processes=len(collector.seen),
        threads=max(len(collector.seen), len(collector.threads)),
        events={EVENT_NAMES[kind]: n for kind, n in sorted(collector.events.items())},
        columns={name: collector.columns[name] for name in COLUMNS if name in collector.columns},
        pages_mapped=collector.mapped,
        pages_unmapped=collector.unmapped,
        pages={
            name: len(np.unique(keys >> (INDEX_BITS * size)))
            for size, name in enumerate(SIZE_NAMES)
        },
        interval=interval,
        working_set=[*collector.working_set, collector.last_working_set()],
        entries_for_99={curve.page_size: curve.entries_for(0.99) for curve in curves},
        reuse=_reuse(curves[0].hits),
        first_touches=round(curves[0].cold),
        regions=_regions(keys, counts, list(collector.pids)),
        points=np.concatenate(collector.points, axis=1),
        input=asked | {"files": making.files()},
        made=making.made(),
    )
