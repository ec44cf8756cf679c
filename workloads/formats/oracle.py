"""libCacheSim's oracleGeneral: 24-byte records of requests for objects.

    time u32 | object id u64 | size u32 | next access i64, packed, little-endian

(libCacheSim, traceReader/customizedReader/oracle/oracleGeneralBin.h.) These are traces of
caches, not of memory. An object is read as a page: a load of the first byte of 4 KiB page
number `id`, modulo the pages of user space; so page-level reuse, which is what such a trace
is about, is kept, and sizes are not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.bits import PAGE_SHIFT
from mmu.trace import LOAD, NO_EVENTS, Chunk
from workloads.formats import Options
from workloads.formats.binary import plausible, records
from workloads.streams import ByteStream

NAME = "oracle"
SUMMARY = "libCacheSim's oracleGeneral, an object a page"

RECORD = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])


def matches(head: bytes) -> bool:
    seen = plausible(head, RECORD)
    if seen is None:
        return False
    later = seen["next"] > np.arange(len(seen))
    return bool(
        (np.diff(seen["time"].astype(np.int64)) >= 0).all()
        and (later | (seen["next"] == -1)).all()
        and (seen["size"] > 0).all()
        and (seen["size"] < 1 << 31).all()
    )


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of an oracleGeneral trace. Raises InputError naming the byte offset."""
    pages = np.uint64((1 << (options.va_bits - 1 - PAGE_SHIFT)) - 1)
    for _, block in records(stream, RECORD):
        address = (block["id"] & pages).astype(np.int64) << PAGE_SHIFT
        ones = np.ones(len(block), np.uint16)
        yield Chunk(address, np.full(len(block), LOAD, np.uint8), ones, NO_EVENTS)
