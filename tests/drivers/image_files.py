"""Images of memory, as the tools lay them out that write them."""

from __future__ import annotations

import struct

PAGE = 4096
MEMORY = b"".join(bytes([i % 4 + 1]) * PAGE for i in range(8))  # 8 pages, 4 contents
DIRECT_MAP = 0xFFFF888000000000

Segment = tuple[int, int, int, int]  # offset, virtual, physical, length


def head(order: str, count: int, sections: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    """An ELF64 core's header. sections: offset, number, which has the names."""
    where, number, names = sections
    ident = b"\x7fELF" + bytes([2, 1 if order == "<" else 2, 1]) + bytes(9)
    fields = (4, 62, 1, 0, 64 if count else 0, where, 0, 64, 56, count, 64, number, names)
    return ident + struct.pack(order + "HHIQQQIHHHHHH", *fields)


def segments(order: str, rows: list[Segment]) -> bytes:
    return b"".join(
        struct.pack(order + "IIQQQQQQ", 1, 6, offset, virtual, physical, length, length, PAGE)
        for offset, virtual, physical, length in rows
    )


def core(rows: list[Segment], memory: bytes, order: str = "<") -> bytes:
    """Memory from offset 4,096 on."""
    return (head(order, len(rows)) + segments(order, rows)).ljust(PAGE, b"\0") + memory


def xen_core(order: str, words: int, frames: list[int], page: int = PAGE) -> bytes:
    """The tables behind the pages, as xl dump-core writes them."""
    numbers = b"".join(struct.pack(order + "Q" * words, *([each] * words)) for each in frames)
    name = ".xen_p2m" if words == 2 else ".xen_pfn"
    names = b"\0.shstrtab\0.xen_pages\0" + name.encode() + b"\0"
    start = 64 + 4 * 64 + len(names)
    rows = [
        (0, 0, 0, 0),
        (1, 64 + 4 * 64, len(names), 0),
        (11, start, len(MEMORY), page),
        (22, start + len(MEMORY), len(numbers), 8 * words),
    ]
    sections = b"".join(
        struct.pack(order + "IIQQQQIIQQ", name, 1, 0, 0, offset, size, 0, 0, 0, entry)
        for name, offset, size, entry in rows
    )
    return head(order, 0, (64, 4, 1)) + sections + names + MEMORY + numbers


def windows(kind: int, runs: list[tuple[int, int]], memory: bytes) -> bytes:
    header = bytearray(b"PAGEDU64" + b"PAGE" * 2046)
    struct.pack_into("<IIQ", header, 0x88, len(runs), 0, sum(pages for _, pages in runs))
    for i, run in enumerate(runs):
        struct.pack_into("<QQ", header, 0x98 + 16 * i, *run)
    struct.pack_into("<I", header, 0xF98, kind)
    return bytes(header) + memory


def elf_core(segments: list[tuple[int, bytes]], wide: bool = True, order: str = "<") -> bytes:
    """A core with its segments from offset 4,096 on, one after another."""
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    count, offset, headers, body = len(segments), PAGE, b"", b""
    for address, data in segments:
        size = len(data)
        if wide:
            fields = (1, 4, offset, address, 0, size, size, PAGE)
            headers += struct.pack(order + "IIQQQQQQ", *fields)
        else:
            headers += struct.pack(order + "IIIIIIII", 1, offset, address, 0, size, size, 4, PAGE)
        offset += size
        body += data
    if wide:
        head = ident + struct.pack(order + "HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, count,
                                   0, 0, 0)  # fmt: skip
    else:
        head = ident + struct.pack(order + "HHIIIIIHHHHHH", 4, 3, 1, 0, 52, 0, 0, 52, 32, count,
                                   0, 0, 0)  # fmt: skip
    return (head + headers).ljust(PAGE, b"\0") + body
