"""Files of the binary formats, made with struct.pack from their specifications.

None is made with the code that reads them; the layouts are in the formats' docstrings.
"""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
from hypothesis import strategies as st

from mmulab.mmu.trace import FETCH, LOAD, STORE, SWITCH, Chunk
from mmulab.workloads import formats
from mmulab.workloads.formats import Options, records
from mmulab.workloads.streams import ByteStream

Access = tuple[int, int, int]  # address, kind, size
Switch = tuple[int, int, int]  # position in the whole trace, process, thread


def flat(chunks: list[Chunk]) -> tuple[list[Access], list[Switch]]:
    accesses: list[Access] = []
    switches: list[Switch] = []
    for chunk in chunks:
        for event in chunk.events.tolist():
            assert event[1] == SWITCH
            switches.append((event[0] + len(accesses), event[2], event[5]))
        accesses += zip(
            chunk.address.tolist(), chunk.kind.tolist(), chunk.size.tolist(), strict=True
        )
    return accesses, switches


def parse(
    name: str, data: bytes, chunk: int = 1 << 12, va_bits: int = 48
) -> tuple[list[Access], list[Switch]]:
    stream = ByteStream(io.BytesIO(data), "fuzz", None)
    chunks = list(formats.get(name).read(stream, Options(va_bits, chunk)))
    assert all(each.accesses < chunk + records.SPARE for each in chunks)
    return flat(chunks)


def detected(data: bytes) -> list[str]:
    """Every format that takes a file of these bytes for its own."""
    head = data[:4096]
    return [name for name in formats.names() if formats.get(name).matches(head)]


ADDRESS = st.integers(1, (1 << 47) - 1) | st.integers((1 << 64) - (1 << 47), (1 << 64) - 1)


def signed(address: int) -> int:
    return address - (address >> 63 << 64)


def pack64(ip: int, loads: list[int], stores: list[int], _: int) -> bytes:
    return struct.pack("<QBB2B4B2Q4Q", ip, 1, 0, 7, 8, 1, 2, 3, 4, *stores[:2], *loads)


def pack96(ip: int, loads: list[int], stores: list[int], asid: int) -> bytes:
    registers = (5, 6, 7, 8, 1, 2, 3, 4)
    return struct.pack("<QBB4B4B6x4Q4QBB6x", ip, 0, 0, *registers, *stores, *loads, asid, 1)


CODE = [(0x401000 + 4 * i, [0x7FF000 + 8 * i, 0, 0, 0], [0, 0, 0, 0], i // 30) for i in range(100)]
CHAMPSIM = b"".join(pack64(*one) for one in CODE)
CLOUDSUITE = b"".join(pack96(*one) for one in CODE)


def entry(type_: int, size: int, value: int) -> bytes:
    return struct.pack("<HHQ", type_, size, value)


VERSION = entry(25, 0, 7) + entry(28, 12, 7) + entry(28, 9, 0x40)
FOOTER = entry(26, 0, 0)
DRMEMTRACE = b"".join(
    [
        VERSION,
        entry(22, 4, 501), entry(24, 4, 500),
        entry(28, 2, 13386385969186755), entry(28, 3, 7),  # timestamp, CPU
        entry(47, 3, 0xC3FFFF), entry(10, 3, 0x401000),  # encoding, instruction
        entry(0, 8, 0x7FFE0010), entry(1, 16, 0x7FFE0020),
        entry(17, 3, 0x050402),  # a bundle: instructions of 2, 4 and 5 bytes
        entry(48, 2, 0x40100E), entry(49, 6, 0x401010),
        entry(2, 1, 0x9000), entry(46, 1, 0x9000), entry(27, 1, 0x9000),  # prefetches
        entry(18, 64, 0x9000), entry(20, 64, 0x9000),  # flushes
        entry(22, 4, 502), entry(24, 4, 600),
        entry(30, 2, 0x402000), entry(0, 1, 0x8000),  # rep: fetched once
        entry(30, 2, 0x402000), entry(0, 1, 0x8001),
        entry(29, 2, 0x402000), entry(0, 1, 0x8002),
        entry(22, 4, 501),  # a thread that is known: its process is not said again
        entry(10, 0, 0x403000), entry(1, 0, 0xFFFF800000000000),
        entry(31, 2, 0x404000),
        entry(23, 4, 501),
        FOOTER,
    ]
)  # fmt: skip
DRMEMTRACE_ACCESSES = [
    (0x401000, FETCH, 3),
    (0x7FFE0010, LOAD, 8),
    (0x7FFE0020, STORE, 16),
    (0x401003, FETCH, 2),
    (0x401005, FETCH, 4),
    (0x401009, FETCH, 5),
    (0x40100E, FETCH, 2),
    (0x401010, FETCH, 6),
    (0x402000, FETCH, 2),
    (0x8000, LOAD, 1),
    (0x8001, LOAD, 1),
    (0x8002, LOAD, 1),
    (-0x800000000000, STORE, 1),
    (0x404000, FETCH, 2),
]
DRMEMTRACE_SWITCHES = [(0, 500, 501), (8, 600, 502), (12, 500, 501)]


def zipped(*members: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for number, member in enumerate(members):
            archive.writestr(f"chunk.{number:04}", member)
    return file.getvalue()


def request(time: int, object_: int, size: int, following: int) -> bytes:
    return struct.pack("<IQIq", time, object_, size, following)


ORACLE = b"".join(
    request(1000 + i // 7, i * i % 61 or 1 << 40, 512 * i, (i + 3, -1, (1 << 63) - 1)[i % 3])
    for i in range(200)
)


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A Protocol Buffers message after its length: numbers as varints, bytes with lengths."""
    body = b""
    for number, value in fields:
        if isinstance(value, bytes):
            body += varint(number << 3 | 2) + varint(len(value)) + value
        else:
            body += varint(number << 3) + varint(value & ((1 << 64) - 1))
    return varint(len(body)) + body


def packet(command: int, address: int, size: int, flags: int = 0) -> bytes:
    return message((1, 77), (2, command), (3, address), (4, size), (5, flags), (6, 3), (7, 0x400))


GEM5_HEADER = b"gem5" + message(
    (1, b"system.monitor"), (3, 10**12), (4, b"\x08\x00\x12\x03cpu"), (4, b"\x08\x01\x12\x03dma")
)
# Fields 15, 16 and 17, of the wire types that a packet has not; then a packet of size 0.
UNKNOWN = b"\x79" + bytes(8) + b"\x82\x01\x01x" + b"\x8d\x01" + bytes(4)
UNKNOWN += message((1, 1), (2, 1), (3, 0x9000), (4, 0))[1:]
# MemCmd::Command of gem5 v25: a plain read and write, a fetch, a swap, and what is no access.
GEM5 = GEM5_HEADER + b"".join(
    [
        packet(1, 0x1000, 8),
        packet(4, 0x2000, 64),
        packet(1, 0x3000, 4, 0x100),
        packet(34, 0x4000, 4),
        packet(2, 0x5000, 8),
        packet(13, 0x6000, 64),
        packet(7, 0x7000, 64),
        packet(30, 0x8000, 8),
        packet(32, 0x8000, 8),
        # no optional fields
        message((1, 1), (2, 4), (3, 0xFFFF800000000000), (4, 2)),
        varint(len(UNKNOWN)) + UNKNOWN,
    ]
)  # fmt: skip
GEM5_ACCESSES = [
    (0x1000, LOAD, 8),
    (0x2000, STORE, 64),
    (0x3000, FETCH, 4),
    (0x4000, LOAD, 4),
    (0x4000, STORE, 4),
    (0x8000, LOAD, 8),
    (0x8000, STORE, 8),
    (-0x800000000000, STORE, 2),
    (0x9000, LOAD, 1),
]


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


ADDRESSES = np.arange(1000, dtype=np.int64) * 4096
NPY = saved(ADDRESSES)

FIXTURES = {
    "champsim": CHAMPSIM,
    "cloudsuite": CLOUDSUITE,
    "drmemtrace": DRMEMTRACE,
    "oracle": ORACLE,
    "gem5": GEM5,
    "npy": NPY,
}
