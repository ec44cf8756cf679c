"""NumPy's .npy and .npz.

A .npy file holds addresses, integers of one dimension, or records with the fields below;
it is memory-mapped. A .npz file holds arrays of these names, all of one length:

    address      int64 or uint64
    kind         0 load, 1 store, 2 fetch; loads where it is missing
    size         bytes; 1 where it is missing
    pid, tid     where the trace has them

Objects are never unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

import numpy as np

from mmu.errors import InputError
from mmu.trace import FETCH, LOAD, NO_EVENTS, Chunk
from workloads.formats import Options
from workloads.formats.binary import check_canonical
from workloads.formats.fields import LARGEST_SIZE, with_switches
from workloads.streams import ByteStream

NAME = "arrays"
SUMMARY = "NumPy's .npy and .npz: arrays address, kind, size, pid, tid"

#: Bytes of arrays in a .npz, which are decompressed into memory.
LARGEST_NPZ = 2 << 30

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_NAMES = ("address", "kind", "size", "pid", "tid")
_EXPECTED = "expected integer arrays named address, kind, size, pid, tid, or addresses alone"


def matches(head: bytes) -> bool:
    return head.startswith(_NPY) or (head.startswith(_ZIP) and b".npy" in head[:300])


def _columns(stream: ByteStream) -> dict[str, np.ndarray]:
    if stream.plain is None:
        raise InputError(f"{stream.name}: .npy and .npz can be read from an uncompressed file only")
    try:
        if stream.head.startswith(_NPY):
            array = np.load(stream.plain, mmap_mode="r", allow_pickle=False)
            if array.dtype.names is None:
                return {"address": array}
            return {name: array[name] for name in _NAMES if name in array.dtype.names}
        with zipfile.ZipFile(stream.plain) as listing:
            total = sum(member.file_size for member in listing.infolist())
        if total > LARGEST_NPZ:
            raise InputError(
                f"{stream.name}: {total:,} bytes of arrays; a .npz is read whole, so expected at "
                f"most {LARGEST_NPZ:,}: save records as .npy, which is memory-mapped"
            )
        with np.load(stream.plain, allow_pickle=False) as archive:
            return {name: archive[name] for name in _NAMES if name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, SyntaxError) as error:
        raise InputError(f"{stream.name}: not a NumPy file: {error}; {_EXPECTED}") from None
    except MemoryError:
        raise InputError(f"{stream.name}: larger than memory; {_EXPECTED}") from None


def _check(stream: ByteStream, columns: dict[str, np.ndarray]) -> None:
    if "address" not in columns:
        raise InputError(f"{stream.name}: no array named address; {_EXPECTED}")
    length = columns["address"].shape
    for name, array in columns.items():
        if array.ndim != 1 or array.dtype.kind not in "iu" or array.shape != length:
            raise InputError(
                f"{stream.name}: array {name}: {array.ndim} dimensions of {array.dtype}; "
                f"{_EXPECTED}"
            )
    if not length[0]:
        raise InputError(f"{stream.name}: no memory accesses found; {_EXPECTED}")


def length(stream: ByteStream) -> int | None:
    """Accesses: the length of the address array."""
    columns = _columns(stream)
    _check(stream, columns)
    return len(columns["address"])


def _limited(
    stream: ByteStream, part: np.ndarray, name: str, least: int, most: int, start: int
) -> np.ndarray:
    wrong = (part < least) | (part > most)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(
            f"{stream.name}: {name}[{start + at:,}] is {part[at]}; expected {least} to {most}"
        )
    return part


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a NumPy file. Raises InputError naming array and index."""
    columns = _columns(stream)
    _check(stream, columns)
    last = (1, 0)
    for start in range(0, len(columns["address"]), options.chunk_accesses):
        part = {name: array[start : start + options.chunk_accesses]
                for name, array in columns.items()}  # fmt: skip
        count = len(part["address"])
        address = part["address"].astype(np.int64)
        places = np.arange(start, start + count)
        check_canonical(stream, address, options.va_bits, places * columns["address"].itemsize)
        kind, size = np.full(count, LOAD, np.uint8), np.ones(count, np.uint16)
        if "kind" in part:
            kind = _limited(stream, part["kind"], "kind", 0, FETCH, start).astype(np.uint8)
        if "size" in part:
            size = _limited(stream, part["size"], "size", 1, LARGEST_SIZE, start).astype(np.uint16)
        chunk = Chunk(address, kind, size, NO_EVENTS)
        if "pid" in part or "tid" in part:
            pid = part["pid"].astype(np.int64) if "pid" in part else np.ones(count, np.int64)
            tid = part["tid"].astype(np.int64) if "tid" in part else np.zeros(count, np.int64)
            chunk = with_switches(chunk, pid, tid, last)
            last = (int(pid[-1]), int(tid[-1]))
        yield chunk
