"""What a memory trace is to the simulator: a stream of chunks of columns.

A chunk holds accesses as parallel columns and, beside them, the events that
happened between those accesses. Readers and generators (``workloads``) make
chunks; the simulator consumes them. A stream of chunks may be of any length.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

# Kinds of access. A read-modify-write (lackey's ``M``) is a load and then a store.
LOAD, STORE, FETCH = 0, 1, 2

# Kinds of event, with the meaning of an event's fields start, length and value.
MMAP = 0  # start, length in bytes; value: PROT_* bits, and PAGE_* << 8 where known
MUNMAP = 1  # start, length in bytes
MPROTECT = 2  # start, length in bytes; value: PROT_* bits
BRK = 3  # start: the new end of the heap (the first BRK of a process sets its base)
FORK = 4  # value: pid of the child, which does not run until a SWITCH
EXEC = 5  # the address space of pid is emptied
EXIT = 6  # pid ends, its address space is freed
SWITCH = 7  # accesses from here on belong to pid; value: its thread, 0 where not known
CONTENT = 8  # start, length: what these bytes of memory hold now; value: a tag, equal for
#              equal pages, 0 for zeros, from 2**62 on for pages of files; not negative
KERNEL = 9  # pid enters the kernel, and comes back: a system call, an interrupt. MMAP to
#             SWITCH are entries themselves: a call that makes one of those makes no KERNEL

EVENT_NAMES = (
    "mmap", "munmap", "mprotect", "brk", "fork", "exec", "exit", "switch", "content", "kernel",
)  # fmt: skip

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4  # as in Linux <sys/mman.h>

EVENT = np.dtype(
    [
        ("position", np.int64),  # happens before access number `position` of its chunk
        ("kind", np.int64),
        ("pid", np.int64),
        ("start", np.int64),
        ("length", np.int64),
        ("value", np.int64),
    ]
)


#: Columns that a trace may have beside address, kind and size, and their types.
COLUMNS: dict[str, np.dtype[Any]] = {
    "ip": np.dtype(np.int64),
    "depends": np.dtype(np.uint16),
    "device": np.dtype(np.uint8),
}

# Values of `depends`. What lies farther back than the farthest is not known.
UNKNOWN, FARTHEST, INDEPENDENT = 0, 65534, 65535


class Chunk(NamedTuple):
    """A piece of a trace.

    address: int64[n], virtual addresses (the bit pattern of the 64-bit address)
    kind: uint8[n], LOAD, STORE or FETCH
    size: uint16[n], bytes touched from address on, at least 1
    events: EVENT[k], sorted by position, 0 <= position <= n; events with the same
        position happen in the order of the array

    The columns of COLUMNS, of n entries each, are None where the trace has none, or where
    they were not asked for:

    ip: int64, address of the instruction; 0 where not known. A fetch's is its own address,
        where the format does not say another
    depends: uint16, how many accesses back in the trace the load lies whose value made this
        one's address; UNKNOWN, or INDEPENDENT where it is known that none did. A fetch's is
        UNKNOWN
    device: uint8, the device that made the access; 0: a processor
    """

    address: np.ndarray
    kind: np.ndarray
    size: np.ndarray
    events: np.ndarray
    ip: np.ndarray | None = None
    depends: np.ndarray | None = None
    device: np.ndarray | None = None

    @property
    def accesses(self) -> int:
        return len(self.address)

    def columns(self) -> dict[str, np.ndarray]:
        """Those of COLUMNS that are there."""
        return {name: column for name in COLUMNS if (column := getattr(self, name)) is not None}

    def part(self, chosen: slice | np.ndarray, events: np.ndarray) -> Chunk:
        """The accesses that a slice or a mask chooses, with these events.

        `depends` still counts the accesses that are left out; see `workloads.depends`.
        """
        optional = {name: column[chosen] for name, column in self.columns().items()}
        return Chunk(self.address[chosen], self.kind[chosen], self.size[chosen], events, **optional)


class Origin(NamedTuple):
    """How a user named a trace. spec: the text, of a generator in canonical form. format: where
    one was asked for. path: of the file that it is read from; None without one. seed: of
    a generator."""

    spec: str
    format: str | None = None
    path: str | None = None
    seed: int | None = None


NO_EVENTS = np.zeros(0, EVENT)


class Trace(Protocol):
    """Anything that can be simulated.

    name: what to call it in tables and plots
    length: number of accesses where it is known beforehand, else None
    """

    name: str

    @property
    def length(self) -> int | None: ...

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        """A fresh pass over the trace, from its beginning.

        columns: those of COLUMNS that are wanted; what nobody wants costs nothing.
        """
        ...


def origin(trace: Trace) -> Origin | None:
    """How a trace was named, where it is one of `workloads`."""
    known = getattr(trace, "origin", None)
    return known if isinstance(known, Origin) else None


def chunks_of(trace: Trace, columns: Collection[str]) -> Iterator[Chunk]:
    """A pass over a trace with these columns; over a user's that takes no wish, as it comes."""
    if inspect.signature(trace.chunks).parameters:
        return trace.chunks(columns)
    return trace.chunks()
