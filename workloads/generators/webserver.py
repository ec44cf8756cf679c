"""A pre-forking web server: children that share their parent's memory until they write it.

The parent stores to each page of its heap, maps and fills the document cache, makes it
read-only and forks the children (MMAP, MPROTECT, FORKs). Then the children run in turn, for a
quantum of accesses each (SWITCH): the server is saturated, so that there always is a request.

    a request       stores of its lines to the child's pool
                    loads of random words of the heap, with stores to random pages of it
                    for each line of the document: a load, and a store to the pool
                    a store to the log buffer
    after `requests` of them the child exits (EXIT, SWITCH to the parent); the parent looks
    through its scoreboard and forks another (FORK)

The pool and the log buffer lie in the heap, where the first store to a page after the fork
copies it. Memory that processes share to write (Apache's scoreboard) is not modelled: a
trace's mappings are private.

A request's defaults are those of a server in an interpreter, measured: CPython 3.11's http.server
makes 129,000 loads and 76,000 stores for a file of 15,000 bytes (388,700 instructions; Valgrind's
lackey, a hundredth of what 100 requests add), and a child that is forked after three requests
breaks the sharing of 286 pages with its first and of 327 in 4,000. A request of a server in C is
smaller: 10,000 to 50,000 accesses, with stores to some ten pages, is an assumption.

Documents are SPECweb96's: directories of 36 files in four classes, 100 bytes to 900 KB; the
directory is drawn by Zipf's law (Arlitt and Williamson, SIGMETRICS 1996, found it in six
sites' logs), a file of a class evenly (SPECweb96 favours the middle ones).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.trace import LOAD, MPROTECT, PROT_READ, STORE, Chunk
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    ARENA,
    HEAP,
    WORD,
    Parameter,
    mapped,
    size,
)
from mmulab.workloads.generators.randoms import below, unit
from mmulab.workloads.generators.steps import (
    PARENT,
    Output,
    fork,
    free_pid,
    full,
    happen,
    leave,
    put,
    stepped,
    switch,
)

SUMMARY = (
    "a parent forks children that serve documents in turn, exit after a number of requests and "
    "are forked anew (Apache's prefork MPM; documents of SPECweb96)"
)
PARAMETERS = {
    "workers": Parameter(16, "child processes that serve", most=1024),
    "requests": Parameter(100, "requests after which a child exits (MaxConnectionsPerChild); an "
                          "assumption: never unless told, 4,000 in Red Hat Enterprise Linux 4"),
    "directories": Parameter(4, "directories of 36 documents, 5 MB each, in the cache",
                             most=1 << 16),
    "heap": size(1308 << 10, "bytes of the parent's heap: the 327 pages that a child of CPython's "
                 "http.server writes"),
    "work": Parameter(129_000, "loads of the heap for a request, measured for that server; a tenth "
                      "of it for one in C is an assumption", least=0, most=1 << 30),
    "writes": Parameter(76_000, "stores to random pages of the heap for a request (reference "
                        "counts of an interpreter, say), spread over its loads; measured likewise",
                        least=0, most=1 << 30),
    "quantum": Parameter(10_000, "accesses of a child's turn"),
    "accesses": ACCESSES,
}  # fmt: skip

_PAGE, _LINE = 4096, 64
# Two pages: the least that apr_pool_create takes (APR, memory/unix/apr_pools.c, MIN_ALLOC).
_POOL = 2 * _PAGE
_HEADER = 512  # bytes of a request: an assumption
_LOG = _POOL  # the page of the log buffer, behind the pool
_LEAST_HEAP = _POOL + 2 * _PAGE
_REAP = 32  # accesses of the parent to its scoreboard for an exit; an assumption

# SPECweb96: shares of the classes; file k of class c has k * 102.4 * 10**c bytes.
_CLASSES = (0.35, 0.50, 0.14, 0.01)
_FILES = 9
_SMALLEST = 102.4

# Places in the state, and in a child's row.
_STATE = (_PHASE, _AT, _TURN, _LEFT, _NEXT, _LAST) = range(6)
_CHILD = (_SERVED, _REQUEST, _STEP, _DOCUMENT, _LINES) = range(5)
_HEAP, _CACHE, _SPAWN, _SERVE, _WAIT = range(5)  # phases


class _Server(NamedTuple):
    state: np.ndarray
    child: np.ndarray  # a row each
    pid: np.ndarray  # of the children; 0: none
    popular: np.ndarray  # cumulative probabilities of the directories
    start: np.ndarray  # of a directory's files, in bytes; and at last its size
    lines: np.ndarray  # of a directory's files
    heap: int
    cache: int
    requests: int
    work: int
    writes: int
    quantum: int
    seed: int


@inlined
def _draw(server, row):
    """The child's next request."""
    request = server.state[_NEXT]
    server.state[_NEXT] = request + 1
    drawn = unit(server.seed, 3 * request)
    low, high = 0, server.popular.size - 1
    while low < high:
        middle = (low + high) >> 1
        if server.popular[middle] > drawn:
            high = middle
        else:
            low = middle + 1
    drawn = unit(server.seed, 3 * request + 1)
    number = below(server.seed, 3 * request + 2, _FILES)
    for share in _CLASSES[:-1]:
        if drawn >= share:
            number += _FILES
        drawn -= share if drawn >= share else 1.0
    row[_REQUEST], row[_STEP] = request, 0
    row[_DOCUMENT] = low * server.start[server.start.size - 1] + server.start[number]
    row[_LINES] = server.lines[number]


@inlined
def _work(out, server, request, step):
    """A load of a random word of the heap; `writes` of the `work` loads (or all that there
    are, again and again) also store to a random page."""
    number = request * (server.work + server.writes) + step
    stores = server.writes
    loads = server.work
    if step * stores // (stores + loads) < (step + 1) * stores // (stores + loads):
        page = below(server.seed ^ 1, number, server.heap // _PAGE)
        put(out, HEAP + page * _PAGE, STORE)
    else:
        put(out, HEAP + below(server.seed ^ 1, number, server.heap // WORD) * WORD, LOAD)


@inlined
def _serve(out, server, row):
    """One access of the request, or two; true where it was the last."""
    header = _HEADER // _LINE
    step = row[_STEP]
    row[_STEP] = step + 1
    if step < header:
        put(out, HEAP + step * _LINE, STORE)
        return False
    step -= header
    if step < server.work + server.writes:
        _work(out, server, row[_REQUEST], step)
        return False
    line = step - server.work - server.writes
    if line < row[_LINES]:
        put(out, ARENA + row[_DOCUMENT] + line * _LINE, LOAD)
        put(out, HEAP + _HEADER + line * _LINE % (_POOL - _HEADER), STORE)
        return False
    put(out, HEAP + _LOG + row[_REQUEST] * _LINE % _PAGE, STORE)
    return True


@inlined
def _start(out, server):
    """One store to a page of the heap, then of the cache; then the cache is read-only."""
    state = server.state
    base, length = (HEAP, server.heap) if state[_PHASE] == _HEAP else (ARENA, server.cache)
    put(out, base + state[_AT] * _PAGE, STORE)
    state[_AT] += 1
    if state[_AT] * _PAGE >= length:
        if state[_PHASE] == _CACHE:
            happen(out, MPROTECT, PARENT, ARENA, server.cache, PROT_READ)
        state[_PHASE] += 1
        state[_AT] = 0


@inlined
def _spawn(out, server, slot):
    """The parent forks a child and writes its pid to the scoreboard."""
    pid = free_pid(server.pid, server.state[_LAST])
    server.state[_LAST] = server.pid[slot] = pid
    fork(out, PARENT, pid)
    put(out, HEAP + _LEAST_HEAP - _PAGE + slot * WORD % _PAGE, STORE)
    server.child[slot, _SERVED] = 0
    _draw(server, server.child[slot])


@inlined
def _turn(out, server, slot):
    state = server.state
    state[_PHASE], state[_TURN], state[_LEFT] = _SERVE, slot, server.quantum
    switch(out, server.pid[slot])


@inlined
def _run(out, server):
    """A step of the child whose turn it is."""
    state, slot = server.state, server.state[_TURN]
    row = server.child[slot]
    before = out.used[0]
    done = _serve(out, server, row)
    state[_LEFT] -= out.used[0] - before
    if done:
        row[_SERVED] += 1
        if row[_SERVED] == server.requests:
            leave(out, server.pid[slot])
            switch(out, PARENT)
            server.pid[slot] = 0
            state[_PHASE], state[_AT] = _WAIT, 0
            return
        _draw(server, row)
    if state[_LEFT] <= 0:
        following = slot + 1 if slot + 1 < server.pid.size else 0
        if following != slot:
            _turn(out, server, following)
        else:
            state[_LEFT] = server.quantum


@entry
def _fill(out, server):
    state = server.state
    children = server.pid.size
    while not full(out):
        phase = state[_PHASE]
        if phase == _SERVE:
            _run(out, server)
        elif phase < _SPAWN:
            _start(out, server)
        elif phase == _SPAWN:
            _spawn(out, server, state[_AT])
            state[_AT] += 1
            if state[_AT] == children:
                _turn(out, server, 0)
        elif state[_AT] < _REAP:
            put(out, HEAP + _LEAST_HEAP - _PAGE + state[_AT] * WORD, LOAD)
            state[_AT] += 1
        else:
            slot = state[_TURN]
            _spawn(out, server, slot)
            _turn(out, server, slot + 1 if slot + 1 < children else 0)


def check(parameters: dict[str, int | float]) -> None:
    if parameters["heap"] < _LEAST_HEAP:
        raise InputError(
            f"webserver: heap={int(parameters['heap'])}: expected at least {_LEAST_HEAP}"
        )


def _directory() -> tuple[np.ndarray, np.ndarray]:
    """(starts, lines) of a directory's files, each on pages of its own; the last start is the
    directory's size."""
    sizes = [
        int(number * _SMALLEST * 10**group)
        for group in range(len(_CLASSES))
        for number in range(1, _FILES + 1)
    ]
    starts = np.cumsum([0, *(-(-each // _PAGE) * _PAGE for each in sizes)])
    return starts, np.array([-(-each // _LINE) for each in sizes])


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    children, directories = int(parameters["workers"]), int(parameters["directories"])
    heap = int(parameters["heap"]) // _PAGE * _PAGE
    starts, lines = _directory()
    cache = directories * int(starts[-1])
    popular = np.cumsum(1 / np.arange(1, directories + 1.0))
    server = _Server(
        np.zeros(len(_STATE), np.int64),
        np.zeros((children, len(_CHILD)), np.int64),
        np.zeros(children, np.int64),
        popular / popular[-1],
        starts,
        lines,
        heap,
        cache,
        int(parameters["requests"]),
        int(parameters["work"]),
        int(parameters["writes"]),
        int(parameters["quantum"]),
        seed,
    )

    def fill(out: Output) -> None:
        _fill(out, server)

    # The cache is mapped writable, and made read-only when it is filled.
    regions = mapped((HEAP, heap), (ARENA, cache))
    return stepped(int(parameters["accesses"]), regions, fill, 2)
