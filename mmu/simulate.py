"""Runs one trace through several techniques, each in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from mmulab import __version__
from mmulab.mmu.config import TECHNIQUES, Config, python_files
from mmulab.mmu.errors import InputError, MMULabError
from mmulab.mmu.machine.data import Lines
from mmulab.mmu.machine.parts import compile_parts
from mmulab.mmu.machine.results import technique_result
from mmulab.mmu.machine.simulator import FIRST_PID, build
from mmulab.mmu.machine.work import Work, prepare
from mmulab.mmu.presets.listing import described
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.presets.shootdowns import SHOOTDOWNS
from mmulab.mmu.report import cost
from mmulab.mmu.report.made import Making, files_of, of_trace
from mmulab.mmu.report.overlap import independence
from mmulab.mmu.report.results import Comparison
from mmulab.mmu.report.verdict import verdict
from mmulab.mmu.report.warnings import warnings
from mmulab.mmu.techniques.specs import Spec, costs, parse_all
from mmulab.mmu.trace import Chunk, Trace
from mmulab.mmu.warmup import automatic

#: Chunks that wait for a technique: enough to keep it busy, little enough that memory
#: stays bounded while techniques run at different speeds.
QUEUE_CHUNKS = 2

#: Accesses between two checks of the invariants under `check`, events apart.
CHECK_INTERVAL = 1 << 16

Progress = Callable[[int], None]


def compare(
    trace: Trace,
    preset: Preset,
    config: Config | None = None,
    techniques: str | Sequence[str | Spec] = TECHNIQUES,
    warmup: int | Literal["auto"] = 0,
    check: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Runs a trace through techniques side by side.

    techniques: specs, `name:key=value,...`, or a list of them separated by commas; those that
    `all` stands for are the architecture's, and left out where they cannot run, with a warning.
    warmup: accesses at the beginning that are simulated but not counted; "auto": as
    `mmu.warmup.automatic` has it. check: verify the invariants of `mmu.check` after every event
    and every CHECK_INTERVAL accesses. progress: called now and then with the number of accesses
    read so far.

    Raises InputError for a bad trace or configuration, RunError where a run cannot go on.
    """
    config = (config or Config()).on(preset.arch)
    specs = specs_of(techniques, preset, config)
    making = making_of(trace, specs, config)
    warmup = warmup_of(trace, preset, config, warmup)
    compile_parts(specs)
    known = independence(trace, preset, warmup)
    workers = [Worker(spec, preset, config, warmup, check) for spec in specs]
    counts = _feed(trace, workers, warmup, preset, config, progress)
    failed = [worker for worker in workers if worker.error]
    workers = [worker for worker in workers if not worker.error]
    if failed and not workers:
        raise failed[0].error or AssertionError
    left_out = tuple(f"left out: {each.error}" for each in failed)
    specs = [worker.spec for worker in workers]
    if check:
        from mmulab.mmu.check import compare_contents

        compare_contents([worker.simulator for worker in workers])
    *by_kind, touched = counts.tolist()
    if not sum(by_kind):
        raise InputError(
            f"{trace.name}: no accesses after a warm-up of {warmup:,}; expected at least one"
        )
    results = tuple(
        technique_result(worker.simulator, preset, by_kind, touched, known) for worker in workers
    )
    priced = {
        key: of_one
        for spec in specs
        for key, of_one in cost.costs_of(preset, spec.technique, config.cores > 1).items()
    }
    virtual = [spec.text for spec in specs if spec.technique.virtual]
    settings = config.settings()
    return Comparison(
        trace=trace.name,
        preset=preset.name,
        version=__version__,
        accesses=sum(by_kind),
        warmup=warmup,
        settings=settings,
        results=results,
        warnings=(*left_out, *warnings(results, settings, warmup)),
        verdict=verdict(results, virtual, priced),
        costs=priced,
        input=input_of(trace, preset, config, specs, warmup, making),
        made=making.made(),
    )


def specs_of(techniques: str | Sequence[str | Spec], preset: Preset, config: Config) -> list[Spec]:
    """The techniques that are to run. Raises InputError."""
    specs = [
        spec.on(preset)
        for spec in parse_all(techniques, config)
        if not spec.optional or spec.is_on(preset)
    ]
    for spec in specs:
        cost.check_categories(spec.technique)
    return specs


def making_of(trace: Trace, specs: Sequence[Spec], config: Config) -> Making:
    """Begins to take the digests of all files that a run is made of."""
    return Making(
        files_of([trace])
        | {s.origin: s.origin for s in specs if python_files.is_file(s.origin)}
        | {path: path for path in (config.guest_tables, config.host_tables) if path}
    )


def warmup_of(trace: Trace, preset: Preset, config: Config, asked: int | Literal["auto"]) -> int:
    """Accesses of the warm-up. Raises InputError where it leaves nothing to count."""
    warmup = automatic(trace, preset, config) if asked == "auto" else asked
    if warmup < 0:
        raise InputError(f"warm-up of {warmup} accesses; expected 0 or more")
    if trace.length is not None and warmup >= trace.length:
        raise InputError(
            f"warm-up of {warmup:,} accesses leaves nothing of {trace.name}, "
            f"which has {trace.length:,}"
        )
    return warmup


def input_of(
    trace: Trace, preset: Preset, config: Config, specs: Sequence[Spec], warmup: int, making: Making
) -> dict[str, Any]:
    """All that a comparison is made of: `mmulab rerun` goes by it."""
    return {
        "call": "compare",
        "trace": of_trace(trace),
        "files": making.files(),
        "techniques": [spec.text for spec in specs],
        "preset": described(
            preset,
            costs(spec.technique for spec in specs) | (SHOOTDOWNS if config.cores > 1 else {}),
        ),
        "settings": config.settings(),
        "warmup": warmup,
    }


def _feed(
    trace: Trace,
    workers: list[Worker],
    warmup: int,
    preset: Preset,
    config: Config,
    progress: Progress | None,
) -> np.ndarray:
    """Hands every chunk to every worker; returns the measured accesses by kind, and the lines
    of the program that they touched."""
    counts = np.zeros(4, np.int64)
    # That a line is the latest of its set is known of one core's cache.
    caches = "exact" if config.cores > 1 and config.caches == "sampled" else config.caches
    lines = Lines(preset, caches, FIRST_PID)
    done = 0
    try:
        for worker in workers:
            if not worker.error:
                worker.thread.start()
        for chunk in trace.chunks():
            work, of_chunk = prepare(trace, chunk, done, warmup, config.levels, lines)
            counts += of_chunk
            for worker in workers:
                worker.put(work)
            done += chunk.accesses
            if progress:
                progress(done)
        for worker in workers:
            worker.put(None)
        for worker in workers:
            worker.finish()
    finally:
        for worker in workers:
            worker.stop()
    return counts


class Worker:
    """A technique's thread: takes chunks from its queue until None."""

    def __init__(
        self, spec: Spec, preset: Preset, config: Config, warmup: int, check: bool
    ) -> None:
        self.spec = spec
        self.warmup = warmup
        self.check = check
        self.work: queue.Queue[Work | None] = queue.Queue(QUEUE_CHUNKS)
        self.error: BaseException | None = None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, name=spec.text, daemon=True)
        try:
            self.simulator = build(spec, preset, config)
        except MMULabError as error:
            self.error = error
        self._raise()

    def _raise(self) -> None:
        """Raises what the thread died of, unless the others go on without it."""
        if self.error and not (self.spec.optional and isinstance(self.error, MMULabError)):
            raise self.error

    def put(self, work: Work | None) -> None:
        """Waits for room; raises what the thread died of."""
        while not self.error:
            try:
                self.work.put(work, timeout=0.1)
                return
            except queue.Full:
                continue
        self._raise()

    def finish(self) -> None:
        while self.thread.is_alive():
            self.thread.join(timeout=0.1)  # wakes up for Ctrl-C
        self._raise()

    def stop(self) -> None:
        self.stopped.set()
        if self.thread.ident is not None:
            self.thread.join(timeout=2)

    def _run(self) -> None:
        try:
            while not self.stopped.is_set():
                try:
                    work = self.work.get(timeout=0.1)
                except queue.Empty:
                    continue
                if work is None:
                    return
                self._one(work)
        except BaseException as error:  # handed to the thread that waits
            self.error = error

    def _one(self, work: Work) -> None:
        event = 0
        position = 0
        end = work.chunk.accesses
        pause = work.measured_from if self.simulator.accesses < self.warmup else 0
        for stop in self._stops(work.chunk, pause, end):
            event = self.simulator.run(work.chunk, work.marks, position, stop, event, work.lines)
            position = stop
            if pause and stop == pause and self.simulator.accesses == self.warmup:
                self.simulator.reset_counters()
            if self.check:
                from mmulab.mmu.check import check

                check(self.simulator)
            if self.stopped.is_set():
                return

    def _stops(self, chunk: Chunk, pause: int, end: int) -> list[int]:
        """Positions at which to stop: the end of the warm-up and, to check, many more."""
        stops = {end} | ({pause} if pause else set())
        if self.check:
            stops |= set(range(CHECK_INTERVAL, end, CHECK_INTERVAL))
            stops |= {int(p) for p in np.unique(chunk.events["position"])}
        return sorted(stops)
