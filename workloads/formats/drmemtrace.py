"""DynamoRIO's memory traces, `drrun -t drmemtrace` (clients/drcachesim/common/trace_entry.h).

A file is packed little-endian records of 12 bytes, as 64-bit builds write them:

    0  type  u16    what the record is
    2  size  u16    bytes accessed, length of an instruction, or the kind of a marker
    4  addr  u64    address, thread, process, or the value of a marker

One file holds one thread (or, core-sharded and in old traces, several in turn), plain, as
.gz, or as a .zip whose members are pieces of it; a .zip has its directory at its end and
cannot come from standard input. Kept are loads, stores, instruction fetches, also those
in bundles, and a SWITCH with process and thread wherever they change. Left out are
prefetches, flushes, markers and encodings, and what the trace itself says is not fetched
(later iterations of a rep string instruction). An access's ip is that of the instruction
before it, fetched or not.

Raw files (.raw), which `drrun -t drmemtrace -offline` leaves first, hold addresses of
basic blocks only; DynamoRIO's drraw2trace makes the files that are read here of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.trace import FETCH, LOAD, STORE, SWITCH, Chunk
from mmulab.workloads.formats import Options, archives, records
from mmulab.workloads.formats.records import (
    BAD,
    END,
    FULL,
    NOT_CANONICAL,
    OTHER,
    SPARE,
    VALUE,
    is_canonical,
)
from mmulab.workloads.streams import ByteStream

NAME = "drmemtrace"
SUMMARY = "DynamoRIO drmemtrace, 12-byte records; plain, .gz or .zip"

_RECORD = struct.Struct("<HHQ")

# Types of record: trace_type_t. Branches are fetches like any other instruction.
READ, WRITE = 0, 1
_KINDS = (LOAD, STORE)  # of READ and WRITE
PREFETCH, PREFETCH_LAST = 2, 9
INSTR, INSTR_LAST = 10, 16
BUNDLE = 17  # size: instructions that follow one another, addr: a byte of length of each
FLUSH, FLUSH_LAST = 18, 21
THREAD, THREAD_EXIT, PID, HEADER, FOOTER = 22, 23, 24, 25, 26
HARDWARE_PREFETCH, MARKER = 27, 28
NO_FETCH, MAYBE_FETCH = 29, 30  # maybe: fetched unless it is the instruction before again
SYSENTER = 31
ENCODING = 47
TAKEN_JUMP, UNTAKEN_JUMP = 48, 49

#: Versions of the header: 1 in traces of 2018, 7 in DynamoRIO of 2026; new ones have
#: added types so far, never changed the record. This bounds what is taken for a header.
NEWEST_VERSION = 64

#: Threads that are kept apart at most, so that memory is bounded.
MOST_THREADS = 1 << 20

LAYOUT = records.Layout(
    _RECORD.size,
    np.dtype("<u4"),
    "a 12-byte drmemtrace record",
    {
        BAD: "a record of unknown type {value}; expected a DynamoRIO drmemtrace record",
        BAD + 1: "a bundle of {value} instructions; expected at most 8",
    },
    frozenset({"ip"}),
)

# State of the kernel beside VALUE: where a bundle begins, the instruction before, the
# type and size of the last record taken, the ip of the accesses that follow.
_NEXT, _BEFORE, _LAST, _IP = 1, 2, 3, 4


@inlined
def put(address, kind, size, count, where, what, length, va_bits):
    """Writes an access; False where its address is not canonical."""
    address[count] = where
    kind[count] = what
    size[count] = max(length, 1)
    return is_canonical(where, va_bits)


@inlined
def is_instruction(what):
    return (
        INSTR <= what <= INSTR_LAST
        or NO_FETCH <= what <= SYSENTER
        or TAKEN_JUMP <= what <= UNTAKEN_JUMP
    )


@inlined
def tell_ip(ip, address, kind, begin, end, state):
    """Fills in the ip of a record's accesses; a fetch's is that of what follows it, too."""
    for at in range(begin, end):
        if kind[at] == FETCH:
            state[_IP] = address[at]
        ip[at] = state[_IP]


@entry
def parse(
    words, position, end, va_bits, address, kind, size, count, events, happened, state, ip, depends
):
    """Takes records; see workloads.formats.records.Kernel."""
    limit = address.size - SPARE
    while position < end:
        if count >= limit:
            return FULL, position, count, happened
        head = np.int64(words[3 * position])
        value = np.int64(words[3 * position + 1]) | (np.int64(words[3 * position + 2]) << 32)
        what = head & 0xFFFF
        length = head >> 16
        state[_LAST] = head
        begin = count
        if what == READ or what == WRITE:
            if not put(address, kind, size, count, value, _KINDS[what], length, va_bits):
                state[VALUE] = value
                return NOT_CANONICAL, position, count, happened
            count += 1
        elif is_instruction(what):
            # Of length 0: only tells the ip of the accesses that follow (-L0_filter).
            state[_IP] = value
            if length > 0:
                if what != NO_FETCH and (what != MAYBE_FETCH or value != state[_BEFORE]):
                    if not put(address, kind, size, count, value, FETCH, length, va_bits):
                        state[VALUE] = value
                        return NOT_CANONICAL, position, count, happened
                    count += 1
                state[_BEFORE] = value
                state[_NEXT] = value + length
        elif what == BUNDLE:
            if length > 8:
                state[VALUE] = length
                return BAD + 1, position, count, happened
            for index in range(length):
                at = state[_NEXT]
                state[_NEXT] += (value >> (8 * index)) & 0xFF
                if not put(address, kind, size, count, at, FETCH, state[_NEXT] - at, va_bits):
                    state[VALUE] = at
                    return NOT_CANONICAL, position, count, happened
                count += 1
        elif THREAD <= what <= HEADER:
            return OTHER, position, count, happened
        elif what > UNTAKEN_JUMP:
            state[VALUE] = what
            return BAD, position, count, happened
        if ip is not None:
            tell_ip(ip, address, kind, begin, count, state)
        position += 1
    return END, position, count, happened


class _Threads:
    """Follows which thread of which process runs; makes a SWITCH where that changes."""

    def __init__(self) -> None:
        self._pids: dict[int, int] = {}
        self._thread = 0
        self._current: tuple[int, int] | None = None

    def __call__(self, words: np.ndarray, position: int, columns: records.Columns) -> str | None:
        what, _, value = _RECORD.unpack(words[3 * position : 3 * position + 3].tobytes())
        value -= (value >> 63) << 64  # ids are signed
        if what == HEADER:
            return None if 0 < value <= NEWEST_VERSION else f"a header of version {value}"
        if what == THREAD:
            self._thread = value
        elif what == PID:
            self._pids[self._thread] = value
            if len(self._pids) > MOST_THREADS:
                return f"more than {MOST_THREADS:,} threads"
        pid = self._pids.get(self._thread)  # a thread's first PID record follows its THREAD
        if what != THREAD_EXIT and pid is not None and self._current != (pid, self._thread):
            self._current = (pid, self._thread)
            columns.event(SWITCH, pid, self._thread)
        return None


def _is_trace(start: bytes) -> bool:
    """Whether data begins with a header and a record of a thread or a marker."""
    if len(start) < 2 * _RECORD.size:
        return False
    what, size, version = _RECORD.unpack_from(start)
    following = _RECORD.unpack_from(start, _RECORD.size)[0]
    return (
        (what, size) == (HEADER, 0)
        and 0 < version <= NEWEST_VERSION
        and following in (THREAD, PID, MARKER)
    )


def _is_raw(start: bytes) -> bool:
    """Whether data begins as a raw file does: offline_entry_t, a header and then a thread.

    An entry's type is in its top 3 bits; 6 is an extended one, whose next 5 bits are 0 or
    4 for a header; 2 is a thread.
    """
    return len(start) >= 16 and start[7] in (0xC0, 0xC4) and start[15] >> 5 == 2


def matches(head: bytes) -> bool:
    member = archives.first_member(head)
    return _is_trace(member[1]) if member else _is_trace(head) or _is_raw(head)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a drmemtrace file.

    Raises InputError naming the byte offset (in a .zip, of its members' data one after
    another), also where the trace's last record is missing.
    """
    state = np.zeros(5, np.int64)
    state[_BEFORE] = -1
    source = archives.Members(stream) if archives.is_zip(stream.head) else stream
    if _is_raw(source.head):
        raise InputError(
            f"{stream.name}: a raw trace of DynamoRIO, without the instructions; "
            "make a trace of it with DynamoRIO's drraw2trace first"
        )
    if not _is_trace(source.head):
        raise InputError(
            f"{stream.name}: byte 0: expected the header of a DynamoRIO drmemtrace trace "
            f"of a 64-bit program, got {source.head[:12].hex(' ')}"
        )
    try:
        yield from records.read(source, options, LAYOUT, parse, state, _Threads())
    finally:
        source.close()
    if int(state[_LAST]) & 0xFFFF != FOOTER:
        raise InputError(f"{stream.name}: truncated: the trace's footer is missing")
