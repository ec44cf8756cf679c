"""Stack distances of one trace on several cores, equal to those of one core.

Pieces of the trace are taken by threads, each from an empty stack, and absorbed in their order:
see `StackDistances.absorb`. That costs the first touches of each piece once more, so that pieces
are long where there are many pages, and a trace that seldom comes back to a page is taken
without them. Kernels run without Python's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from mmulab.mmu.trace import Chunk
from mmulab.workloads.analysis.stack_distance import StackDistances
from mmulab.workloads.slices import Owners

# Assumptions: a piece has so many accesses for each page so far, but no more than fit in memory;
# where it has fewer for each page that it touches first, the next few are taken without threads.
_EACH, _LONGEST = 16, 1 << 22
_WORTH_IT, _ALONE = 8, 7

_Part = tuple[Chunk, int, int, int]


class InParallel:
    """Feeds a trace to stack distances of several page sizes, which have it all after `finish`.

    jobs: threads; 1: none, and chunks are taken at once.
    """

    def __init__(self, distances: Sequence[StackDistances], jobs: int) -> None:
        self._distances = distances
        self._jobs = jobs
        self._pool = ThreadPoolExecutor(jobs) if jobs > 1 else None
        self._owners = Owners()
        self._piece: list[_Part] = []
        self._gathered = 0  # accesses of the piece
        self._alone = 0  # pieces to take without threads
        self._running: deque[list[Future[StackDistances]]] = deque()

    def __enter__(self) -> InParallel:
        return self

    def __exit__(self, *_why: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def add(self, chunk: Chunk) -> None:
        """Takes the next chunk of the trace."""
        self._piece += ((chunk, *part) for part in self._owners.parts(chunk))
        self._gathered += chunk.accesses
        if self._pool is None:
            self._take_alone()
        elif self._gathered >= min(_EACH * max(each.pages for each in self._distances), _LONGEST):
            self._send()

    def finish(self) -> None:
        """Takes what is left, and waits."""
        if self._piece:
            self._send()
        self._absorb(leave=0)

    def _send(self) -> None:
        if self._pool is None or self._alone:
            self._absorb(leave=0)
            self._take_alone()
            self._alone = max(0, self._alone - 1)
            return
        self._running.append(
            [self._pool.submit(_taken, each.like(), self._piece) for each in self._distances]
        )
        self._piece, self._gathered = [], 0
        self._absorb(leave=self._jobs)

    def _take_alone(self) -> None:
        for each in self._distances:
            _taken(each, self._piece)
        self._piece, self._gathered = [], 0

    def _absorb(self, leave: int) -> None:
        """Absorbs pieces until so many are under way."""
        while len(self._running) > leave:
            for each, running in zip(self._distances, self._running.popleft(), strict=True):
                later = running.result()
                if later.pages * _WORTH_IT > later.touches:
                    self._alone = _ALONE
                each.absorb(later)


def _taken(distances: StackDistances, piece: Sequence[_Part]) -> StackDistances:
    for part in piece:
        distances.take(*part)
    return distances
