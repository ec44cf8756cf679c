"""`perf script` text: samples with addresses, such as those of `perf record -d` or `perf mem`.

    sort  4242/4243 [001]  123.456789:   1 page-faults:   7f12a000 401020 main+0x10 (/bin/sort)

(Linux, tools/perf/Documentation/perf-script.txt: comm, pid or pid/tid, cpu, time, period,
event, addr and so on, in the order of -F; hexadecimal without 0x.) The first number after
the event's name is read as the data address: record with -d, and let -F put addr first.
Samples are a part of what happened, and are read as if they were all of it. An event
whose name says store or write is a store; others are loads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from mmu.errors import InputError
from mmu.trace import LOAD, NO_EVENTS, STORE, Chunk
from workloads.formats import Options, text
from workloads.formats.fields import with_switches
from workloads.streams import ByteStream

NAME = "perf"
SUMMARY = "`perf script` samples with data addresses"

_LINE = re.compile(
    rb"\s*(?P<comm>\S.*?)\s+(?P<pid>\d+)(?:/(?P<tid>\d+))?\s+(?:\[\d+\]\s+)?(?:[\d.]+:\s+)?"
    rb"(?:\d+\s+)?(?P<event>[A-Za-z][^\s]*?):+\s+(?P<address>[0-9a-f]{1,16})(?:\s|$)"
)
_EXPECTED = "a sample such as 'sort 42/42 1.5: 1 page-faults: 7f12a000', as of perf record -d"
_STACK = re.compile(rb"\s+[0-9a-f]{1,16} ")  # a frame of a call chain, on a line of its own


def matches(head: bytes) -> bool:
    return text.most_lines(head, _LINE, least=0.3)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of perf's samples. Raises InputError naming file and line."""
    rows: list[tuple[int, int, int, int]] = []
    last, accesses = (1, 0), 0
    for number, line in enumerate(text.lines_of(stream), 1):
        found = _LINE.match(line)
        if found:
            pid = int(found["pid"][:18])
            kind = STORE if re.search(rb"store|write", found["event"]) else LOAD
            address = _signed(found["address"])
            if address >> (options.va_bits - 1) not in (0, -1):
                raise InputError(
                    f"{stream.name}: line {number}: address not canonical in {options.va_bits} bits"
                )
            rows.append((address, kind, pid, int((found["tid"] or b"0")[:18])))
        elif text.only_blank(line) is None and not _STACK.match(line):
            shown = line[:60].decode("ascii", "backslashreplace")
            raise InputError(f"{stream.name}: line {number}: expected {_EXPECTED}, got {shown!r}")
        if len(rows) == options.chunk_accesses:
            chunk, last = _chunk(rows, last)
            accesses += len(rows)
            rows = []
            yield chunk
    if rows:
        yield _chunk(rows, last)[0]
    elif not accesses:
        raise InputError(f"{stream.name}: no samples with addresses found; expected {_EXPECTED}")


def _signed(digits: bytes) -> int:
    value = int(digits, 16)
    return value - (1 << 64) if value >> 63 else value


def _chunk(
    rows: list[tuple[int, int, int, int]], last: tuple[int, int]
) -> tuple[Chunk, tuple[int, int]]:
    address, kind, pid, tid = np.array(rows, np.int64).T
    chunk = Chunk(address.copy(), kind.astype(np.uint8), np.ones(len(rows), np.uint16), NO_EVENTS)
    return with_switches(chunk, pid, tid, last), (int(pid[-1]), int(tid[-1]))
