"""The columnar file byte for byte, from docs/trace-format.md, without its own code."""

from __future__ import annotations

import gzip
import json
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import COLUMNS, CONTENT, EVENT, FETCH, KERNEL, MMAP, SWITCH, Chunk
from mmulab.workloads.formats.columnar import ColumnarWriter

ADDRESSES = [0x7F0000001000, 0x401000, 0x7F0000001008, -4096, 0x401004]
KINDS = [0, 2, 1, 0, 2]
SIZES = [8, 4, 8, 1, 3]
EVENTS = [
    (0, MMAP, 1, 0x7F0000000000, 1 << 21, 3 | 2 << 8),
    (2, SWITCH, 7, 0, 0, 99),
    (3, KERNEL, 7, 0, 0, 0),
    (5, CONTENT, 7, 0x7F0000001000, 4096, -5),
]
IPS = [0x401136, 0x401000, 0x401136, 0, -4096]
DEPENDS = [65535, 0, 2, 65534, 0]
DEVICES = [0, 0, 3, 255, 0]


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def delta(addresses: list[int], kinds: list[int]) -> bytes:
    """The DELTA encoding, one address at a time."""
    last = {0: 0, 1: 0, 2: 0}
    folded = []
    for address, kind in zip(addresses, kinds, strict=True):
        d = address - last[kind]
        last[kind] = address
        folded.append((2 * d if d >= 0 else -2 * d - 1) & ((1 << 64) - 1))
    return b"".join(bytes((f >> (8 * plane)) & 0xFF for f in folded) for plane in range(8))


def record(form: str, *fields: object) -> bytes:
    head = struct.pack(form, *fields)
    return head + struct.pack("<I", zlib.crc32(head))


def column(name: bytes, encoding: int, data: bytes) -> bytes:
    data = pad(data)
    return record("<4sI16sQI", b"COLM", encoding, name, len(data), zlib.crc32(data)) + data


def optional(encoding: int) -> list[bytes]:
    """The optional columns, and two that nobody knows."""
    ip = struct.pack("<5q", *IPS) if encoding == 0 else delta(IPS, [0] * 5)
    return [
        column(b"later", 9, b"what it means is not known"),
        column(b"ip", encoding, ip),
        column(b"depends", 0, struct.pack("<5H", *DEPENDS)),
        column(b"sixteen letters.", 0, b""),
        column(b"device", 0, bytes(DEVICES)),
    ]


def a_file(encoding: int, columns: list[bytes], version: int = 3) -> bytes:
    metadata = json.dumps({"program": "hand"}).encode()
    metadata += b" " * (-len(metadata) % 8)
    start = b"MMULABTR" + struct.pack("<II", version, len(metadata))
    out = start + struct.pack("<I4x", zlib.crc32(start + metadata)) + metadata
    address = struct.pack("<5q", *ADDRESSES) if encoding == 0 else delta(ADDRESSES, KINDS)
    payload = address + b"".join(struct.pack("<6q", *event) for event in EVENTS)
    payload += pad(struct.pack("<5H", *SIZES)) + pad(bytes(KINDS))
    out += record(
        "<4sHHQQQI", b"BLCK", encoding, len(columns), 5, len(EVENTS), len(payload),
        zlib.crc32(payload),
    )  # fmt: skip
    out += payload + b"".join(columns)
    return out + record("<4sIQQQI", b"END.", version, 5, 1, 0, 0)


def chunk() -> Chunk:
    return Chunk(
        np.array(ADDRESSES), np.array(KINDS, np.uint8), np.array(SIZES, np.uint16),
        np.array(EVENTS, EVENT),
    )  # fmt: skip


def full() -> Chunk:
    return chunk()._replace(
        ip=np.array(IPS), depends=np.array(DEPENDS, np.uint16), device=np.array(DEVICES, np.uint8)
    )


def same(a: Chunk, b: Chunk) -> bool:
    """All columns and events, and none that only one of them has."""
    return all(
        mine is yours or (mine.dtype == yours.dtype and np.array_equal(mine, yours))
        for mine, yours in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("encoding", [0, 1])
@pytest.mark.parametrize("version", [2, 3])
def test_a_file_made_by_hand_is_read(encoding: int, version: int, tmp_path: Path) -> None:
    (tmp_path / "a.mmt").write_bytes(a_file(encoding, [], version))
    trace = workloads.open_trace(tmp_path / "a.mmt")
    assert [same(read, chunk()) for read in trace.chunks(COLUMNS)] == [True]
    assert trace.length == 5 and trace.metadata == {"program": "hand"}


@pytest.mark.parametrize("suffix", ["", ".xz"])
def test_a_file_that_version_2_wrote_is_read(suffix: str) -> None:
    old = Path(__file__).parents[2] / f"data/version-2.mmt{suffix}"
    events = np.array([event for event in EVENTS if event[1] != KERNEL], EVENT)
    first, second = workloads.open_trace(old).chunks(COLUMNS)
    assert same(first, chunk()._replace(events=events))
    assert second.address.tolist() == [0x1000] and not len(second.events)


@pytest.mark.parametrize("encoding", [0, 1])
def test_optional_columns_are_read_where_they_are_wanted(encoding: int, tmp_path: Path) -> None:
    (tmp_path / "a.mmt").write_bytes(a_file(encoding, optional(encoding)))
    trace = workloads.open_trace(tmp_path / "a.mmt")
    assert [same(read, full()) for read in trace.chunks(COLUMNS)] == [True]
    assert [same(read, chunk()) for read in trace.chunks()] == [True]
    (read,) = trace.chunks(["depends", "later"])
    assert same(read, chunk()._replace(depends=full().depends))


def test_what_is_written_is_what_is_made_by_hand(tmp_path: Path) -> None:
    for number, (written, columns) in enumerate([(chunk(), []), (full(), KNOWN)]):
        path = tmp_path / f"{number}.mmt"
        with ColumnarWriter(path, {"program": "hand"}) as writer:
            writer.write(written)
        assert path.read_bytes() == a_file(0, columns)


KNOWN = [optional(0)[at] for at in (1, 2, 4)]


def test_every_byte_is_covered_by_a_checksum(tmp_path: Path) -> None:
    data = a_file(0, KNOWN)
    unused = {20, 21, 22, 23}  # the header's padding
    for at in set(range(len(data))) - unused:
        damaged = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        (tmp_path / "a.mmt").write_bytes(damaged)
        with pytest.raises(InputError):
            list(workloads.open_trace(tmp_path / "a.mmt").chunks(COLUMNS))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_that_ends_early_is_truncated(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.mmt{suffix}"
    data = a_file(0, optional(0))
    for length in range(24, len(data)):
        path.write_bytes(gzip.compress(data[:length], 0) if suffix else data[:length])
        for columns in (COLUMNS, ()):
            with pytest.raises(InputError, match="truncated"):
                list(workloads.open_trace(path).chunks(columns))


@pytest.mark.parametrize(
    "bad",
    [
        column(b"ip", 2, bytes(40)),
        column(b"depends", 1, bytes(40)),
        column(b"ip", 0, bytes(32)),
        column(b"device", 0, bytes(16)),
    ],
)
def test_a_column_that_cannot_be_is_refused(bad: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mmt").write_bytes(a_file(0, [bad]))
    trace = workloads.open_trace(tmp_path / "a.mmt")
    with pytest.raises(InputError, match="of an unknown encoding or an impossible size"):
        list(trace.chunks(COLUMNS))
    assert [same(read, chunk()) for read in trace.chunks()] == [True]


def test_events_of_kinds_that_nobody_knows_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "EVENTS", [*EVENTS, (5, KERNEL + 1, 7, 1, 2, 3)])
    (tmp_path / "a.mmt").write_bytes(a_file(0, []))
    (read,) = workloads.open_trace(tmp_path / "a.mmt").chunks()
    assert read.events.tolist() == EVENTS[:-1]


# --- There and back ---------------------------------------------------------------------

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


def array(draw: st.DrawFn, values: st.SearchStrategy[int], count: int, dtype: str) -> np.ndarray:
    return np.array(draw(st.lists(values, min_size=count, max_size=count)), dtype)


@st.composite
def a_chunk(draw: st.DrawFn) -> Chunk:
    count = draw(st.integers(0, 40))
    half = 1 << 47
    optional_ = {
        name: array(draw, INT64 if name == "ip" else st.integers(0, 255), count, str(dtype))
        for name, dtype in COLUMNS.items()
        if draw(st.booleans())
    }
    rows = draw(st.lists(st.tuples(st.integers(0, KERNEL), INT64, INT64, INT64, INT64), max_size=5))
    places = sorted(draw(st.integers(0, count)) for _ in rows)
    events = [(place, *row) for place, row in zip(places, rows, strict=True)]
    return Chunk(
        array(draw, st.integers(-half, half - 1), count, "i8"),
        array(draw, st.integers(0, FETCH), count, "u1"),
        array(draw, st.integers(1, 65535), count, "u2"),
        np.array(events, EVENT),
        **optional_,
    )


@settings(deadline=None, max_examples=150)
@given(st.lists(a_chunk(), min_size=1, max_size=4), st.sampled_from(["", ".gz"]))
def test_what_is_written_comes_back(chunks: list[Chunk], suffix: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"a.mmt{suffix}"
        with ColumnarWriter(path, {}) as writer:
            for each in chunks:
                writer.write(each)
        trace = workloads.open_trace(path)
        if not any(each.accesses for each in chunks):
            with pytest.raises(InputError, match="no memory accesses"):
                list(trace.chunks())
            return
        back = list(trace.chunks(COLUMNS))
        assert len(back) == len(chunks) and all(map(same, chunks, back))
        plain = [Chunk(*each[:4]) for each in chunks]
        assert all(map(same, plain, trace.chunks()))
