"""mmulab's own columnar file, .mmt: columns of a chunk one after another, and its events.

docs/trace-format.md specifies it. An uncompressed file is memory-mapped: its chunks are
views of it. Compressed, or from standard input, it is streamed.
"""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.report.files import replacing
from mmulab.mmu.trace import COLUMNS, EVENT, EVENT_NAMES, FETCH, Chunk
from mmulab.workloads.formats import Options
from mmulab.workloads.formats.delta import delta_decoded, delta_encoded
from mmulab.workloads.streams import ByteStream, compresses, open_for_writing

NAME = "columnar"
SUMMARY = "mmulab's own columnar file, .mmt"
HOLDS = frozenset({"kind", "fetch", "size", "process", "events", *COLUMNS})

MAGIC = b"MMULABTR"
VERSION = 3
_OLD = 2  # has no optional columns: where their number is, zeros

#: magic, version, bytes of JSON that follow (padded to a multiple of 8)
_FILE = struct.Struct("<8sII")
#: magic, encoding, optional columns, accesses, events, bytes of the payload, its CRC-32, the
#: record's CRC-32
_BLOCK = struct.Struct("<4sHHQQQII")
#: magic, encoding, name, bytes of the data, its CRC-32, the record's CRC-32
_COLUMN = struct.Struct("<4sI16sQII")
#: magic, version, accesses, blocks, zeros
_END = struct.Struct("<4sIQQQII")
_BLOCK_MAGIC, _COLUMN_MAGIC, _END_MAGIC = b"BLCK", b"COLM", b"END."

RAW, DELTA = 0, 1  # encodings of the columns of addresses
_ALIGN = 8

#: Optional columns that are encoded as addresses are.
_ADDRESSES = frozenset({"ip"})

#: A block holds at most so many accesses: what a reader must be ready to hold.
LARGEST_BLOCK = 1 << 24


def _pad(length: int) -> int:
    return -length % _ALIGN


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
            address = delta_encoded(chunk.address, chunk.kind)
        else:
            address = chunk.address.astype("<i8").tobytes()
        size = chunk.size.astype("<u2").tobytes()
        kind = chunk.kind.tobytes()
        payload = b"".join(
            [address, chunk.events.tobytes(), size, bytes(_pad(len(size))), kind,
             bytes(_pad(len(kind)))]
        )  # fmt: skip
        columns = chunk.columns()
        head = (_BLOCK_MAGIC, self._encoding, len(columns), chunk.accesses, len(chunk.events))
        self._file.write(_packed(_BLOCK, *head, len(payload), crc=zlib.crc32(payload)))
        self._file.write(payload)
        for name, column in columns.items():
            self._write_column(name, column)
        self.accesses += chunk.accesses
        self._blocks += 1

    def _write_column(self, name: str, column: np.ndarray) -> None:
        encoding = self._encoding if name in _ADDRESSES else RAW
        if encoding == DELTA:
            data = delta_encoded(column, np.zeros(len(column), np.uint8))
        else:
            data = column.astype(COLUMNS[name].newbyteorder("<")).tobytes()
        data += bytes(_pad(len(data)))
        head = (_COLUMN_MAGIC, encoding, name.encode(), len(data))
        self._file.write(_packed(_COLUMN, *head, crc=zlib.crc32(data)) + data)

    def end(self) -> None:
        self._file.write(_packed(_END, _END_MAGIC, VERSION, self.accesses, self._blocks, 0, crc=0))


def _packed(form: struct.Struct, *head: Any, crc: int) -> bytes:
    """A record, whose own checksum covers all of it that comes before."""
    record = form.pack(*head, crc, 0)[:-4]
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
    return chunk.part(slice(start, end), events)


# --- Reading --------------------------------------------------------------------


_PIECE = 1 << 20  # bytes of a stream that are passed over at a time


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

    def skip(self, count: int, what: str) -> None:
        """Passes over bytes: of a mapping, without a look at them."""
        while count:
            piece = count if self._map is not None else min(count, _PIECE)
            self.take(piece, what)
            count -= piece


def _header(source: _Source) -> dict[str, Any]:
    name = source.stream.name
    magic, version, length = _FILE.unpack(source.take(_FILE.size, "the file header").tobytes())
    if magic != MAGIC or version not in (_OLD, VERSION):
        raise InputError(
            f"{name}: version {version} of the columnar format; expected {_OLD} or {VERSION}"
        )
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
        if file.tell() < _END.size:
            return None
        file.seek(-_END.size, 2)
        magic, _, accesses, *_ = _END.unpack(file.read(_END.size))
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
        if zlib.crc32(record[:-4]) != _last_word(record):
            raise InputError(
                f"{stream.name}: byte {start:,}: expected a block, got {record[:8]!r} and a "
                "checksum that is wrong"
            )
        if record.startswith(_END_MAGIC):
            _, _, count, number, *_ = _END.unpack(record)
            if (count, number) != (accesses, blocks):
                raise InputError(
                    f"{stream.name}: byte {start:,}: {accesses:,} accesses read; expected {count:,}"
                )
            break
        chunk = _block(source, start, record, options)
        yield chunk
        accesses += chunk.accesses
        blocks += 1
    if not accesses:
        raise InputError(f"{stream.name}: no memory accesses found")


def _last_word(record: bytes) -> int:
    return int.from_bytes(record[-4:], "little")


def _block(source: _Source, start: int, record: bytes, options: Options) -> Chunk:
    """The block that begins at byte `start` with that record."""
    where = f"{source.stream.name}: byte {start:,}"
    magic, encoding, columns, count, events, size, crc, _ = _BLOCK.unpack(record)
    expected = 8 * count + EVENT.itemsize * events + 3 * count + _pad(2 * count) + _pad(count)
    if magic != _BLOCK_MAGIC or encoding not in (RAW, DELTA):
        raise InputError(f"{where}: expected a block, got {record[:8]!r}")
    if count > LARGEST_BLOCK or events > LARGEST_BLOCK or size != expected:
        raise InputError(f"{where}: a block of impossible size")
    payload = source.take(size, "a block")
    if zlib.crc32(payload.data) != crc:
        raise InputError(f"{where}: checksum of the block is wrong")
    chunk = _decode(payload, encoding, count, events)
    _check(source.stream, start, chunk, options.va_bits)
    if events and int(chunk.events["kind"].max()) >= len(EVENT_NAMES):
        chunk = chunk._replace(events=chunk.events[chunk.events["kind"] < len(EVENT_NAMES)])
    if not columns:
        return chunk
    found = dict(_column(source, count, options.columns) for _ in range(columns))
    return chunk._replace(**{name: data for name, data in found.items() if data is not None})


def _column(source: _Source, count: int, wanted: Collection[str]) -> tuple[str, np.ndarray | None]:
    """(name, the optional column that comes next), None where it is not wanted or not known."""
    start = source.offset
    record = source.take(_COLUMN.size, "a column header").tobytes()
    magic, encoding, label, size, crc, record_crc = _COLUMN.unpack(record)
    where = f"{source.stream.name}: byte {start:,}"
    if zlib.crc32(record[:-4]) != record_crc or magic != _COLUMN_MAGIC:
        raise InputError(f"{where}: expected a column, got {record[:8]!r}")
    name = label.rstrip(b"\0").decode("ascii", "replace")
    if name not in wanted or name not in COLUMNS:
        source.skip(size, f"column {name}")
        return name, None
    dtype = COLUMNS[name].newbyteorder("<")
    bytes_ = dtype.itemsize * count
    allowed = (RAW, DELTA) if name in _ADDRESSES else (RAW,)
    if encoding not in allowed or size != bytes_ + _pad(bytes_):
        raise InputError(f"{where}: column {name}: of an unknown encoding or an impossible size")
    data = source.take(size, f"column {name}")
    if zlib.crc32(data.data) != crc:
        raise InputError(f"{where}: checksum of column {name} is wrong")
    if encoding == DELTA:
        return name, delta_decoded(data, np.zeros(count, np.uint8))
    return name, data[:bytes_].view(dtype)


def _decode(payload: np.ndarray, encoding: int, count: int, events: int) -> Chunk:
    at = 8 * count
    event_column = payload[at : at + EVENT.itemsize * events].view(EVENT)
    at += EVENT.itemsize * events
    size = payload[at : at + 2 * count].view("<u2")
    at += 2 * count + _pad(2 * count)
    kind = payload[at : at + count]
    column = payload[: 8 * count]
    address = delta_decoded(column, kind) if encoding == DELTA else column.view("<i8")
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
