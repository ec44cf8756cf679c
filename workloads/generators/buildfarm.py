"""A parallel build: make starts compilers by fork and exec, as many at a time as -j says.

make stores to each page of its heap, then starts the jobs, which run in turn for a quantum of
accesses each (SWITCH). A job:

    FORK by make (or, by vfork, a process without memory), SWITCH
    EXEC of the shell, MMAPs of its text, data, libraries and stack
        fetches, loads of data and stores to the stack
    EXEC of the compiler in the same process, its MMAPs, the first BRK
    MMAP of the source file
        tokens: a fetch of text and, for one in eight, of libraries, a load of the source, a
        store of a new node of the heap (BRK where it ends), a load of an older one
    MMAP of a buffer for the output
        a load of a node and a store to the buffer for each line
    MUNMAP of both, EXIT, SWITCH to make
    make looks through its heap, stores to some of it, and starts the next

A job's defaults are one `gcc -O2 -c` of a program of four lines that includes stdio.h (GCC 12.2,
Debian 12, Linux's fault-around as it comes): gcc, cc1 and as made 17.8 million loads and 8.4
million stores, as Valgrind's lackey counts them, and 1,886 page faults, 1,300 of them for memory
of their own and 586 for files. That is a fault in 13,900 accesses of data. The larger a source,
the fewer: gzlog.c of zlib's examples makes one in some 90,000.

A trace has no file mappings, so that text is private to each process: a first touch of each page.
Linux maps 16 pages at each fault of a file that is in the page cache (fault_around_bytes), so
that the sizes of texts here are what is faulted, not what is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.trace import BRK, FETCH, LOAD, PROT_EXEC, PROT_READ, PROT_WRITE, STORE, Chunk
from mmulab.workloads.generators.parameters import (
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
    execute,
    fork,
    free_pid,
    full,
    happen,
    leave,
    mmap,
    munmap,
    put,
    stepped,
    switch,
)

# Where a program lies: the program below its heap, what it maps and its libraries above.
_TEXT = HEAP - (1 << 32)
_SOURCE, _OUTPUT, _LIBRARY = ARENA, ARENA + (1 << 37), ARENA + (1 << 38)
_STACK = (1 << 47) - (1 << 30)
_LARGEST_TEXT, _LARGEST_SOURCE = 1 << 30, 1 << 36

SUMMARY = (
    "make -j: shells and compilers by fork and exec, that fetch from large texts, grow a heap, "
    "read a source and write an output (the kernel builds of Adams and Agesen, ASPLOS 2006)"
)
PARAMETERS = {
    "jobs": Parameter(2, "jobs at a time, -j", most=1024),
    "heap": size(4900 << 10, "bytes of a compiler's heap: with sources and output, the 1,300 first "
                 "touches of memory measured for gcc -O2 -c of a program of four lines"),
    "job": Parameter(35_000_000, "accesses of a compilation, three quarters of them of data, 26.2 "
                     "million as measured for it", most=1 << 40),
    "text": size(2116 << 10, "bytes of the compiler's text that are faulted: with those of shell "
                 "and libraries, the 586 page faults of files measured for it; Linux maps 16 "
                 "pages at each, cc1 of GCC 12 has 33 million bytes", _LARGEST_TEXT),
    "sources": size(140 << 10, "bytes of sources and headers that a job maps and reads, and of its "
                    "output; stdio.h includes 140 KB", _LARGEST_SOURCE),
    "make": size(16 << 20, "bytes of make's heap; an assumption"),
    "vfork": Parameter(0, "1: make starts jobs by vfork, which copies nothing; 0: by fork",
                       least=0, most=1),
    "quantum": Parameter(10_000, "accesses of a job's turn"),
    "accesses": Parameter(100_000_000, "accesses in all; a job has 36 million"),
}  # fmt: skip

_PAGE, _LINE = 4096, 64
_READ_EXECUTE, _READ_WRITE = PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE

# Bytes, by size(1), of dash 0.5.12, cc1 of GCC 12.2 and libc of glibc 2.36, Debian 12, amd64;
# of libc's 1844 KiB, a page for each 16 that a fault maps.
_SHELL_TEXT, _SHELL_DATA = 112 << 10, 16 << 10
_COMPILER_DATA = 1728 << 10
_LIBRARY_TEXT, _LIBRARY_DATA = 116 << 10, 72 << 10
_STACK_BYTES = 132 << 10  # of a Linux stack at exec, stack_guard_gap and growth left out
_TOP_PAD = 128 << 10  # by which malloc grows the heap (glibc malloc.c, DEFAULT_TOP_PAD)

_SHELL_STEPS = 300  # accesses of the shell are three times as many; an assumption
_CHORES = 64  # accesses of make between two jobs; an assumption
_TOKEN = 4  # accesses of a token, fetches of libraries left out
_CALLS = 8  # a token in so many calls a library; an assumption

# Places in the state, and in a job's row.
_STATE = (_PHASE, _AT, _TURN, _LEFT, _NEXT, _LAST) = range(6)
_JOB = (_NUMBER, _STAGE, _STEP, _BREAK) = range(4)
_HEAP_FILL, _RUN, _CHORE = range(3)  # phases of make
_UNBORN, _SHELL, _COMPILE, _WRITE = range(4)  # stages of a job


class _Farm(NamedTuple):
    state: np.ndarray
    job: np.ndarray  # a row each
    pid: np.ndarray  # of the jobs; 0: none
    heap: int
    tokens: int
    text: int
    source: int
    make: int
    vfork: int
    quantum: int
    seed: int


@inlined
def _hot(seed, number, length):
    """A word of a text: the cube of a random number, so that half of all fetches are to an
    eighth of it. The law is an assumption."""
    drawn = unit(seed, number)
    return np.int64(drawn * drawn * drawn * (length // WORD)) * WORD


@inlined
def _load_program(out, pid, text, data):
    """exec: a new address space, as the kernel and the dynamic linker set it up."""
    execute(out, pid)
    mmap(out, pid, _TEXT, text, _READ_EXECUTE)
    mmap(out, pid, _TEXT + text, data, _READ_WRITE)
    mmap(out, pid, _LIBRARY, _LIBRARY_TEXT, _READ_EXECUTE)
    mmap(out, pid, _LIBRARY + _LIBRARY_TEXT, _LIBRARY_DATA, _READ_WRITE)
    mmap(out, pid, _STACK, _STACK_BYTES, _READ_WRITE)


@inlined
def _shell(out, farm, row, pid):
    step = row[_STEP]
    number = (row[_NUMBER] * _SHELL_STEPS + step) * 3
    put(out, _TEXT + _hot(farm.seed, number, _SHELL_TEXT), FETCH)
    data = below(farm.seed, number + 1, _SHELL_DATA // WORD)
    put(out, _TEXT + _SHELL_TEXT + data * WORD, LOAD)
    put(out, _STACK + _STACK_BYTES - WORD - step % 512 * WORD, STORE)
    if step + 1 < _SHELL_STEPS:
        row[_STEP] = step + 1
        return
    _load_program(out, pid, farm.text, _COMPILER_DATA)
    happen(out, BRK, pid, HEAP, 0, 0)
    happen(out, BRK, pid, HEAP + _TOP_PAD, 0, 0)
    mmap(out, pid, _SOURCE, farm.source, PROT_READ)
    row[_BREAK] = _TOP_PAD
    row[_STAGE], row[_STEP] = _COMPILE, 0


@inlined
def _spread(step, steps, length):
    """The word that is step / steps of the way through length bytes."""
    return np.int64(np.float64(step) / steps * (length // WORD)) * WORD


@inlined
def _token(out, farm, row, pid):
    """Nodes are made from the heap's beginning to its end; the older one is, the more seldom
    it is looked at (the law, that of `_hot`, is an assumption)."""
    step = row[_STEP]
    number = row[_NUMBER] * farm.tokens + step
    seed = farm.seed ^ 1
    put(out, _TEXT + _hot(seed, 2 * number, farm.text), FETCH)
    if step % _CALLS == 0:
        put(out, _LIBRARY + _hot(farm.seed ^ 2, number, _LIBRARY_TEXT), FETCH)
    put(out, _SOURCE + _spread(step, farm.tokens, farm.source), LOAD)
    node = _spread(step, farm.tokens, farm.heap)
    if node + WORD > row[_BREAK]:
        row[_BREAK] = (node + WORD + _TOP_PAD - 1) // _TOP_PAD * _TOP_PAD
        happen(out, BRK, pid, HEAP + row[_BREAK], 0, 0)
    put(out, HEAP + node, STORE)
    put(out, HEAP + node - _hot(seed, 2 * number + 1, node + WORD), LOAD)
    if step + 1 < farm.tokens:
        row[_STEP] = step + 1
        return
    mmap(out, pid, _OUTPUT, farm.source, _READ_WRITE)
    row[_STAGE], row[_STEP] = _WRITE, 0


@inlined
def _write(out, farm, row, pid):
    """A line of the output, from nodes of the heap in order; true where it was the last."""
    step = row[_STEP]
    lines = farm.source // _LINE
    node = _spread(step, lines, _spread(farm.tokens - 1, farm.tokens, farm.heap) + WORD)
    put(out, HEAP + node, LOAD)
    put(out, _OUTPUT + step * _LINE, STORE)
    row[_STEP] = step + 1
    if step + 1 < lines:
        return False
    munmap(out, pid, _OUTPUT, farm.source)
    munmap(out, pid, _SOURCE, farm.source)
    leave(out, pid)
    return True


@inlined
def _begin(out, farm, slot):
    """make starts a job; it runs when its turn comes.

    A child by vfork borrows its parent's memory until it calls exec, and touches none here:
    it is a new process at its SWITCH.
    """
    pid = free_pid(farm.pid, farm.state[_LAST])
    farm.state[_LAST] = farm.pid[slot] = pid
    row = farm.job[slot]
    row[_NUMBER] = farm.state[_NEXT]
    row[_STAGE], row[_STEP] = _UNBORN, 0
    farm.state[_NEXT] += 1
    if not farm.vfork:
        fork(out, PARENT, pid)


@inlined
def _turn(out, farm, slot):
    """Gives a slot its turn; its job is begun where there is none."""
    state = farm.state
    if farm.pid[slot] == 0:
        _begin(out, farm, slot)
    pid = farm.pid[slot]
    state[_PHASE], state[_TURN], state[_LEFT] = _RUN, slot, farm.quantum
    switch(out, pid)
    if farm.job[slot, _STAGE] == _UNBORN:
        farm.job[slot, _STAGE] = _SHELL
        _load_program(out, pid, _SHELL_TEXT, _SHELL_DATA)


@inlined
def _run(out, farm):
    """A step of the job whose turn it is."""
    state, slot = farm.state, farm.state[_TURN]
    row, pid = farm.job[slot], farm.pid[slot]
    before = out.used[0]
    stage = row[_STAGE]
    if stage == _SHELL:
        _shell(out, farm, row, pid)
    elif stage == _COMPILE:
        _token(out, farm, row, pid)
    elif _write(out, farm, row, pid):
        switch(out, PARENT)
        farm.pid[slot] = 0
        state[_PHASE], state[_AT] = _CHORE, 0
        return
    state[_LEFT] -= out.used[0] - before
    if state[_LEFT] <= 0:
        following = slot + 1 if slot + 1 < farm.pid.size else 0
        if farm.pid[following] == 0:
            switch(out, PARENT)
            state[_PHASE], state[_TURN], state[_AT] = _CHORE, following, 0
        elif following != slot:
            _turn(out, farm, following)
        else:
            state[_LEFT] = farm.quantum


@entry
def _fill(out, farm):
    state = farm.state
    while not full(out):
        at = state[_AT]
        state[_AT] = at + 1
        if state[_PHASE] == _RUN:
            _run(out, farm)
        elif state[_PHASE] == _HEAP_FILL:
            put(out, HEAP + at * _PAGE, STORE)
            if (at + 1) * _PAGE >= farm.make:
                state[_PHASE], state[_AT] = _CHORE, 0
        elif at < _CHORES:
            number = state[_NEXT] * _CHORES + at
            word = below(farm.seed ^ 3, number, farm.make // WORD)
            put(out, HEAP + word * WORD, STORE if at % 4 == 0 else LOAD)
        else:
            _turn(out, farm, state[_TURN])


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    jobs = int(parameters["jobs"])
    heap, text, source, make = (
        int(parameters[name]) // _PAGE * _PAGE for name in ("heap", "text", "sources", "make")
    )
    farm = _Farm(
        np.zeros(len(_STATE), np.int64),
        np.zeros((jobs, len(_JOB)), np.int64),
        np.zeros(jobs, np.int64),
        heap,
        max(1, int(parameters["job"]) // _TOKEN),
        text,
        source,
        make,
        int(parameters["vfork"]),
        int(parameters["quantum"]),
        seed,
    )

    def fill(out: Output) -> None:
        _fill(out, farm)

    return stepped(int(parameters["accesses"]), mapped((HEAP, make)), fill, 2 * _TOKEN)
