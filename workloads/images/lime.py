"""LiME memory dumps: ranges of physical memory, each with a header (504ensicsLabs/LiME, doc/
README.md: magic 0x4C694D45, version 1, first and last address, 8 bytes reserved)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from mmulab.mmu.errors import InputError
from mmulab.workloads.streams import ByteStream

_HEADER = struct.Struct("<IIQQQ")
_MAGIC = 0x4C694D45


def recognises(head: bytes) -> bool:
    return head.startswith(_MAGIC.to_bytes(4, "little"))


def regions(stream: ByteStream) -> Iterator[tuple[int, int]]:
    """(address, length) of each range, when the stream stands at it."""
    while header := stream.read(_HEADER.size):
        if len(header) < _HEADER.size:
            raise InputError(f"{stream.name}: ends in a range's header")
        magic, version, first, last, _ = _HEADER.unpack(header)
        if magic != _MAGIC or version != 1 or last < first:
            raise InputError(f"{stream.name}: a range's header is broken; expected LiME version 1")
        yield first, last + 1 - first
