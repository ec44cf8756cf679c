"""Generators whose algorithm keeps a state and makes events on its way: one step after another.

A step is as many accesses and events as the algorithm makes without looking back: at most
`spare` and SPARE_EVENTS. A kernel takes steps until the output is `full`; what a step makes
beyond the end of a chunk goes into the next, so that chunks have the same length whatever the
steps are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.trace import EVENT, EXEC, EXIT, FORK, MMAP, MUNMAP, SWITCH, Chunk
from mmulab.workloads.generators import parameters as shared

#: Events that a step may make.
SPARE_EVENTS = 64

_EVENTS = 1 << 12  # of one call of a kernel

# The first process of a trace, and the others' numbers: up to Linux's default pid_max.
PARENT, FIRST_CHILD, LAST_PID = 1, 2, 32768

# Places in Output.used.
_MADE, _MADE_EVENTS, _ENOUGH = range(3)


class Output(NamedTuple):
    """What a kernel writes to.

    address: int64, kind: uint8, of accesses; event: int64[n, 6], the fields of EVENT
    used: accesses and events made, and the accesses that are enough
    """

    address: np.ndarray
    kind: np.ndarray
    event: np.ndarray
    used: np.ndarray


@inlined
def put(out, where, kind):
    """Makes an access."""
    at = out.used[_MADE]
    out.address[at] = where
    out.kind[at] = kind
    out.used[_MADE] = at + 1


@inlined
def happen(out, kind, pid, start, length, value):
    """Makes an event, before the next access."""
    event = out.event[out.used[_MADE_EVENTS]]
    event[0], event[1], event[2] = out.used[_MADE], kind, pid
    event[3], event[4], event[5] = start, length, value
    out.used[_MADE_EVENTS] += 1


@inlined
def mmap(out, pid, start, length, protection):
    happen(out, MMAP, pid, start, length, protection)


@inlined
def munmap(out, pid, start, length):
    happen(out, MUNMAP, pid, start, length, 0)


@inlined
def fork(out, parent, child):
    happen(out, FORK, parent, 0, 0, child)


@inlined
def execute(out, pid):
    happen(out, EXEC, pid, 0, 0, 0)


@inlined
def leave(out, pid):
    happen(out, EXIT, pid, 0, 0, 0)


@inlined
def switch(out, pid):
    happen(out, SWITCH, pid, 0, 0, 0)


@inlined
def free_pid(pids, last):
    """The number that follows `last` among those that no live process has."""
    while True:
        last = last + 1 if FIRST_CHILD <= last + 1 <= LAST_PID else FIRST_CHILD
        taken = False
        for pid in pids:
            taken = taken or pid == last
        if not taken:
            return last


@inlined
def full(out):
    """True where the kernel is to return."""
    return (
        out.used[_MADE] >= out.used[_ENOUGH]
        or out.used[_MADE_EVENTS] > out.event.shape[0] - SPARE_EVENTS
    )


def _output(count: int, spare: int, address: np.ndarray, kind: np.ndarray) -> Output:
    """Room for count accesses, the first of which are given."""
    out = Output(
        np.empty(count + spare, np.int64),
        np.empty(count + spare, np.uint8),
        np.empty((_EVENTS, 6), np.int64),
        np.array([len(address), 0, count]),
    )
    out.address[: len(address)] = address
    out.kind[: len(kind)] = kind
    return out


def _as_events(rows: np.ndarray) -> np.ndarray:
    events = np.empty(len(rows), EVENT)
    for name, column in zip(EVENT.names or (), rows.T, strict=True):
        events[name] = column
    return events


def stepped(
    accesses: int, events: np.ndarray, fill: Callable[[Output], None], spare: int
) -> Iterator[Chunk]:
    """Chunks of word-sized accesses; `fill(output)` goes on until the output is full.

    events happen before the first access.
    """
    address, kind = np.empty(0, np.int64), np.empty(0, np.uint8)
    while accesses:
        count = min(shared.CHUNK, accesses)
        # What is left over may be more than the last chunk has room for.
        out = _output(max(count, len(address)), spare, address, kind)
        parts = [events]
        while out.used[_MADE] < count:
            out.used[_MADE_EVENTS] = 0
            fill(out)
            parts.append(_as_events(out.event[: out.used[_MADE_EVENTS]]))
        events = np.concatenate(parts)
        now = events["position"] < count
        size = np.full(count, shared.WORD, np.uint16)
        yield Chunk(out.address[:count], out.kind[:count], size, events[now])
        events = events[~now]
        events["position"] -= count
        made = int(out.used[_MADE])
        address, kind = out.address[count:made], out.kind[count:made]
        accesses -= count
