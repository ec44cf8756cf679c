"""mmulab's own columnar file, .mmt: columns of a chunk one after another, and its events.

docs/trace-format.md specifies it. An uncompressed file is memory-mapped: its chunks are
views of it. Compressed, or from standard input, it is streamed.
"""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.report.files import replacing
from mmulab.mmu.trace import EVENT, FETCH, Chunk
from mmulab.workloads.formats import Options
from mmulab.workloads.streams import ByteStream, compresses, open_for_writing

NAME = "columnar"
SUMMARY = "mmulab's own columnar file, .mmt"
HOLDS = frozenset({"kind", "fetch", "size", "process", "events"})

MAGIC = b"MMULABTR"
VERSION = 2

#: magic, version, bytes of JSON that follow (padded to a multiple of 8)
_FILE = struct.Struct("<8sII")
#: magic, encoding, accesses, events, bytes of the payload, its CRC-32, the record's CRC-32
_BLOCK = struct.Struct("<4sIQQQII")
_BLOCK_MAGIC, _END_MAGIC = b"BLCK", b"END."

RAW, DELTA = 0, 1  # encodings of the address column
_ALIGN = 8

#: A block holds at most so many accesses: what a reader must be ready to hold.
LARGEST_BLOCK = 1 << 24


def _pad(length: int) -> int:
    return -length % _ALIGN


# --- Address column, DELTA: differences within a kind, as byte planes ------------


def _delta_encode(address: np.ndarray, kind: np.ndarray) -> bytes:
    delta = np.empty_like(address)
    for which in range(FETCH + 1):
        mine = kind == which
        delta[mine] = np.diff(address[mine], prepend=np.int64(0))
    folded = (delta << 1) ^ (delta >> 63)  # small differences of either sign: small numbers
    return np.ascontiguousarray(folded.view(np.uint8).reshape(-1, 8).T).tobytes()


def _delta_decode(data: np.ndarray, kind: np.ndarray) -> np.ndarray:
    planes = data.reshape(8, -1)
    folded = np.ascontiguousarray(planes.T).view(np.int64).reshape(-1)
    delta = ((folded >> 1) & np.int64((1 << 63) - 1)) ^ -(folded & 1)
    address = np.empty(len(delta), np.int64)
    for which in range(FETCH + 1):
        mine = kind == which
        address[mine] = np.cumsum(delta[mine])
    return address


# --- Writing --------------------------------------------------------------------


class _Writer:
    """Writes a columnar file's parts in their order: header, blocks, end."""

    def __init__(self, file: BinaryIO, metadata: dict[str, Any], encoding: int) -> None:
        self.accesses = 0
        self._file = file
        self._encoding = encoding
        self._blocks = 0
        text = json.dumps(metadata, sort_keys=True).encode()
        text += b" " * _pad(len(text))
        head = _FILE.pack(MAGIC, VERSION, len(text))
        file.write(head + struct.pack("<I4x", zlib.crc32(head + text)) + text)

    def write(self, chunk: Chunk) -> None:
        for start in range(0, max(1, chunk.accesses), LARGEST_BLOCK):
            self._write_block(_slice(chunk, start, LARGEST_BLOCK))

    def _write_block(self, chunk: Chunk) -> None:
        if self._encoding == DELTA:
            address = _delta_encode(chunk.address, chunk.kind)
        else:
            address = chunk.address.astype("<i8").tobytes()
        size = chunk.size.astype("<u2").tobytes()
        kind = chunk.kind.tobytes()
        payload = b"".join(
            [address, chunk.events.tobytes(), size, bytes(_pad(len(size))), kind,
             bytes(_pad(len(kind)))]
        )  # fmt: skip
        head = (_BLOCK_MAGIC, self._encoding, chunk.accesses, len(chunk.events), len(payload))
        self._file.write(_packed(*head, crc=zlib.crc32(payload)))
        self._file.write(payload)
        self.accesses += chunk.accesses
        self._blocks += 1

    def end(self) -> None:
        self._file.write(_packed(_END_MAGIC, VERSION, self.accesses, self._blocks, 0, crc=0))


def _packed(*head: Any, crc: int) -> bytes:
    """A record, whose own checksum covers all of it that comes before."""
    record = _BLOCK.pack(*head, crc, 0)[:-4]
    return record + struct.pack("<I", zlib.crc32(record))


class ColumnarWriter:
    """Writes chunks to a file, whole or not at all; .gz, .xz, .bz2 and .zst compress it.

        with ColumnarWriter("a.mmt", {"program": "sort"}) as writer:
            writer.write(chunk)

    metadata: what made the trace, kept as JSON. An exception inside leaves no file.
    """

    def __init__(self, path: str | Path, metadata: dict[str, Any]) -> None:
        self.path = Path(path)
        self._metadata = metadata
        self._encoding = DELTA if compresses(self.path.suffix) else RAW

    def __enter__(self) -> ColumnarWriter:
        with ExitStack() as failed:
            self._replacing = replacing(self.path)
            temporary = self._replacing.__enter__()
            failed.push(self._replacing)
            self._file = open_for_writing(temporary, self.path.suffix)
            self._writer = _Writer(self._file, self._metadata, self._encoding)
            failed.pop_all()
        return self

    @property
    def accesses(self) -> int:
        return self._writer.accesses

    def write(self, chunk: Chunk) -> None:
        self._writer.write(chunk)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ExitStack() as rest:  # whichever of these fails leaves no file
            rest.push(self._replacing)
            rest.push(closing(self._file))
            if error is not None:
                raise error
            self._writer.end()


def _slice(chunk: Chunk, start: int, count: int) -> Chunk:
    """Accesses [start, start + count) of a chunk; events at its end belong to its last part."""
    if start == 0 and chunk.accesses <= count:
        return chunk
    end = min(start + count, chunk.accesses)
    position = chunk.events["position"]
    mine = (position >= start) & ((position < end) | (end == chunk.accesses))
    events = chunk.events[mine].copy()
    events["position"] -= start
    part = slice(start, end)
    return Chunk(chunk.address[part], chunk.kind[part], chunk.size[part], events)


# --- Reading --------------------------------------------------------------------


def matches(head: bytes) -> bool:
    return head.startswith(MAGIC)


class _Source:
    """Exactly so many bytes at a time, from a mapping or a stream, with the offset so far."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.offset = 0
        self._map: np.ndarray | None = None
        if stream.plain is not None:
            with open(stream.plain, "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._map = np.frombuffer(mapped, np.uint8)

    def take(self, count: int, what: str) -> np.ndarray:
        start = self.offset
        if self._map is not None:
            data = self._map[start : start + count]
        else:
            data = np.frombuffer(self.stream.read(count), np.uint8)
        self.offset += count
        if len(data) < count:
            raise InputError(
                f"{self.stream.name}: truncated at byte {start + len(data):,}: expected "
                f"{count - len(data):,} more bytes of {what}"
            )
        return data


def _header(source: _Source) -> dict[str, Any]:
    name = source.stream.name
    magic, version, length = _FILE.unpack(source.take(_FILE.size, "the file header").tobytes())
    if magic != MAGIC or version != VERSION:
        raise InputError(f"{name}: version {version} of the columnar format; expected {VERSION}")
    if length > 1 << 20:
        raise InputError(f"{name}: byte 12: metadata of {length:,} bytes; expected at most 1 MiB")
    (crc,) = struct.unpack("<I4x", source.take(8, "the file header").tobytes())
    text = source.take(length, "metadata").tobytes()
    if zlib.crc32(_FILE.pack(magic, version, length) + text) != crc:
        raise InputError(f"{name}: byte 0: checksum of the file header is wrong")
    try:
        metadata: dict[str, Any] = json.loads(text)
    except ValueError:
        raise InputError(f"{name}: byte {_FILE.size + 8}: metadata is not JSON") from None
    return metadata


def metadata(stream: ByteStream) -> dict[str, Any]:
    """What made the trace, as its writer said."""
    return _header(_Source(stream))


def length(stream: ByteStream) -> int | None:
    """Accesses in an uncompressed file, from its last record; None where it is compressed."""
    if stream.plain is None:
        return None
    with open(stream.plain, "rb") as file:
        file.seek(0, 2)
        if file.tell() < _BLOCK.size:
            return None
        file.seek(-_BLOCK.size, 2)
        magic, _, accesses, *_ = _BLOCK.unpack(file.read(_BLOCK.size))
    return int(accesses) if magic == _END_MAGIC else None


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a columnar file: the blocks as they were written.

    Raises InputError naming the byte offset where the file is truncated or corrupt.
    """
    source = _Source(stream)
    _header(source)
    accesses = blocks = 0
    while True:
        start = source.offset
        record = source.take(_BLOCK.size, "a block header").tobytes()
        magic, encoding, count, events, size, crc, record_crc = _BLOCK.unpack(record)
        if zlib.crc32(record[:-4]) != record_crc:
            raise InputError(
                f"{stream.name}: byte {start:,}: expected a block, got {record[:8]!r} and a "
                "checksum that is wrong"
            )
        if magic == _END_MAGIC:
            if (count, events) != (accesses, blocks):
                raise InputError(
                    f"{stream.name}: byte {start:,}: {accesses:,} accesses read; expected {count:,}"
                )
            break
        address = 8 * count
        expected = address + EVENT.itemsize * events + 3 * count + _pad(2 * count) + _pad(count)
        if magic != _BLOCK_MAGIC or encoding not in (RAW, DELTA):
            raise InputError(f"{stream.name}: byte {start:,}: expected a block, got {record[:8]!r}")
        if count > LARGEST_BLOCK or events > LARGEST_BLOCK or size != expected:
            raise InputError(f"{stream.name}: byte {start:,}: a block of impossible size")
        payload = source.take(size, "a block")
        if zlib.crc32(payload.data) != crc:
            raise InputError(f"{stream.name}: byte {start:,}: checksum of the block is wrong")
        chunk = _decode(payload, encoding, count, events)
        _check(stream, start, chunk, options.va_bits)
        yield chunk
        accesses += count
        blocks += 1
    if not accesses:
        raise InputError(f"{stream.name}: no memory accesses found")


def _decode(payload: np.ndarray, encoding: int, count: int, events: int) -> Chunk:
    at = 8 * count
    event_column = payload[at : at + EVENT.itemsize * events].view(EVENT)
    at += EVENT.itemsize * events
    size = payload[at : at + 2 * count].view("<u2")
    at += 2 * count + _pad(2 * count)
    kind = payload[at : at + count]
    column = payload[: 8 * count]
    address = _delta_decode(column, kind) if encoding == DELTA else column.view("<i8")
    return Chunk(address, kind, size, event_column)


def _check(stream: ByteStream, start: int, chunk: Chunk, va_bits: int) -> None:
    position = chunk.events["position"]
    if len(position) and (
        (np.diff(position) < 0).any() or position[0] < 0 or position[-1] > chunk.accesses
    ):
        raise InputError(f"{stream.name}: byte {start:,}: events out of order in the block")
    if chunk.accesses and int(chunk.kind.max()) > FETCH:
        raise InputError(f"{stream.name}: byte {start:,}: an access of an unknown kind")
    unused = 64 - va_bits
    wrong = ((chunk.address << unused) >> unused) != chunk.address
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{stream.name}: byte {start:,}: access {first:,} of the block: address "
            f"{int(chunk.address[first]) & (1 << 64) - 1:#x} is not canonical in {va_bits} bits"
        )
