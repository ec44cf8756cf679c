"""Memory images, read page by page: ELF cores, LiME and Windows dumps, or any file as it is.

    regions(stream) -> Iterator[Region]     in each format's file

A region is a run of memory at one address; a reader passes over what is not memory. Files
are read once, from front to back, and may be compressed as traces may.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mmulab.mmu.errors import InputError
from mmulab.workloads.images import elf, foreign, lime, windows, xen
from mmulab.workloads.streams import ByteStream, open_stream

BLOCK = 32 << 20  # bytes that are read at once


class Block(NamedTuple):
    """Bytes of memory from an address on, which is a multiple of 4 KiB."""

    address: int
    data: bytes


def blocks(path: str) -> Iterator[Block]:
    """Whole pages of an image, in the order of the file. Raises InputError.

    What an image has before the first page boundary of a region, or after its last, is left
    out.
    """
    stream = open_stream(path)
    try:
        yield from _blocks(stream)
    finally:
        stream.close()


def _blocks(stream: ByteStream) -> Iterator[Block]:
    head = stream.head
    if not head:
        raise InputError(f"{stream.name}: is empty; expected a memory image")
    what = foreign.known(head)
    if what:
        raise InputError(f"{stream.name}: {what}")
    for reader in (xen, elf, lime, windows):
        if reader.recognises(head):
            for address, length in reader.regions(stream):
                yield from _region(stream, address, length)
            return
    yield from _region(stream, 0, None)


def _region(stream: ByteStream, address: int, length: int | None) -> Iterator[Block]:
    """The pages of a region that comes next; length None: to the end of the file."""
    skipped = -address % 4096
    left = length
    if skipped:
        skipped = skipped if left is None else min(skipped, left)
        stream.read(skipped)
        address += skipped
        left = None if left is None else left - skipped
    while left is None or left:
        wanted = BLOCK if left is None else min(BLOCK, left)
        data = _read(stream, wanted)
        if left is not None:
            if len(data) < wanted:
                raise InputError(
                    f"{stream.name}: ends in the middle of the memory at {address:#x}; "
                    f"{left - len(data):,} bytes are missing"
                )
            left -= wanted
        whole = len(data) & ~4095
        if whole:
            yield Block(address, data[:whole])
        address += len(data)
        if len(data) < wanted:
            return


def _read(stream: ByteStream, count: int) -> bytes:
    """So many bytes; fewer only at the end."""
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
