"""What binary formats share: records in blocks, parsed by a kernel into chunks.

A kernel takes as many whole records as it can. The records that it does not take go to
Python, which makes an event of them, skips them, or says what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.trace import COLUMNS, EVENT, Chunk
from mmulab.workloads.formats import Options
from mmulab.workloads.streams import ByteStream

#: Bytes read at a time: a multiple of every record's length, so that nothing is copied.
BLOCK = 6 << 20

#: A record makes at most so many accesses and events (Cloudsuite: a fetch, 4 loads, 4 stores).
SPARE = 9

#: Events of one chunk at most; a chunk that has so many ends early.
EVENTS = 1 << 16

# Why a kernel stopped. A format numbers what else can be wrong from BAD on.
END, FULL, OTHER, NOT_CANONICAL, BAD = 0, 1, 2, 3, 8

#: The entry of a kernel's state that says which value is wrong; the rest is the format's.
VALUE = 0

#: (records, position, end, va_bits, address, kind, size, count, events, happened, state, ip,
#: depends) -> (why it stopped, position, count, happened). Position and end count records. ip
#: and depends are None where they are not wanted, so that what fills them is compiled away.
Kernel = Callable[..., tuple[int, int, int, int]]

#: Takes the record at a position that the kernel did not; returns what is wrong, or None.
Other = Callable[[np.ndarray, int, "Columns"], "str | None"]

#: The first bytes of every address that is canonical in 57 bits, the widest that x86-64 has.
_WIDEST = 57


@inlined
def is_canonical(address, va_bits):
    unused = 64 - va_bits
    return ((address << unused) >> unused) == address


def may_be_address(value: int) -> bool:
    """Whether a 64-bit value could be an address at all; for detection."""
    top = value >> (_WIDEST - 1)
    return top in (0, (1 << (64 - _WIDEST + 1)) - 1)


@dataclass(frozen=True)
class Layout:
    """How the records of a file lie.

    unit: bytes of a record, 1 where their length varies (the kernel then takes whole ones)
    dtype: the elements that the kernel sees; unit is a multiple of their length
    what: one record, for messages
    reasons: what a kernel's codes from BAD on mean, with {value} for state[VALUE]
    columns: of mmu.trace.COLUMNS, those that its kernel fills where they are wanted
    """

    unit: int
    dtype: np.dtype[Any]
    what: str
    reasons: Mapping[int, str] = field(default_factory=dict)
    columns: frozenset[str] = frozenset()


class Columns:
    """A chunk in the making; `count` accesses and `happened` events of it are there."""

    def __init__(self, accesses: int, optional: frozenset[str]) -> None:
        """optional: columns that are wanted, and that the kernel fills."""
        self.accesses = accesses
        self._optional = optional
        self.total = 0
        self._fresh()

    def _fresh(self) -> None:
        self.address = np.empty(self.accesses + SPARE, np.int64)
        self.kind = np.empty(self.accesses + SPARE, np.uint8)
        self.size = np.empty(self.accesses + SPARE, np.uint16)
        self.ip, self.depends = self._column("ip"), self._column("depends")
        self.events = np.empty((min(self.accesses, EVENTS) + SPARE, 6), np.int64)
        self.count = self.happened = 0

    def _column(self, name: str) -> np.ndarray | None:
        if name not in self._optional:
            return None
        return np.empty(self.accesses + SPARE, COLUMNS[name])

    @property
    def full(self) -> bool:
        return self.happened + SPARE > len(self.events)

    def fill(
        self, kernel: Kernel, elements: np.ndarray, position: int, end: int, options: Options,
        state: np.ndarray,
    ) -> tuple[int, int]:  # fmt: skip
        """Has a kernel take records [position, end): (why it stopped, position)."""
        why, position, self.count, self.happened = kernel(
            elements, position, end, options.va_bits, self.address, self.kind, self.size,
            self.count, self.events, self.happened, state, self.ip, self.depends,
        )  # fmt: skip
        return why, position

    def event(self, kind: int, pid: int, value: int) -> None:
        """Appends an event, wherever it fits: ask `full` before."""
        self.events[self.happened] = (self.count, kind, pid, 0, 0, value)
        self.happened += 1

    def chunk(self) -> Chunk:
        """What is there so far; the next chunk begins."""
        events = self.events[: self.happened].copy().view(EVENT).reshape(-1)
        count = self.count
        optional = {name: getattr(self, name)[:count] for name in self._optional}
        chunk = Chunk(
            self.address[:count], self.kind[:count], self.size[:count], events, **optional
        )
        self.total += count
        self._fresh()
        return chunk


def read(
    stream: ByteStream,
    options: Options,
    layout: Layout,
    kernel: Kernel,
    state: np.ndarray,
    other: Other | None = None,
    start: int = 0,
) -> Iterator[Chunk]:
    """Chunks of a file of records.

    start: bytes of the stream that have been read before. Raises InputError naming the
    byte offset (of the decompressed data) of a record that is wrong or cut off.
    """
    columns = Columns(options.chunk_accesses, layout.columns & options.columns)
    rest = b""
    offset = start  # of data[0]
    while True:
        block = stream.read(BLOCK)
        data = rest + block if rest else block
        units = len(data) // layout.unit
        elements = np.frombuffer(data, layout.dtype, units * layout.unit // layout.dtype.itemsize)
        position = 0
        while True:
            why, position = columns.fill(kernel, elements, position, units, options, state)
            if why == END:
                break
            if why == FULL or columns.full:
                yield columns.chunk()
                continue
            where = f"{stream.name}: byte {offset + position * layout.unit:,}"
            if why == OTHER and other is not None:
                wrong = other(elements, position, columns)
                if wrong is not None:
                    raise InputError(f"{where}: {wrong}")
                position += 1
                continue
            raise InputError(f"{where}: {_reason(why, layout, options, int(state[VALUE]))}")
        rest = data[position * layout.unit :]
        offset += position * layout.unit
        if len(block) < BLOCK:
            break
    if rest:
        raise InputError(
            f"{stream.name}: truncated at byte {offset + len(rest):,}: expected {layout.what} "
            f"to be whole, but the last one begins at byte {offset:,}"
        )
    if columns.count or columns.happened:
        yield columns.chunk()
    if not columns.total:
        raise InputError(f"{stream.name}: no memory accesses found")


def _reason(why: int, layout: Layout, options: Options, value: int) -> str:
    if why == NOT_CANONICAL:
        shown = f"{value & ((1 << 64) - 1):#x}"
        return f"address {shown} not canonical in {options.va_bits} bits; is it {layout.what}?"
    return layout.reasons[why].format(value=value)
