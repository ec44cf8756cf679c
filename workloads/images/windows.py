"""Windows crash dumps of 64 bits that hold all of memory: a header, then runs of pages.

    0        'PAGEDU64'
    0x88     number of runs (4 bytes, 4 of padding), number of pages (8)
    0x98     runs: first page, pages (8 bytes each)
    0xf98    type: 1 all of memory; the others leave pages out
    0x2000   the pages of each run

(Microsoft's DUMP_HEADER64, as the Volatility Framework's crash64 layout has it.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from mmulab.mmu.errors import InputError
from mmulab.workloads.streams import ByteStream

_HEADER = 0x2000
_TYPE, _RUNS, _FIRST_RUN = 0xF98, 0x88, 0x98
_FULL = 1
_MOST_RUNS = (_TYPE - _FIRST_RUN) // 16
_PAGE = 4096
_MOST_PAGES = 1 << 40


def recognises(head: bytes) -> bool:
    return head.startswith(b"PAGEDU64")


def regions(stream: ByteStream) -> Iterator[tuple[int, int]]:
    """(address, length) of each run, when the stream stands at it."""
    header = stream.read(_HEADER)
    if len(header) < _HEADER:
        raise InputError(f"{stream.name}: ends in its header")
    (kind,) = struct.unpack_from("<I", header, _TYPE)
    if kind != _FULL:
        raise InputError(
            f"{stream.name}: a Windows crash dump of type {kind}, which leaves pages out; expected "
            "a complete memory dump, type 1"
        )
    (count,) = struct.unpack_from("<I", header, _RUNS)
    if not 0 < count <= _MOST_RUNS:
        raise InputError(f"{stream.name}: {count:,} runs of memory; expected 1 to {_MOST_RUNS}")
    for run in range(count):
        first, pages = struct.unpack_from("<QQ", header, _FIRST_RUN + 16 * run)
        if first + pages > _MOST_PAGES:
            raise InputError(f"{stream.name}: run {run} is broken: {pages:,} pages at {first:,}")
        yield first * _PAGE, pages * _PAGE
