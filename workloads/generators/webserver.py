"""A pre-forking web server: workers serve requests in turn, live for some, and are replaced."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.jit import entry
from mmu.trace import EVENT, EXIT, FORK, LOAD, STORE, SWITCH, Chunk
from workloads.generators.parameters import (
    ACCESSES,
    ARENA,
    HEAP,
    WORD,
    Parameter,
    mapped,
    size,
    stream,
)
from workloads.generators.randoms import below, hashed, unit
from workloads.generators.zipf_law import rank_of, zeta_of

SUMMARY = (
    "pre-forked workers that serve documents by Zipf's law (Apache's prefork MPM; Arlitt and "
    "Williamson, Web server workload characterization, SIGMETRICS 1996)"
)
PARAMETERS = {
    "workers": Parameter(8, "children that serve requests in turn", least=1, most=1000),
    "requests": Parameter(100, "requests that a worker serves before it exits and another is "
                          "forked; Apache's MaxConnectionsPerChild", least=1),
    "heap": size(1 << 20, "bytes of the parent's heap, shared copy-on-write"),
    "documents": Parameter(10_000, "documents in the cache", least=2, most=1 << 24),
    "document": Parameter(16 << 10, "bytes of a document", "bytes", 64, 1 << 20),
    "stores": Parameter(40, "stores of a request to the worker's own copy of the heap", least=0),
    "accesses": ACCESSES,
}  # fmt: skip

_PARENT, _FIRST, _PIDS = 1, 2, 32_000
_LINE = 64
_LOADS = 40  # of configuration in the heap, an assumption: as many as stores


@entry
def _fill(first, address, kind, seed, initial, heap, documents, lines, stores, theta, zeta):
    """The parent writes its heap; then each request loads the heap, loads its document, and
    stores to the heap, at words that depend on the worker's turn only."""
    each = _LOADS + lines + stores
    words = heap // WORD
    for position in range(address.size):
        at = first + position
        if at < initial:
            address[position] = HEAP + at * _LINE
            kind[position] = STORE
            continue
        request, step = divmod(at - initial, each)
        if _LOADS <= step < _LOADS + lines:
            rank = rank_of(unit(seed, request), documents, theta, zeta)
            document = np.int64(hashed(0, rank) % np.uint64(documents))
            address[position] = ARENA + (document * lines + step - _LOADS) * _LINE
            kind[position] = LOAD
        else:
            address[position] = HEAP + below(seed + 1, at, words) * WORD
            kind[position] = LOAD if step < _LOADS else STORE


_THETA = 0.8  # of documents: Breslau et al., INFOCOM 1999, find 0.64 to 0.83


def _events(
    first: int, count: int, initial: int, each: int, workers: int, lives: int
) -> np.ndarray:
    """Switches between workers, with the forks and exits between their lives."""
    begin = max(0, -(-(first - initial) // each))
    rows: list[tuple[int, ...]] = []
    for request in range(begin, max(begin, -(-(first + count - initial) // each))):
        turn, worker = divmod(request, workers)
        life, served = divmod(turn, lives)
        pid = _FIRST + (life * workers + worker) % _PIDS
        at = initial + request * each - first
        if served == 0:
            rows.append((at, SWITCH, _PARENT, 0, 0, 0))
            if life:
                before = _FIRST + ((life - 1) * workers + worker) % _PIDS
                rows.append((at, EXIT, before, 0, 0, 0))
            rows.append((at, FORK, _PARENT, 0, 0, pid))
        rows.append((at, SWITCH, pid, 0, 0, 0))
    return np.array(rows, EVENT)


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    heap, documents = int(parameters["heap"]), int(parameters["documents"])
    lines, stores = int(parameters["document"]) // _LINE, int(parameters["stores"])
    zeta = zeta_of(documents, _THETA)
    initial = (heap - WORD) // _LINE + 1
    first = 0
    for chunk in stream(
        int(parameters["accesses"]),
        mapped((HEAP, heap), (ARENA, documents * lines * _LINE)),
        lambda first, address, kind: _fill(
            first, address, kind, seed, initial, heap, documents, lines, stores, _THETA, zeta
        ),
    ):
        events = _events(
            first, chunk.accesses, initial, _LOADS + lines + stores,
            int(parameters["workers"]), int(parameters["requests"]),
        )  # fmt: skip
        yield chunk._replace(events=np.concatenate([chunk.events, events]))
        first += chunk.accesses
