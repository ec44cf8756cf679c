"""Runs the units of a part of a trace, each technique in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mmulab.mmu.config import Config
from mmulab.mmu.machine.data import Lines
from mmulab.mmu.machine.simulator import FIRST_PID
from mmulab.mmu.machine.work import Work, prepare
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.sampling.pieces import Piece, Span, pieces
from mmulab.mmu.sampling.records import Record, added, of_first_touches, record
from mmulab.mmu.sampling.skipped import Skipped
from mmulab.mmu.simulate import Worker
from mmulab.mmu.techniques.specs import Spec
from mmulab.mmu.trace import Trace


class Part(NamedTuple):
    """What one process makes: accesses [begin, end) of a trace. spans: what is simulated, in order.
    while_: as of `Skipped`; None: all between spans is run, too."""

    trace: Trace
    preset: Preset
    config: Config
    specs: tuple[Spec, ...]
    begin: int
    end: int
    spans: list[Span]
    while_: int | None
    check: bool = False


class Units(NamedTuple):
    """What one technique counted, by the number of each unit: in its first half, in all of it, and
    of that, what came of first touches. touched: what came of them in the whole part, skipped or
    not. refused: why it cannot run, where that may be."""

    halves: dict[int, Record]
    whole: dict[int, Record]
    first: dict[int, Record]
    touched: Record
    refused: str = ""


class _Measured(Work):
    """A piece as work. by_kind, touched: of its unit so far."""

    piece: Piece
    by_kind: Sequence[int]
    touched: int


class _Sampler(Worker):
    """A technique's thread. A unit is counted from its beginning."""

    def __init__(self, spec: Spec, part: Part) -> None:
        super().__init__(spec, part.preset, part.config, 0, part.check)
        self._part = part
        self._is_within = False
        self._counting = -1
        self.found = Units({}, {}, {}, {})

    def _one(self, work: Work) -> None:
        assert isinstance(work, _Measured)
        _, begin, span, is_last = work.piece
        self.simulator.accesses = begin  # what errors name
        if not self._is_within and begin >= self._part.begin:
            self._count_anew()
            self._is_within = True
        if span and span.unit >= 0 and span.unit != self._counting:
            self._counting = span.unit
            self._count_anew()
        super()._one(work)
        if span and span.unit >= 0 and is_last:
            to = self.found.whole if span.is_end else self.found.halves
            to[span.unit] = record(self.simulator, self._part.preset, work.by_kind, work.touched)
            if span.is_end:
                self.found.first[span.unit] = of_first_touches(self.simulator, self._part.preset)

    def _count_anew(self) -> None:
        """Zeroes the counters; what came of first touches is kept."""
        if self._is_within:
            touched = of_first_touches(self.simulator, self._part.preset)
            self.found = self.found._replace(touched=added(self.found.touched, touched))
        self.simulator.reset_counters()

    def finish(self) -> None:
        super().finish()
        if not self.error:
            self._count_anew()


def measure(part: Part, progress: Callable[[int], None] | None = None) -> dict[str, Units]:
    """The units of a part, by technique. progress: called with the accesses gone by.

    Raises InputError for a bad trace, RunError where the run cannot go on.
    """
    workers = [_Sampler(spec, part) for spec in part.specs]
    skipped = None if part.while_ is None else Skipped(FIRST_PID, part.while_)
    lines = Lines(part.preset, part.config.caches, FIRST_PID)
    try:
        for worker in workers:
            if not worker.error:
                worker.thread.start()
        _feed(part, workers, skipped, lines, progress)
        for worker in workers:
            worker.put(None)
        for worker in workers:
            worker.finish()
    finally:
        for worker in workers:
            worker.stop()
    return {worker.spec.text: _of(worker) for worker in workers}


def _of(worker: _Sampler) -> Units:
    return worker.found._replace(refused=str(worker.error) if worker.error else "")


def _feed(
    part: Part,
    workers: Sequence[_Sampler],
    skipped: Skipped | None,
    lines: Lines,
    progress: Callable[[int], None] | None,
) -> None:
    unit, sums = -1, [0, 0, 0, 0]
    for piece in pieces(part.trace, part.spans, skipped, part.begin, part.end):
        chunk, begin, span, _ = piece
        of_unit = span.unit if span else -1
        if of_unit != unit:
            unit, sums = of_unit, [0, 0, 0, 0]
        uncounted = begin + chunk.accesses if of_unit < 0 else 0
        made, counts = prepare(part.trace, chunk, begin, uncounted, part.config.levels, lines)
        sums = [one + more for one, more in zip(sums, counts.tolist(), strict=True)]
        work = _Measured(made.chunk, made.marks, 0, made.lines)
        work.piece, work.by_kind, work.touched = piece, sums[:3], sums[3]
        for worker in workers:
            worker.put(work)
        if progress:
            progress(begin + chunk.accesses)
