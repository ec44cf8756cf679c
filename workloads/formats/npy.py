"""NumPy's .npy and .npz, for traces made in Python.

.npy    a 1-D array of integers: addresses, each a load of one byte; or a 1-D structured
        array with the fields below, in any order
.npz    1-D arrays of these names, of one length; or a single array, as in a .npy

    address    any integer type; uint64 and int64 hold the 64-bit address's bits
    kind       0 load, 1 store, 2 instruction fetch; load where it is missing
    size       bytes, 1 to 65535; 1 where it is missing
    pid        process, tid: thread; a change becomes a SWITCH event. A trace begins in
               process 1, thread 0 where a process has no threads to tell apart

A .npy file that is not compressed is memory-mapped, so that an int64 array of addresses
is not even copied. Pickled objects are never loaded.
"""

from __future__ import annotations

import ast
import io
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.lib import format as npy_format

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import EVENT, FETCH, LOAD, NO_EVENTS, SWITCH, Chunk
from mmulab.workloads.formats import Options, archives
from mmulab.workloads.streams import ByteStream

NAME = "npy"
SUMMARY = ".npy or .npz: addresses, or arrays address, kind, size, pid, tid"
HOLDS = frozenset({"kind", "fetch", "size", "process", "thread"})

#: What `write` makes: the fields of a structured array.
RECORD = np.dtype(
    [("address", "<i8"), ("pid", "<i8"), ("tid", "<i8"), ("size", "<u2"), ("kind", "u1")]
)

_MAGIC = npy_format.MAGIC_PREFIX
_SUFFIX = ".npy"
_COLUMNS = ("address", "kind", "size", "pid", "tid")
_BEGINS = (1, 0)  # process and thread that a trace begins in

#: Longest header that is read; numpy's own limit for files that are not trusted.
_LONGEST_HEADER = 10_000
#: Longest entry of a structured array: bounds the memory of a chunk.
_LONGEST_ENTRY = 256
_LARGEST_SIZE = (1 << 16) - 1


class _Bytes(Protocol):
    def read(self, count: int, /) -> bytes: ...


def matches(head: bytes) -> bool:
    member = archives.first_member(head)
    return head.startswith(_MAGIC) or (member is not None and member[0].endswith(_SUFFIX))


# --- The header of an array ------------------------------------------------------


def _header(source: _Bytes, name: str) -> tuple[np.dtype[Any], int, int]:
    """(type, length, bytes read) of a 1-D array, from its header. Raises InputError."""
    start = source.read(8)
    size = {1: 2, 2: 4, 3: 4}.get(start[6]) if len(start) == 8 else None
    if not start.startswith(_MAGIC) or size is None:
        raise InputError(f"{name}: byte 0: expected a .npy array of version 1, 2 or 3")
    prefix = source.read(size)
    if len(prefix) < size:
        raise InputError(f"{name}: truncated at byte {8 + len(prefix)}, in the header")
    length = int.from_bytes(prefix, "little")
    if length > _LONGEST_HEADER:
        raise InputError(
            f"{name}: byte 8: a header of {length:,} bytes; expected at most {_LONGEST_HEADER:,}"
        )
    text = source.read(length)
    if len(text) < length:
        raise InputError(f"{name}: truncated at byte {8 + size + len(text):,}, in the header")
    dtype, shape = _parsed(text, name)
    if len(shape) != 1:
        raise InputError(f"{name}: an array of {len(shape)} dimensions; expected 1, of addresses")
    return dtype, shape[0], 8 + size + length


def _parsed(text: bytes, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a damaged header is refused below, or it is none
            header = ast.literal_eval(text.decode("utf-8"))
            dtype, shape = npy_format.descr_to_dtype(header["descr"]), header["shape"]
        if not all(type(extent) is int and 0 <= extent < 1 << 60 for extent in shape):
            raise ValueError("not a shape")
    except (ValueError, TypeError, KeyError, IndexError, SyntaxError, RecursionError, MemoryError):
        raise InputError(f"{name}: byte 10: not the header of a .npy array") from None
    if dtype.hasobject:
        raise InputError(f"{name}: holds pickled Python objects, which are never loaded")
    if not 0 < dtype.itemsize <= _LONGEST_ENTRY:
        raise InputError(
            f"{name}: entries of {dtype.itemsize:,} bytes; expected 1 to {_LONGEST_ENTRY}"
        )
    return dtype, tuple(shape)


# --- Columns, wherever they are ---------------------------------------------------


class _Array:
    """A 1-D array read from front to back, `take` by `take`."""

    def __init__(self, source: _Bytes, name: str) -> None:
        self.name = name
        self._source = source
        self.dtype, self.length, self.offset = _header(source, name)

    def take(self, count: int) -> np.ndarray:
        wanted = count * self.dtype.itemsize
        data = self._source.read(wanted)
        self.offset += len(data)
        if len(data) < wanted:
            raise InputError(
                f"{self.name}: truncated at byte {self.offset:,}: expected {self.length:,} entries"
            )
        return np.frombuffer(data, self.dtype)


class _Mapped(_Array):
    """The same for a plain file, whose pages are only read when they are used."""

    def __init__(self, path: Path, name: str) -> None:
        with open(path, "rb") as file:
            super().__init__(file, name)
            have = file.seek(0, io.SEEK_END)
        if have < self.offset + self.length * self.dtype.itemsize:
            raise InputError(
                f"{name}: truncated at byte {have:,}: expected {self.length:,} entries"
            )
        self._at = 0
        self._map = (
            np.memmap(path, self.dtype, "r", self.offset, (self.length,)).view(np.ndarray)
            if self.length
            else np.empty(0, self.dtype)
        )

    def take(self, count: int) -> np.ndarray:
        self._at += count
        return self._map[self._at - count : self._at]


def _arrays(stream: ByteStream, stack: ExitStack) -> dict[str, _Array]:
    """The arrays of a file by name; a lone array of any name is that of the addresses."""
    if not archives.is_zip(stream.head):
        plain = stream.plain
        return {"address": _Mapped(plain, stream.name) if plain else _Array(stream, stream.name)}
    archive = stack.enter_context(archives.open_archive(stream))
    names = [name for name in archive.namelist() if name.endswith(_SUFFIX)]
    found = {}
    for name in names:
        column = name[: -len(_SUFFIX)] if len(names) > 1 else "address"
        if column in _COLUMNS:
            member = stack.enter_context(archive.open(name))
            found[column] = _Array(member, f"{stream.name}: {name}")
    if "address" not in found:
        raise InputError(f"{stream.name}: has arrays {', '.join(names)[:80]}; expected address.npy")
    return found


def _check_types(arrays: dict[str, _Array]) -> None:
    """Raises InputError where an array is not of integers, or not as long as the others."""
    address = arrays["address"]
    for array in arrays.values():
        if array.length != address.length:
            raise InputError(
                f"{array.name}: {array.length:,} entries; expected {address.length:,} "
                "as there are addresses"
            )
    fields = address.dtype.fields
    if fields is not None and "address" not in fields:
        raise InputError(
            f"{address.name}: fields {', '.join(fields)[:80]}; expected a field address"
        )
    types = {array.name: array.dtype for array in arrays.values() if array.dtype.fields is None}
    for name in _COLUMNS:
        if fields is not None and name in fields:
            types[f"{address.name}: field {name}"] = fields[name][0]
    for name, dtype in types.items():
        if dtype.kind not in "iu":
            raise InputError(f"{name}: of type {dtype}; expected integers")


# --- Reading ---------------------------------------------------------------------


def length(stream: ByteStream) -> int | None:
    """Accesses of a .npy that is not compressed; else None."""
    if stream.plain is None or archives.is_zip(stream.head):
        return None
    with open(stream.plain, "rb") as file:
        return _header(file, stream.name)[1]


class _Reader:
    """Makes chunks of columns."""

    def __init__(self, name: str, options: Options) -> None:
        self._name = name
        self._options = options
        self._before = np.array(_BEGINS, np.int64)
        self._kind = np.full(options.chunk_accesses, LOAD, np.uint8)
        self._size = np.ones(options.chunk_accesses, np.uint16)

    def chunk(self, columns: dict[str, np.ndarray], start: int) -> Chunk:
        """start: the number of the chunk's first access, for messages."""
        # Kernels are compiled for arrays that are contiguous and aligned.
        address = np.require(columns["address"], np.int64, ["C", "A"])
        count = len(address)
        self._check("address", columns["address"], address, start, *self._canonical())
        kind, size = self._kind[:count], self._size[:count]
        if "kind" in columns:
            kind = columns["kind"].astype(np.uint8)
            self._check("kind", columns["kind"], columns["kind"], start, LOAD, FETCH)
        if "size" in columns:
            size = columns["size"].astype(np.uint16)
            self._check("size", columns["size"], columns["size"], start, 1, _LARGEST_SIZE)
        return Chunk(address, kind, size, self._events(columns, count))

    def _canonical(self) -> tuple[int, int]:
        half = 1 << (self._options.va_bits - 1)
        return -half, half - 1

    def _check(
        self, what: str, shown: np.ndarray, column: np.ndarray, start: int, low: int, high: int
    ) -> None:
        if low <= int(column.min()) and int(column.max()) <= high:
            return
        index = int(np.flatnonzero((column < low) | (column > high))[0])
        where = f"{self._name}: entry {start + index:,}"
        if what == "address":
            pattern = int(shown[index]) & ((1 << 64) - 1)
            bits = self._options.va_bits
            raise InputError(f"{where}: address {pattern:#x} not canonical in {bits} bits")
        raise InputError(f"{where}: {what} {shown[index]}; expected {low} to {high}")

    def _events(self, columns: dict[str, np.ndarray], count: int) -> np.ndarray:
        if "pid" not in columns and "tid" not in columns:
            return NO_EVENTS
        pid, tid = (np.empty(count + 1, np.int64) for _ in _BEGINS)
        pid[0], tid[0] = self._before
        pid[1:] = columns.get("pid", _BEGINS[0])
        tid[1:] = columns.get("tid", _BEGINS[1])
        self._before = np.array([pid[count], tid[count]])
        changes = np.flatnonzero((pid[1:] != pid[:-1]) | (tid[1:] != tid[:-1]))
        events = np.zeros(len(changes), EVENT)
        events["position"] = changes
        events["kind"] = SWITCH
        events["pid"] = pid[changes + 1]
        events["value"] = tid[changes + 1]
        return events


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a .npy or .npz. Raises InputError naming the array, and the entry."""
    with ExitStack() as stack, archives.reading(stream.name):
        arrays = _arrays(stream, stack)
        _check_types(arrays)
        total = arrays["address"].length
        if not total:
            raise InputError(f"{stream.name}: no memory accesses found")
        reader = _Reader(stream.name, options)
        for start in range(0, total, options.chunk_accesses):
            count = min(options.chunk_accesses, total - start)
            columns = {name: array.take(count) for name, array in arrays.items()}
            fields = columns["address"]
            for name in fields.dtype.names or ():
                columns[name] = fields[name]
            yield reader.chunk(columns, start)


# --- Writing ---------------------------------------------------------------------


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """A structured .npy of the accesses, with process and thread; other events are lost.

    Its header tells its length, so that the data waits in a temporary file until then.
    """
    who = _BEGINS
    total = 0
    with tempfile.TemporaryFile() as spool:
        for chunk in chunks:
            rows = np.empty(chunk.accesses, RECORD)
            rows["address"], rows["kind"], rows["size"] = chunk[:3]
            rows["pid"], rows["tid"] = who
            for event in chunk.events[chunk.events["kind"] == SWITCH]:
                who = int(event["pid"]), int(event["value"])
                rows["pid"][event["position"] :], rows["tid"][event["position"] :] = who
            spool.write(rows.tobytes())
            total += chunk.accesses
        npy_format.write_array_header_1_0(
            file,
            {
                "descr": npy_format.dtype_to_descr(RECORD),
                "fortran_order": False,
                "shape": (total,),
            },
        )
        spool.seek(0)
        shutil.copyfileobj(spool, file, 1 << 20)
