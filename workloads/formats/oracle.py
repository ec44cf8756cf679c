"""libCacheSim's oracleGeneral traces (libCacheSim, traceReader/customizedReader/oracle).

    byte  0  clock_time           u32    seconds
          4  obj_id               u64
         12  obj_size             u32    bytes
         16  next_access_vtime    i64    number of the object's next request, the trace's
                                         first being 1; -1 or 2^63 - 1: none

Packed, little-endian, 24 bytes a request. These are requests for objects of a cache, not
accesses to memory. To a TLB a cache of objects is a memory of pages, so that each object
is a page here: object n is a load of one byte at address 4096 n, and the TLB's reuse
distances are those of the trace. Of an n that has more bits than the lower half of the
address space has pages, as hashes have, the low bits are used. Sizes and times are lost.

The file says nothing of its own format; it is detected by whether its first records are
plausible, and otherwise needs --format.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import LOAD, Chunk
from mmulab.workloads.formats import Options, records
from mmulab.workloads.formats.records import END, FULL, SPARE
from mmulab.workloads.streams import HEAD, ByteStream

NAME = "oracle"
HOLDS: frozenset[str] = frozenset()
SUMMARY = "libCacheSim oracleGeneral, 24-byte records; object n is page n"

BYTES = 24
LAYOUT = records.Layout(BYTES, np.dtype("<u4"), "a 24-byte oracleGeneral record")

_REQUEST = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
_PAGE_SHIFT = 12
_PAGE = 1 << _PAGE_SHIFT

#: Requests that `write` handles at a time.
_PIECE = 1 << 18

#: No trace has more requests: what `next` must be below to be plausible.
_MOST = 1 << 48
_NEVER = (-1, (1 << 63) - 1)


@entry
def parse(
    words, position, end, va_bits, address, kind, size, count, events, happened, state, ip, depends
):
    """Takes records; see workloads.formats.records.Kernel."""
    limit = address.size - SPARE
    pages = (1 << (va_bits - 1 - _PAGE_SHIFT)) - 1
    while position < end:
        if count >= limit:
            return FULL, position, count, happened
        number = np.int64(words[6 * position + 1]) | (np.int64(words[6 * position + 2]) << 32)
        address[count] = (number & pages) << _PAGE_SHIFT
        kind[count] = LOAD
        size[count] = 1
        count += 1
        position += 1
    return END, position, count, happened


def matches(head: bytes) -> bool:
    """Whether times never go back and every next access is later than its own request."""
    count = len(head) // BYTES
    if count < 2 or (len(head) < HEAD and len(head) % BYTES):
        return False
    requests = np.frombuffer(head, _REQUEST, count)
    following = requests["next"]
    never = np.isin(following, _NEVER)
    later = (following > np.arange(count)) & (following < _MOST)
    return bool(
        (np.diff(requests["time"].astype(np.int64)) >= 0).all()
        and (never | later).all()
        and requests["id"].any()
        and int(requests["size"].max()) < 1 << 31
    )


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of an oracleGeneral trace. Raises InputError naming the byte offset."""
    return records.read(stream, options, LAYOUT, parse, np.zeros(1, np.int64))


# --- Writing --------------------------------------------------------------------------


class _Later:
    """The next request of every page, seen from the end of a trace."""

    def __init__(self) -> None:
        self._page = np.empty(0, np.int64)  # sorted
        self._request = np.empty(0, np.int64)

    def following(self, page: np.ndarray, first: int) -> np.ndarray:
        """Next requests of the pages of requests `first` and on, which become known."""
        order = np.argsort(page, kind="stable")
        ordered = page[order]
        same = ordered[1:] == ordered[:-1]
        found = np.full(len(page), _NEVER[0], np.int64)
        found[order[:-1][same]] = order[1:][same] + first
        last = order[np.append(~same, True)]  # of each page here: its next is in what follows
        at = np.searchsorted(self._page, page[last])
        known = at < len(self._page)
        known[known] = self._page[at[known]] == page[last[known]]
        found[last[known]] = self._request[at[known]]
        begin = order[np.append(True, ~same)]
        pages = np.concatenate([page[begin], self._page])
        requests = np.concatenate([begin + first, self._request])
        self._page, index = np.unique(pages, return_index=True)  # of two, the earlier
        self._request = requests[index]
        return found


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """A request of 4096 bytes for the page of each access; all else of the trace is lost.

    next_access_vtime is only known from the end, so that the pages wait in a temporary
    file; memory grows with the pages that are touched, not with the trace.
    """
    with tempfile.TemporaryFile() as pages, tempfile.TemporaryFile() as following:
        total = 0
        for chunk in chunks:
            pages.write((chunk.address >> _PAGE_SHIFT).astype(np.int64).tobytes())
            total += chunk.accesses
        starts = range(0, total, _PIECE)
        later = _Later()
        for start in reversed(starts):
            pages.seek(8 * start)
            page = np.frombuffer(pages.read(8 * min(_PIECE, total - start)), np.int64)
            following.seek(8 * start)
            following.write(later.following(page, start + 1).tobytes())
        pages.seek(0)
        following.seek(0)
        for start in starts:
            count = min(_PIECE, total - start)
            requests = np.zeros(count, _REQUEST)
            requests["id"] = np.frombuffer(pages.read(8 * count), np.uint64)
            requests["size"] = _PAGE
            requests["next"] = np.frombuffer(following.read(8 * count), np.int64)
            file.write(requests.tobytes())
