"""ELF cores: of a process (gcore, the kernel), of a machine (vmcore, virsh dump --memory-only).

The memory is in PT_LOAD segments (System V ABI, chapter 5; Linux fs/binfmt_elf.c). Pages are
placed by physical address where a core has them, else by virtual.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from mmulab.mmu.errors import InputError
from mmulab.workloads.streams import ByteStream

_MAGIC = b"\x7fELF"
_CORE = 4  # ET_CORE
_LOAD = 1  # PT_LOAD
_EXTENDED = 0xFFFF  # PN_XNUM
_MOST_SEGMENTS = 1 << 20
_LONGEST_HEADER = 256


def recognises(head: bytes) -> bool:
    """True for an ELF core; other ELF files are taken as they are."""
    if len(head) < 20 or not head.startswith(_MAGIC):
        return False
    order = "<" if head[5] == 1 else ">"
    return bool(struct.unpack_from(order + "H", head, 16)[0] == _CORE)


class Header(NamedTuple):
    """An ELF header. order: of bytes, for struct. wide: 64 bits. at: bytes that it takes.
    programs, sections: (offset, bytes of an entry, entries) of each table of headers. names: the
    section that has the names of all."""

    order: str
    wide: bool
    at: int
    programs: tuple[int, int, int]
    sections: tuple[int, int, int]
    names: int


def header(stream: ByteStream) -> Header:
    """Reads it. Raises InputError."""
    wide = stream.head[4] == 2
    at = 64 if wide else 52
    start = stream.read(at)
    if len(start) < at:
        raise InputError(f"{stream.name}: a truncated ELF header")
    order = "<" if start[5] == 1 else ">"
    tables = struct.unpack_from(order + ("QQ" if wide else "II"), start, 32 if wide else 28)
    numbers = struct.unpack_from(order + "HHHHH", start, at - 10)
    programs, sections = (tables[0], *numbers[:2]), (tables[1], *numbers[2:4])
    return Header(order, wide, at, programs, sections, numbers[4])


def regions(stream: ByteStream) -> Iterator[tuple[int, int]]:
    """(address, length) of each segment with contents, when the stream stands at them."""
    what = header(stream)
    table, size, count = what.programs
    if count == _EXTENDED:
        count = _extended_count(stream, what)
    least = 56 if what.wide else 32
    if count > _MOST_SEGMENTS or (count and not least <= size <= _LONGEST_HEADER):
        raise InputError(f"{stream.name}: {count} program headers of {size} bytes; cannot be read")
    if table < what.at:
        raise InputError(f"{stream.name}: program headers inside the ELF header")
    skip(stream, table - what.at)
    headers = stream.read(size * count)
    if len(headers) < size * count:
        raise InputError(f"{stream.name}: ends in its program headers")
    at = table + len(headers)
    for offset, address, length in _segments(headers, size, count, what):
        if offset < at:
            raise InputError(f"{stream.name}: memory inside the headers, at offset {offset:#x}")
        skip(stream, offset - at)
        yield address, length
        at = offset + length


def _extended_count(stream: ByteStream, what: Header) -> int:
    """Program headers where e_phnum has no room for their number: PN_XNUM, for which sh_info
    of the first section header has it (System V ABI, chapter 4)."""
    offset, size, _ = what.sections
    first = read_at(stream, offset, size)
    at = 44 if what.wide else 28
    if not what.at <= offset or len(first) < at + 4:
        raise InputError(f"{stream.name}: truncated: the number of its segments is missing")
    return int(struct.unpack_from(what.order + "I", first, at)[0])


def read_at(stream: ByteStream, offset: int, size: int) -> bytes:
    """Bytes anywhere in the file; fewer at its end. Raises InputError where it has no path."""
    if stream.plain is None:
        raise InputError(
            f"{stream.name}: a core with headers behind its memory; decompress it into a file first"
        )
    with open(stream.plain, "rb") as file:
        if offset > file.seek(0, os.SEEK_END):
            return b""
        file.seek(offset)
        return file.read(size)


def _segments(headers: bytes, size: int, count: int, what: Header) -> list[tuple[int, int, int]]:
    """(offset, address, length) of what has contents, in the order of the file, each byte of
    the file and each address once: a core of a machine with paging on has a segment for each
    virtual range, whatever physical memory others have mapped (QEMU, dump/dump.c)."""
    found = []
    for i in range(count):
        if what.wide:
            kind, _, offset, virtual, physical, length = struct.unpack_from(
                what.order + "IIQQQQ", headers, i * size
            )
        else:
            kind, offset, virtual, physical, length = struct.unpack_from(
                what.order + "IIIII", headers, i * size
            )
        if kind == _LOAD and length:
            found.append((offset, virtual, physical, length))
    nowhere = (1 << (64 if what.wide else 32)) - 1
    by_physical = any(physical not in (0, nowhere) for _, _, physical, _ in found)
    rows = [
        (physical if by_physical and physical != nowhere else virtual, offset, length)
        for offset, virtual, physical, length in found
    ]
    return _once([(offset, address, length) for address, offset, length in _once(rows)])


def _once(rows: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """(start, other start, length) by start, without what those before have of its range."""
    kept, end = [], 0
    for start, other, length in sorted(rows):
        cut = max(0, min(end - start, length))
        if cut < length:
            kept.append((start + cut, other + cut, length - cut))
        end = max(end, start + length)
    return kept


def skip(stream: ByteStream, count: int) -> None:
    while count:
        passed = len(stream.read(min(count, 1 << 20)))
        if not passed:
            raise InputError(f"{stream.name}: ends before its memory")
        count -= passed
