"""The columnar file byte for byte, from docs/trace-format.md, without its own code."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import CONTENT, EVENT, MMAP, SWITCH, Chunk
from mmulab.workloads.formats.columnar import ColumnarWriter

ADDRESSES = [0x7F0000001000, 0x401000, 0x7F0000001008, -4096, 0x401004]
KINDS = [0, 2, 1, 0, 2]
SIZES = [8, 4, 8, 1, 3]
EVENTS = [
    (0, MMAP, 1, 0x7F0000000000, 1 << 21, 3 | 2 << 8),
    (2, SWITCH, 7, 0, 0, 99),
    (5, CONTENT, 7, 0x7F0000001000, 4096, -5),
]


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def delta(addresses: list[int]) -> bytes:
    """The DELTA encoding, one address at a time."""
    last = {0: 0, 1: 0, 2: 0}
    folded = []
    for address, kind in zip(addresses, KINDS, strict=True):
        d = address - last[kind]
        last[kind] = address
        folded.append((2 * d if d >= 0 else -2 * d - 1) & ((1 << 64) - 1))
    return b"".join(bytes((f >> (8 * plane)) & 0xFF for f in folded) for plane in range(8))


def a_file(encoding: int) -> bytes:
    metadata = json.dumps({"program": "hand"}).encode()
    metadata += b" " * (-len(metadata) % 8)
    start = b"MMULABTR" + struct.pack("<II", 2, len(metadata))
    out = start + struct.pack("<I4x", zlib.crc32(start + metadata)) + metadata
    address = struct.pack("<5q", *ADDRESSES) if encoding == 0 else delta(ADDRESSES)
    payload = address + b"".join(struct.pack("<6q", *event) for event in EVENTS)
    payload += pad(struct.pack("<5H", *SIZES)) + pad(bytes(KINDS))
    head = struct.pack("<4sIQQQI", b"BLCK", encoding, 5, 3, len(payload), zlib.crc32(payload))
    out += head + struct.pack("<I", zlib.crc32(head)) + payload
    end = struct.pack("<4sIQQQI", b"END.", 2, 5, 1, 0, 0)
    return out + end + struct.pack("<I", zlib.crc32(end))


def chunk() -> Chunk:
    return Chunk(
        np.array(ADDRESSES), np.array(KINDS, np.uint8), np.array(SIZES, np.uint16),
        np.array(EVENTS, EVENT),
    )  # fmt: skip


@pytest.mark.parametrize("encoding", [0, 1])
def test_a_file_made_by_hand_is_read(encoding: int, tmp_path: Path) -> None:
    (tmp_path / "a.mmt").write_bytes(a_file(encoding))
    trace = workloads.open_trace(tmp_path / "a.mmt")
    (read,) = trace.chunks()
    assert all((a == b).all() for a, b in zip(read, chunk(), strict=True))
    assert trace.length == 5 and trace.metadata == {"program": "hand"}


def test_what_is_written_is_what_is_made_by_hand(tmp_path: Path) -> None:
    with ColumnarWriter(tmp_path / "a.mmt", {"program": "hand"}) as writer:
        writer.write(chunk())
    assert (tmp_path / "a.mmt").read_bytes() == a_file(0)


def test_every_byte_is_covered_by_a_checksum(tmp_path: Path) -> None:
    data = a_file(0)
    unused = {20, 21, 22, 23}  # the header's padding
    for at in set(range(len(data))) - unused:
        damaged = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        (tmp_path / "a.mmt").write_bytes(damaged)
        with pytest.raises(InputError):
            list(workloads.open_trace(tmp_path / "a.mmt").chunks())
