"""`mmulab blame`: which data, or which instructions, TLB misses and page walks come from.

A technique runs as in `mmulab compare`, stopped before each access that may miss in L1 and whose
label differs; what it counts until the next is that label's. L1 hits count nothing but themselves.
Each count of a whole run is in exactly one label, or in that of the events between accesses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from mmulab import __version__
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.hardware.state import CACHE_LEVELS
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.machine.data import Lines
from mmulab.mmu.machine.parts import compile_parts
from mmulab.mmu.machine.simulator import FIRST_PID, Simulator, build
from mmulab.mmu.machine.slow import first_slow
from mmulab.mmu.machine.work import Work, prepare
from mmulab.mmu.presets.listing import described
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report.made import Making, files_of, of_trace
from mmulab.mmu.report.measured import Measured, measured
from mmulab.mmu.report.overlap import independence
from mmulab.mmu.report.shown import Shown
from mmulab.mmu.techniques.specs import Spec, costs, parse
from mmulab.mmu.trace import FETCH, LOAD, STORE, Trace, chunks_of
from mmulab.workloads.analysis.labels import Instructions, Labels, Ranges, Regions

SCHEMA = "mmulab.blame"
SCHEMA_VERSION = 1

BY = ("region", "range", "ip")

#: The label of events between accesses: system calls, and what the kernel does in them.
EVENTS = -(1 << 63)

_COUNTED = ("stats", "exits", "own", "references", "hidden")

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Part:
    """What is blamed on one label. name: of it. measured: what came of it, as of a technique over
    its accesses; the rates that overlap goes by are those of the whole run."""

    name: str
    measured: Measured

    def to_dict(self, of: Blame) -> dict[str, Any]:
        counts = self.measured.counts
        return {
            "name": self.name,
            "accesses": counts["accesses"],
            "l1_tlb_misses": counts["l1_tlb_misses"],
            "l2_tlb_misses": counts["l2_tlb_misses"],
            "walks": counts["walks"],
            "references": sum(sum(each["served_by"]) for each in self.measured.references),
            "walk_cycles": of.walk_cycles(self),
            "guest_faults": counts["guest_faults"],
            "exits": self.measured.total_exits,
            "cycles": of.cycles(self),
        }


@dataclass(frozen=True, repr=False)
class Blame(Shown):
    """Where the misses of a trace come from.

    trace, preset, version, input, made: as of `Comparison`. by: one of BY. technique: its spec.
    accesses: that were counted. parts: of each label, those with most cycles of translation first.
    whole: all of them.
    """

    trace: str
    preset: str
    version: str
    by: str
    technique: str
    accesses: int
    parts: tuple[Part, ...]
    whole: Measured
    input: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        return f"<blame of {self.trace} by {self.by} under {self.technique}, {self.preset}>"

    def walk_cycles(self, part: Part) -> float:
        """Likely cycles of its page walks that the program waits for."""
        cycles = part.measured.cycles
        return self._waited() * sum(cycles[name].likely for name in ("guest_walk", "nested_walk"))

    def cycles(self, part: Part) -> float:
        """Likely cycles that free translation would save: walks, L2 TLB, exits, upkeep."""
        spent = part.measured.cycles
        others = ("exit_fault", "exit_pte", "exit_flush", "shadow", "l2_tlb")
        return self.walk_cycles(part) + sum(spent[name].likely for name in others)

    def _waited(self) -> float:
        return self.whole.overlap.of("walks").likely

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
            "technique": self.technique,
            "by": self.by,
            "accesses": self.accesses,
            "parts": [part.to_dict(self) for part in self.parts],
        }


class _Tally:
    """What each label has counted. A row: the vCPU's counters one after the other, and accesses by
    kind."""

    def __init__(self, simulator: Simulator) -> None:
        self._arrays = [getattr(simulator.machine.vcpu, name) for name in _COUNTED]
        self._rows: dict[int, np.ndarray] = {}
        self._before = self._now()

    def _now(self) -> np.ndarray:
        return np.concatenate([each.reshape(-1).view(np.int64) for each in self._arrays])

    def skip(self) -> None:
        """What was counted until now is nobody's."""
        self._before = self._now()

    def blame(self, label: int) -> None:
        now = self._now()
        self.row(label)[:-3] += now - self._before
        self._before = now

    def row(self, label: int) -> np.ndarray:
        return self._rows.setdefault(label, np.zeros(len(self._before) + 3, np.int64))

    def accesses(self, labels: np.ndarray, kinds: np.ndarray) -> None:
        found, places = np.unique(labels, return_inverse=True)
        for at, kind in enumerate((LOAD, STORE, FETCH)):
            numbers = np.bincount(places.reshape(-1)[kinds == kind], minlength=len(found))
            for label, number in zip(found.tolist(), numbers.tolist(), strict=True):
                self.row(label)[at - 3] += number

    def rows(self) -> dict[int, np.ndarray]:
        return {label: row for label, row in self._rows.items() if row.any()}

    def counted(self, row: np.ndarray) -> Any:
        """A row as a vCPU that has counted as much, which `measured` reads."""
        parts = {}
        at = 0
        for name, array in zip(_COUNTED, self._arrays, strict=True):
            flat = array.reshape(-1).view(np.int64)
            parts[name] = row[at : at + len(flat)].copy().view(array.dtype).reshape(array.shape)
            at += len(flat)
        for name in ("references", "hidden"):
            parts[name][-2 * CACHE_LEVELS :] = 0  # of the program's data: nobody is blamed for it
        return SimpleNamespace(**parts)


def measure(
    trace: Trace,
    preset: Preset,
    config: Config,
    technique: str | Spec = "nested",
    by: str = "region",
    size: int = 2 << 20,
    warmup: int = 0,
    most: int | None = None,
    progress: Progress | None = None,
) -> Blame:
    """Blames what a technique counts over a trace. by: one of BY. size: of ranges, bytes. warmup:
    accesses at the beginning that are not counted. most: accesses that are; all unless given.

    Raises InputError for a bad trace or configuration, RunError where the run cannot go on.
    """
    config = config.on(preset.arch)
    spec = (parse(technique, config) if isinstance(technique, str) else technique).on(preset)
    making = Making(files_of([trace]))
    labels = _labels(by, size)
    compile_parts([spec])
    simulator = build(spec, preset, config)
    tally = _Tally(simulator)
    lines = Lines(preset, config.caches, FIRST_PID)
    done, end = 0, None if most is None else warmup + most
    for chunk in chunks_of(trace, labels.columns):
        of_chunk = labels.of(chunk)
        work, _ = prepare(trace, chunk, done, warmup, config.levels, lines)
        stop = chunk.accesses if end is None else min(chunk.accesses, end - done)
        _run(simulator, work, of_chunk, tally, min(stop, max(0, warmup - done)), stop)
        done += chunk.accesses
        if progress:
            progress(done)
        if end is not None and done >= end:
            break
    rows = tally.rows()
    if not sum(row[-3:].sum() for row in rows.values()):
        raise InputError(f"{trace.name}: no accesses after a warm-up of {warmup:,}")
    known = independence(trace, preset, warmup)

    def of_row(row: np.ndarray) -> Measured:
        kinds = row[-3:].tolist()
        return Measured(**measured(spec, tally.counted(row), kinds, preset))

    total = np.sum(list(rows.values()), axis=0)
    of_all = measured(spec, tally.counted(total), total[-3:].tolist(), preset, 0, known)
    found = Blame(
        trace=trace.name,
        preset=preset.name,
        version=__version__,
        by=by,
        technique=spec.text,
        accesses=int(total[-3:].sum()),
        parts=tuple(Part(_name(labels, label), of_row(row)) for label, row in rows.items()),
        whole=Measured(**of_all),
        input={
            "call": "blame",
            "trace": of_trace(trace),
            "files": making.files(),
            "techniques": [spec.text],
            "preset": described(preset, costs([spec.technique])),
            "settings": config.settings(),
            "by": by,
            "range": size,
            "warmup": warmup,
            "max": most,
        },
        made=making.made(),
    )
    return _in_order(found)


def _in_order(found: Blame) -> Blame:
    def rank(part: Part) -> tuple[float, int, str]:
        return -found.cycles(part), -part.measured.counts["accesses"], part.name

    return replace(found, parts=tuple(sorted(found.parts, key=rank)))


def _labels(by: str, size: int) -> Labels:
    if by == "region":
        return Regions(FIRST_PID)
    return Ranges(size) if by == "range" else Instructions()


def _name(labels: Labels, label: int) -> str:
    return "events" if label == EVENTS else labels.name(label)


def _run(
    simulator: Simulator, work: Work, labels: np.ndarray, tally: _Tally, begin: int, stop: int
) -> None:
    """Runs accesses [0, stop) of a chunk, of which those from `begin` on are counted."""
    chunk = work.chunk
    tally.accesses(labels[begin:stop], chunk.kind[begin:stop])
    event = 0
    if begin:
        event = simulator.run(chunk, work.marks, 0, begin, 0, work.lines)
        tally.skip()
    address, marks = to_read(chunk.address), to_read(work.marks)
    changes = np.append(np.flatnonzero(np.diff(labels)) + 1, len(labels))
    at_events = [*np.unique(chunk.events["position"]).tolist(), stop]
    position = begin
    for halt in (min(each, stop) for each in at_events if each >= begin):
        while position < halt:
            slow = first_slow(simulator.machine.core, address, marks, position, halt)
            last = halt
            if slow < halt:
                last = min(halt, int(changes[np.searchsorted(changes, slow, side="right")]))
            quiet = chunk._replace(events=chunk.events[:event])  # those at `last` come after it
            simulator.run(quiet, work.marks, position, last, event, work.lines)
            tally.blame(int(labels[min(slow, last - 1)]))
            position = last
        before = event
        event = simulator.run(chunk, work.marks, halt, halt, event, work.lines)
        if event != before:
            tally.blame(EVENTS)
