"""ELF cores: of a process (gcore, the kernel), of a machine (vmcore, virsh dump --memory-only).

The memory is in PT_LOAD segments (System V ABI, chapter 5; Linux fs/binfmt_elf.c). Pages are
placed by physical address where a core has them, else by virtual.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from mmulab.mmu.errors import InputError
from mmulab.workloads.streams import ByteStream

_MAGIC = b"\x7fELF"
_CORE = 4  # ET_CORE
_LOAD = 1  # PT_LOAD
_MOST_SEGMENTS = 1 << 20


def recognises(head: bytes) -> bool:
    """True for an ELF core; other ELF files are taken as they are."""
    if len(head) < 20 or not head.startswith(_MAGIC):
        return False
    order = "<" if head[5] == 1 else ">"
    return bool(struct.unpack_from(order + "H", head, 16)[0] == _CORE)


def regions(stream: ByteStream) -> Iterator[tuple[int, int]]:
    """(address, length) of each segment with contents, when the stream stands at them."""
    wide = stream.head[4] == 2
    start = stream.read(64 if wide else 52)
    order = "<" if start[5] == 1 else ">"
    if len(start) < (64 if wide else 52):
        raise InputError(f"{stream.name}: a truncated ELF header")
    if wide:
        table, size, count = (
            *struct.unpack_from(order + "Q", start, 32),
            *struct.unpack_from(order + "HH", start, 54),
        )
    else:
        table, size, count = (
            *struct.unpack_from(order + "I", start, 28),
            *struct.unpack_from(order + "HH", start, 42),
        )
    least = 56 if wide else 32
    if count == 0xFFFF or count > _MOST_SEGMENTS or (count and size < least):
        raise InputError(f"{stream.name}: {count} program headers of {size} bytes; cannot be read")
    at = len(start)
    if table < at:
        raise InputError(f"{stream.name}: program headers inside the ELF header")
    _skip(stream, table - at)
    headers = stream.read(size * count)
    if len(headers) < size * count:
        raise InputError(f"{stream.name}: ends in its program headers")
    at = table + len(headers)
    segments = [_segment(headers[i * size :], order, wide) for i in range(count)]
    for offset, address, length in sorted(s for s in segments if s is not None):
        if offset < at:
            raise InputError(f"{stream.name}: segments overlap at offset {offset:#x}")
        _skip(stream, offset - at)
        yield address, length
        at = offset + length


def _segment(header: bytes, order: str, wide: bool) -> tuple[int, int, int] | None:
    """(offset, address, length) of a program header that has memory."""
    if wide:
        kind, _, offset, virtual, physical, length = struct.unpack_from(order + "IIQQQQ", header)
    else:
        kind, offset, virtual, physical, length = struct.unpack_from(order + "IIIII", header)
    if kind != _LOAD or not length:
        return None
    return offset, physical or virtual, length


def _skip(stream: ByteStream, count: int) -> None:
    while count:
        passed = len(stream.read(min(count, 1 << 20)))
        if not passed:
            raise InputError(f"{stream.name}: ends before its memory")
        count -= passed
