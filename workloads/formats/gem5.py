"""gem5's packet traces: the magic "gem5", then protobuf messages with their lengths.

A PacketHeader first, then a Packet each: tick 1, cmd 2, addr 3, size 4, flags 5, pkt_id 6,
pc 7 (gem5, src/proto/packet.proto). Command 1 is a read, 4 a write (util/decode_packet_trace.py,
after src/mem/packet.hh); others, such as responses, are left out. A read whose flags have
bit 8 is an instruction fetch (INST_FETCH, src/mem/request.hh). The addresses are those of
the port that was observed: virtual above the TLB, physical below it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.errors import InputError
from mmu.jit import entry, inlined
from mmu.trace import FETCH, LOAD, NO_EVENTS, STORE, Chunk
from workloads.formats import Options
from workloads.formats.binary import check_canonical
from workloads.streams import ByteStream

NAME = "gem5"
SUMMARY = "gem5's packet traces (protobuf)"

MAGIC = b"gem5"
READ_REQUEST, WRITE_REQUEST = 1, 4
INST_FETCH = 1 << 8

BLOCK = 4 << 20
_LONGEST_MESSAGE = 1 << 20  # a header's strings; a packet takes some 50 bytes

# Why the kernel stopped.
_NEEDS_MORE, _BAD, _FULL = 0, 1, 2
# Protobuf wire types (the encoding's specification, "Message structure").
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@inlined
def _varint(data, at, end):
    """(value, position after it); for the position -1 where the data ends first, -2 where it
    is too long."""
    value = 0
    shift = 0
    while at < end:
        byte = np.int64(data[at])
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            return 0, -2
    return 0, -1


@entry
def unpack(data, position, end, address, kind, size):
    """Accesses of whole messages: (why it stopped, position, accesses)."""
    count = 0
    while True:
        if count == address.size:
            return _FULL, position, count
        length, at = _varint(data, position, end)
        if at == -1 or (at > 0 and 0 <= length <= _LONGEST_MESSAGE and at + length > end):
            return _NEEDS_MORE, position, count
        if at < 0 or not 0 <= length <= _LONGEST_MESSAGE:
            return _BAD, position, count
        stop = at + length
        command, where, bytes_, flags = 0, 0, 0, 0
        while at < stop:
            key, at = _varint(data, at, stop)
            if at < 0:
                return _BAD, position, count
            value = 0
            wire = key & 7
            if wire == _VARINT:
                value, at = _varint(data, at, stop)
            elif wire == _BYTES:
                value, at = _varint(data, at, stop)
                at = at + value if 0 <= value <= stop - at else -1
            elif wire == _FIXED64:
                at += 8
            elif wire == _FIXED32:
                at += 4
            else:
                at = -1
            if at < 0 or at > stop:
                return _BAD, position, count
            field = key >> 3
            if field == 2:
                command = value
            elif field == 3:
                where = value
            elif field == 4:
                bytes_ = value
            elif field == 5:
                flags = value
        if command == READ_REQUEST or command == WRITE_REQUEST:
            address[count] = where
            size[count] = min(max(bytes_, 1), 0xFFFF)
            kind[count] = LOAD if command == READ_REQUEST else STORE
            if command == READ_REQUEST and flags & INST_FETCH:
                kind[count] = FETCH
            count += 1
        position = stop


def matches(head: bytes) -> bool:
    return head.startswith(MAGIC)


def _header(data: bytes) -> int:
    """Position after the magic and the PacketHeader, whose length comes first; -1 where
    it is not whole."""
    length = shift = 0
    for at in range(len(MAGIC), min(len(data), len(MAGIC) + 10)):
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if data[at] < 0x80:
            after = at + 1 + length
            return after if length <= _LONGEST_MESSAGE and after <= len(data) else -1
    return -1


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a packet trace. Raises InputError naming the byte offset."""
    data = stream.read(BLOCK)
    position = _header(data) if data.startswith(MAGIC) else -1
    if position < 0:
        raise InputError(f"{stream.name}: byte 0: expected 'gem5' and a packet trace's header")
    offset = accesses = 0
    more = len(data) == BLOCK
    while True:
        most = options.chunk_accesses
        address, kind = np.empty(most, np.int64), np.empty(most, np.uint8)
        size = np.empty(most, np.uint16)
        why, position, count = unpack(
            np.frombuffer(data, np.uint8), position, len(data), address, kind, size
        )
        if count:
            chunk = Chunk(address[:count], kind[:count], size[:count], NO_EVENTS)
            check_canonical(stream, chunk.address, options.va_bits, offset)
            yield chunk
            accesses += count
        if why == _FULL:
            continue
        if why == _BAD:
            raise InputError(f"{stream.name}: byte {offset + position:,}: expected a packet")
        offset, data, position = offset + position, data[position:], 0
        block = stream.read(BLOCK) if more else b""
        more = len(block) == BLOCK
        if not block:
            break
        data += block
    if data:
        raise InputError(f"{stream.name}: truncated at byte {offset + len(data):,}: in a packet")
    if not accesses:
        raise InputError(f"{stream.name}: no read or write requests found")
