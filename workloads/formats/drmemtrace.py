"""DynamoRIO's drmemtrace records: 12 bytes each: type u16, size u16, value u64.

(DynamoRIO, clients/drcachesim/common/trace_entry.h; the numbers of the types are their
places in its enumeration trace_type_t.) Read from what drraw2trace writes: one thread's
trace, plain or compressed, or a .zip of chunks. Threads and processes are kept; markers,
prefetches, encodings and flushes are left out. The raw files of an offline run are not
in this format: convert them with drraw2trace first.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

import numpy as np

from mmu.errors import InputError
from mmu.jit import entry
from mmu.trace import FETCH, LOAD, NO_EVENTS, STORE, Chunk
from workloads.formats import Options
from workloads.formats.binary import check_canonical, records
from workloads.formats.fields import with_switches
from workloads.streams import ByteStream

NAME = "drmemtrace"
SUMMARY = "DynamoRIO's 12-byte drmemtrace records, or a .zip of them"

RECORD = np.dtype([("type", "<u2"), ("size", "<u2"), ("value", "<i8")])

READ, WRITE = 0, 1
INSTR, INSTR_LAST, BUNDLE = 10, 16, 17  # instructions by kind of branch; sizes of several
THREAD, PID, HEADER, FOOTER = 22, 24, 25, 26
SYSENTER, TAKEN_JUMP, UNTAKEN_JUMP = 31, 48, 49
LAST_TYPE = 64  # beyond all types that are in use, with room for more

_ZIP = b"PK\x03\x04"
_MOST = 8  # accesses a record makes at most: a bundle has eight sizes


@entry
def unpack(type_, size, value, state, address, kind, bytes_, process):
    """Accesses of records. state: pid, tid, end of the last instruction. Returns how many,
    or -1 - n where record n has a type that no version knows."""
    count = 0
    for n in range(type_.size):
        what = type_[n]
        if what > LAST_TYPE:
            return -1 - n
        pieces = 1
        if what == READ or what == WRITE:
            kind[count] = LOAD if what == READ else STORE
        elif INSTR <= what <= INSTR_LAST or SYSENTER == what or what == TAKEN_JUMP \
                or what == UNTAKEN_JUMP:  # fmt: skip
            kind[count] = FETCH
            state[2] = value[n] + size[n]
        elif what == BUNDLE:
            pieces = min(size[n], 8)
            for piece in range(pieces):
                length = (value[n] >> (8 * piece)) & 0xFF
                address[count] = state[2]
                kind[count] = FETCH
                bytes_[count] = max(length, 1)
                process[0, count] = state[0]
                process[1, count] = state[1]
                state[2] += length
                count += 1
            continue
        else:
            if what == THREAD:
                state[1] = value[n]
            elif what == PID:
                state[0] = value[n]
            continue
        address[count] = value[n]
        bytes_[count] = max(size[n], 1)
        process[0, count] = state[0]
        process[1, count] = state[1]
        count += 1
    return count


def matches(head: bytes) -> bool:
    if head.startswith(_ZIP):
        return b"chunk." in head
    seen = np.frombuffer(head, RECORD, len(head) // RECORD.itemsize)
    if len(seen) < 2 or seen["type"][0] != HEADER:
        return False
    return bool((seen["type"] <= LAST_TYPE).all() and 0 < seen["value"][0] < 1 << 16)


def _parts(stream: ByteStream) -> Iterator[ByteStream]:
    """The stream, or what its .zip holds, in order."""
    if not stream.head.startswith(_ZIP):
        yield stream
        return
    if stream.plain is None:
        raise InputError(f"{stream.name}: a .zip can be read from a file only; unpack it first")
    try:
        with zipfile.ZipFile(stream.plain) as archive:
            for name in sorted(archive.namelist()):
                with archive.open(name) as member:
                    yield ByteStream(member, f"{stream.name}: {name}", None)  # type: ignore[arg-type]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"{stream.name}: corrupt .zip: {error}") from None


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a drmemtrace file. Raises InputError naming the byte offset."""
    state = np.array([1, 0, 0], np.int64)
    last = (1, 0)
    accesses = 0
    for part in _parts(stream):
        for offset, block in records(part, RECORD):
            most = len(block) + (_MOST - 1) * int((block["type"] == BUNDLE).sum())
            address, kind = np.empty(most, np.int64), np.empty(most, np.uint8)
            size, process = np.empty(most, np.uint16), np.empty((2, most), np.int64)
            columns = (np.ascontiguousarray(block[name]) for name in ("type", "size", "value"))
            count = unpack(*columns, state, address, kind, size, process)
            if count < 0:
                at = offset + (-1 - count) * RECORD.itemsize
                raise InputError(
                    f"{part.name}: byte {at:,}: record type {block['type'][-1 - count]}; expected "
                    f"one of drmemtrace's, at most {LAST_TYPE}"
                )
            if not count:
                continue
            chunk = Chunk(address[:count], kind[:count], size[:count], NO_EVENTS)
            check_canonical(part, chunk.address, options.va_bits, offset)
            pid, tid = process[0, :count], process[1, :count]
            yield with_switches(chunk, pid, tid, last)
            last = (int(pid[-1]), int(tid[-1]))
            accesses += count
    if not accesses:
        raise InputError(f"{stream.name}: no memory accesses found; expected drmemtrace records")
