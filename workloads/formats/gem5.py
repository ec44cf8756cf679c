"""gem5's packet traces, of a MemTraceProbe or CommMonitor (gem5, src/proto/packet.proto).

The four bytes `gem5`, then Protocol Buffers messages, each after its length as a varint:
first a PacketHeader (1 obj_id, 2 ver, 3 tick_freq, 4 id_strings), then Packets:

    1 tick  2 cmd  3 addr  4 size  [5 flags]  [6 pkt_id]  [7 pc]        all varints

Kept are the processor's own requests, by the numbers of MemCmd::Command (gem5,
src/mem/packet.hh, v22.1 to v25): reads, writes, load-locked and store-conditional,
locked read-modify-writes, swaps; a read whose flags say INST_FETCH (src/mem/request.hh)
is a fetch. Left out are responses, prefetches, writebacks, and coherence traffic. Before
v22.1, SwapReq had the number 30 and reads here as a load alone. 1 and 4, plain reads and
writes, are older than the trace format.

gem5's packets carry the address that the memory system sees, after translation: a
physical one, unless the simulated system runs without paging. It is taken as a virtual
address here: what is simulated is a program whose working set is laid out so. A packet's
ip is its pc, which a MemTraceProbe writes where it is told to (with_pc).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.trace import FETCH, LOAD, STORE, Chunk
from mmulab.workloads.formats import Options, records
from mmulab.workloads.formats.records import (
    BAD,
    END,
    FULL,
    NOT_CANONICAL,
    SPARE,
    VALUE,
    is_canonical,
)
from mmulab.workloads.streams import ByteStream

NAME = "gem5"
SUMMARY = "gem5 packet trace (protobuf); its physical addresses are taken as virtual"

MAGIC = b"gem5"

#: Longest message that is read: a guard against files that are damaged. The header names
#: every requestor of a system; a packet has some 40 bytes.
LONGEST = 1 << 20

#: A varint has at most so many bytes (Protocol Buffers, Encoding).
_VARINT = 10

_TICK, _CMD, _ADDR, _SIZE, _FLAGS, _PC = 1, 2, 3, 4, 5, 7
_REQUIRED = 1 << _TICK | 1 << _CMD | 1 << _ADDR | 1 << _SIZE
_INST_FETCH = 0x100

#: What a command does, by its number; commands that are not here are not accesses.
_COMMANDS = {
    "ReadReq": 1,
    "WriteReq": 4,
    "WriteLineReq": 16,
    "ReadExReq": 22,
    "ReadCleanReq": 24,
    "ReadSharedReq": 25,
    "LoadLockedReq": 26,
    "StoreCondReq": 27,
    "LockedRMWReadReq": 30,
    "LockedRMWWriteReq": 32,
    "SwapReq": 34,
}
_NOTHING, _BOTH = 3, 4
_LARGEST_COMMAND = 255
_KINDS = np.full(_LARGEST_COMMAND + 1, _NOTHING, np.int64)
for _name, _number in _COMMANDS.items():
    _KINDS[_number] = STORE if "Write" in _name or "Store" in _name else LOAD
_KINDS[_COMMANDS["SwapReq"]] = _BOTH

_LONG, _BROKEN, _NO_PACKET, _COMMAND, _BYTES = BAD, BAD + 1, BAD + 2, BAD + 3, BAD + 4
LAYOUT = records.Layout(
    1,
    np.dtype(np.uint8),
    "a packet of a gem5 trace",
    {
        _LONG: f"a message of {{value}} bytes; expected at most {LONGEST:,}",
        _BROKEN: "not a Protocol Buffers message; expected a packet",
        _NO_PACKET: "a message without tick, cmd, addr and size; expected a packet",
        _COMMAND: f"a packet of command {{value}}; expected at most {_LARGEST_COMMAND}",
        _BYTES: "a packet of {value} bytes; expected at most 65,535",
    },
    frozenset({"ip"}),
)


@inlined
def varint(data, at, end):
    """(value, where it ends), or (0, -1) where there is none before `end`."""
    if at < end and data[at] < 0x80:
        return np.int64(data[at]), at + 1
    value = 0
    shift = 0
    for index in range(at, min(end, at + _VARINT)):
        byte = np.int64(data[index])
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, index + 1
        shift += 7
    return 0, -1


@inlined
def skipped(data, at, end, wire):
    """Where a field of that wire type ends, or -1."""
    if wire == 1:
        at += 8
    elif wire == 5:
        at += 4
    elif wire == 2:
        length, at = varint(data, at, end)
        at = -1 if at < 0 or length < 0 or length > end - at else at + length
    else:
        at = -1
    return at if at <= end else -1


@inlined
def message(data, at, last, fields):
    """Fills in the fields of a message; which there are, as bits, or -1 where it is none."""
    there = 0
    fields[_FLAGS] = 0
    while at < last:
        key, at = varint(data, at, last)
        if at < 0:
            return -1
        field = key >> 3
        if key & 7 == 0:
            value, at = varint(data, at, last)
            if 0 < field <= _PC:
                fields[field] = value
                there |= 1 << field
        else:
            at = skipped(data, at, last, key & 7)
        if at < 0 or field <= 0:
            return -1
    return there


@entry
def parse(
    data, position, end, va_bits, address, kind, size, count, events, happened, state, ip, depends
):
    """Takes messages with their lengths; see workloads.formats.records.Kernel."""
    limit = address.size - SPARE
    fields = np.zeros(_PC + 1, np.int64)
    while position < end:
        if count >= limit:
            return FULL, position, count, happened
        length, at = varint(data, position, end)
        if at < 0:
            why = _BROKEN if end - position >= _VARINT else END
            return why, position, count, happened
        if length < 0 or length > LONGEST:
            state[VALUE] = length
            return _LONG, position, count, happened
        if length > end - at:
            return END, position, count, happened
        last = at + length
        there = message(data, at, last, fields)
        if there < 0:
            return _BROKEN, position, count, happened
        if there & _REQUIRED != _REQUIRED:
            return _NO_PACKET, position, count, happened
        if not 0 <= fields[_CMD] <= _LARGEST_COMMAND:
            state[VALUE] = fields[_CMD]
            return _COMMAND, position, count, happened
        what = _KINDS[fields[_CMD]]
        if what != _NOTHING:
            if not 0 <= fields[_SIZE] < 65536:
                state[VALUE] = fields[_SIZE]
                return _BYTES, position, count, happened
            if not is_canonical(fields[_ADDR], va_bits):
                state[VALUE] = fields[_ADDR]
                return NOT_CANONICAL, position, count, happened
            if what == LOAD and fields[_FLAGS] & _INST_FETCH:
                what = FETCH
            address[count] = fields[_ADDR]
            size[count] = max(fields[_SIZE], 1)
            kind[count] = LOAD if what == _BOTH else what
            if ip is not None:
                ip[count] = ip[count + 1] = fields[_PC] if there & 1 << _PC else 0
            count += 1
            if what == _BOTH:
                address[count] = fields[_ADDR]
                size[count] = max(fields[_SIZE], 1)
                kind[count] = STORE
                count += 1
        position = last
    return END, position, count, happened


# --- The header -----------------------------------------------------------------


def matches(head: bytes) -> bool:
    return head.startswith(MAGIC)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """`varint` for the header: (value, where it ends); raises ValueError."""
    value = 0
    for index, byte in enumerate(data[at : at + _VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError("not a varint")


def _header_keys(message: bytes) -> set[tuple[int, int]]:
    """(field, wire type) of what a header holds. Raises ValueError where it is none."""
    keys = set()
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        keys.add((key >> 3, key & 7))
        length, at = _varint(message, at)
        if key & 7 == 2:
            at += length
        elif key & 7 != 0:
            raise ValueError("a field of no header")
        if at > len(message):
            raise ValueError("a field longer than its message")
    return keys


def _skip_header(stream: ByteStream) -> int:
    """Bytes of the magic and the header, which are read. Raises InputError."""
    start = stream.read(len(MAGIC))
    prefix = b""
    while len(prefix) < _VARINT and not (prefix and prefix[-1] < 0x80):
        byte = stream.read(1)
        if not byte:
            raise InputError(f"{stream.name}: truncated at byte {len(start + prefix)}")
        prefix += byte
    try:
        length, _ = _varint(prefix, 0)
        if length > LONGEST:
            raise ValueError("too long")
        message = stream.read(length)
        keys = _header_keys(message) if len(message) == length else set()
    except ValueError:
        raise InputError(
            f"{stream.name}: byte {len(MAGIC)}: expected the header of a gem5 packet trace"
        ) from None
    begin = len(MAGIC) + len(prefix)
    if len(message) < length:
        raise InputError(
            f"{stream.name}: truncated at byte {begin + len(message):,}, in the header"
        )
    # The headers of gem5's inst.proto and inst_dep_record.proto have a number as field 4.
    if start != MAGIC or (3, 0) not in keys or (4, 0) in keys:
        raise InputError(
            f"{stream.name}: byte {len(MAGIC)}: not the header of a packet trace of gem5; "
            "expected what a MemTraceProbe or CommMonitor writes"
        )
    return begin + length


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a gem5 packet trace. Raises InputError naming the byte offset."""
    start = _skip_header(stream)
    return records.read(stream, options, LAYOUT, parse, np.zeros(1, np.int64), start=start)
