"""Who makes the runs of a study on this machine: this process, threads of it, or processes.

An engine takes points and gives an Outcome for each, in whatever order they end. Its rows depend
on the point alone.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any, NamedTuple, Protocol

from mmulab.mmu.errors import MMULabError
from mmulab.mmu.report.long_rows import Row
from mmulab.studies import rows
from mmulab.studies.calls import CALLS
from mmulab.studies.points import Point

#: Times that a run is begun whose process is ended from outside.
TRIES = 3

#: Seconds between two looks at whether the study is to end.
_PERIOD = 0.2

Progress = Callable[[int], None]


class Outcome(NamedTuple):
    """What became of a run: its rows, without what begins them, and the seconds that it took."""

    point: Point
    rows: list[Row]
    seconds: float


class Engine(Protocol):
    def outcomes(self, points: Sequence[Point]) -> Iterator[Outcome]:
        """Makes the runs of points."""
        ...


def outcome_of(point: Point, progress: Progress | None = None) -> Outcome:
    """Makes a run; what goes wrong in it is the row of it."""
    begun = time.perf_counter()
    try:
        results = CALLS[point.command].results(point.settings, point.scenario, progress)
        found = rows.of_results(point.command, results, point.settings)
    except MMULabError as error:
        found = rows.failure(str(error))
    except MemoryError:
        found = rows.failure("out of memory")
    except Exception as error:  # a mistake in the simulator, or in a user's technique
        found = rows.failure(f"{type(error).__name__}: {error}")
    return Outcome(point, found, time.perf_counter() - begun)


class Inline:
    """One run after the other, in this thread. progress: told how far each run is."""

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress

    def outcomes(self, points: Sequence[Point]) -> Iterator[Outcome]:
        for point in points:
            yield outcome_of(point, self._progress)


class _Stopped(BaseException):
    """Ends a run in a thread, since the study ends."""


class Threads:
    """Several runs at once, each in a thread: compiled code holds no lock of Python's."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def outcomes(self, points: Sequence[Point]) -> Iterator[Outcome]:
        stop = threading.Event()

        def check(_done: int) -> None:
            if stop.is_set():
                raise _Stopped

        waiting = deque(points)
        running: set[Future[Outcome]] = set()
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                while waiting or running:
                    while waiting and len(running) < self._jobs:
                        running.add(pool.submit(outcome_of, waiting.popleft(), check))
                    done, running = wait(running, _PERIOD, FIRST_COMPLETED)
                    for each in done:
                        yield each.result()
            finally:
                stop.set()


class _Worker:
    """A process that makes one run at a time."""

    def __init__(self, context: Any) -> None:
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other,), daemon=True)
        self.process.start()
        other.close()
        self.point: Point | None = None

    def begins(self, point: Point) -> bool:
        """Gives it a run; False where it was ended in the meantime."""
        try:
            self.connection.send(point)
        except OSError:
            return False
        self.point = point
        return True

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class Processes:
    """Several runs at once, each in a process. One that is ended from outside is replaced, and
    its run begun again, `TRIES` times at most: then that is its failure."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def outcomes(self, points: Sequence[Point]) -> Iterator[Outcome]:
        context = multiprocessing.get_context("spawn")  # threads and compiled code outlive no fork
        waiting = deque(points)
        deaths: dict[str, int] = {}
        workers: list[_Worker] = []
        try:
            while waiting or any(worker.point for worker in workers):
                self._occupy(workers, waiting, context)
                busy = [each for each in workers if each.point]
                wait_for([each.connection for each in busy], _PERIOD)
                for worker in busy:
                    found = self._look_at(worker, workers, waiting, deaths)
                    if found:
                        yield found
        finally:
            for worker in workers:
                worker.end()

    def _occupy(self, workers: list[_Worker], waiting: deque[Point], context: Any) -> None:
        for worker in [each for each in workers if not each.point]:
            if waiting and worker.begins(waiting[0]):
                waiting.popleft()
            elif waiting:
                workers.remove(worker)
                worker.end()
        while waiting and len(workers) < self._jobs:
            workers.append(_Worker(context))
            if workers[-1].begins(waiting[0]):
                waiting.popleft()

    def _look_at(
        self, worker: _Worker, workers: list[_Worker], waiting: deque[Point], deaths: dict[str, int]
    ) -> Outcome | None:
        """What a worker has made. One that is dead is taken off, and its run given back."""
        point = worker.point
        if point is None or not worker.connection.poll():
            return None
        try:
            outcome: Outcome = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            how = ended(worker.process.exitcode or 0)
            workers.remove(worker)
            worker.end()
            deaths[point.key] = deaths.get(point.key, 0) + 1
            if deaths[point.key] < TRIES:
                waiting.appendleft(point)
                return None
            return Outcome(point, rows.failure(f"its process was {how}, {TRIES} times"), 0.0)
        worker.point = None
        return outcome


def ended(code: int) -> str:
    """How a process was ended, by its exit code."""
    if code >= 0:
        return f"ended with code {code}"
    return f"ended by {signal.Signals(-code).name}"


def _serve(connection: Connection) -> None:
    """A worker's work, until the study's process closes the connection or ends."""
    for number in ("SIGINT", "SIGHUP"):  # those of a terminal reach all of its processes
        if hasattr(signal, number):
            signal.signal(getattr(signal, number), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            point = connection.recv()
        except EOFError:
            return
        connection.send(outcome_of(point))


def _end_with_parent() -> None:
    import os

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
