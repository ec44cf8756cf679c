"""Reading traces: exact, whatever the chunks and blocks; bad input is one sentence."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import (
    BRK,
    EVENT,
    EXIT,
    FETCH,
    FORK,
    KERNEL,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    STORE,
    SWITCH,
    Chunk,
)
from mmulab.workloads.formats import Options, lackey, text
from mmulab.workloads.formats.columnar import ColumnarWriter
from mmulab.workloads.streams import ByteStream

Access = tuple[int, int, int]  # address, kind, size


def accesses(chunks: list[Chunk]) -> list[Access]:
    return [
        (int(a), int(k), int(s))
        for chunk in chunks
        for a, k, s in zip(chunk.address, chunk.kind, chunk.size, strict=True)
    ]


def events(chunks: list[Chunk]) -> list[tuple[int, ...]]:
    """(position in the whole trace, kind, pid, start, length, value)"""
    found = []
    before = 0
    for chunk in chunks:
        for event in chunk.events.tolist():
            found.append((event[0] + before, *event[1:]))
        before += chunk.accesses
    return found


def read_all(path: Path, **options: object) -> list[Chunk]:
    return list(workloads.open_trace(path, **options).chunks())  # type: ignore[arg-type]


LACKEY = b"""==77== Lackey, an example Valgrind tool
==77== Command: true
I  0401ab70,3
 S 1fff000758,8
 L 04025e38,16
 M 1fff000010,4
SYSCALL[77,1](12) sys_brk ( 0x0 ) --> [pre-success] Success(0x4035000)
SYSCALL[77,1](9) sys_mmap ( 0x0, 8191, 3, 34, 4294967295, 0 ) --> [pre-success] Success(0x4835000)
I  0401ab73,5
SYSCALL[77,1](9) sys_mmap ( 0x0, 4096, 3, 34, 4294967295, 0 ) --> [pre-success] Failure(0xc)
SYSCALL[77,1](10) sys_mprotect ( 0x4835000, 4096, 1 )[sync] --> Success(0x0)
SYSCALL[77,1](57) sys_fork ( ) --> [async] ...
SYSCALL[77,1](57) ... [async] --> Success(0x50)
SYSCALL[77,1](61) sys_wait4 ( -1, 0x1ffeffe0, 0, 0x0 ) --> [async] ...
SYSCALL[77,1](61) ... [async] --> Success(0x50)
SYSCALL[77,1](11) sys_munmap ( 0x4835000, 8192 )[sync] --> Success(0x0)
SYSCALL[77,1](231) sys_exit_group ( 0 )
==77== Exit code:       0
"""


def test_lackey_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.lackey"
    path.write_bytes(LACKEY)
    chunks = read_all(path)
    assert accesses(chunks) == [
        (0x401AB70, FETCH, 3),
        (0x1FFF000758, STORE, 8),
        (0x4025E38, LOAD, 16),
        (0x1FFF000010, LOAD, 4),
        (0x1FFF000010, STORE, 4),
        (0x401AB73, FETCH, 5),
    ]
    assert events(chunks) == [
        (5, BRK, 1, 0x4035000, 0, 0),
        (5, MMAP, 1, 0x4835000, 8192, 3),
        (6, KERNEL, 1, 0, 0, 0),  # an mmap that fails
        (6, MPROTECT, 1, 0x4835000, 4096, 1),
        (6, FORK, 1, 0, 0, 0x50),
        (6, EXIT, 0x50, 0, 0, 0),
        (6, MUNMAP, 1, 0x4835000, 8192, 0),
        (6, EXIT, 1, 0, 0, 0),
    ]


def test_lackey_of_two_processes_switches_where_it_can_be_known(tmp_path: Path) -> None:
    path = tmp_path / "two.lackey"
    path.write_bytes(
        b"SYSCALL[7,1](12) sys_brk ( 0x0 ) --> [pre-success] Success(0x1000)\n L 10,1\n"
        b"SYSCALL[9,1](12) sys_brk ( 0x0 ) --> [pre-success] Success(0x2000)\n L 20,1\n"
        b"SYSCALL[7,1](39) sys_getpid () --> [pre-success] Success(0x7)\n L 30,1\n"
    )
    kinds = [(e[0], e[1], e[2]) for e in events(read_all(path, format="lackey"))]
    assert kinds == [(0, BRK, 1), (1, SWITCH, 9), (1, BRK, 9), (2, SWITCH, 1), (2, KERNEL, 1)]


def test_plain(tmp_path: Path) -> None:
    path = tmp_path / "course.trace"
    path.write_bytes(b"# a course trace\n0041f7a0 R\n\n0x13f5e2c0 W\r\n31348900 r\n401000 I\n")
    assert accesses(read_all(path)) == [
        (0x41F7A0, LOAD, 1),
        (0x13F5E2C0, STORE, 1),
        (0x31348900, LOAD, 1),
        (0x401000, FETCH, 1),
    ]


# --- The same, however it is cut -------------------------------------------------

ACCESS_LINE = st.builds(
    lambda kind, address, size: (kind, address, size),
    st.sampled_from(["I ", " L", " S", " M"]),
    st.integers(0, (1 << 47) - 1),
    st.integers(1, 65535),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(ACCESS_LINE, min_size=1, max_size=60),
    st.integers(1, 64),
    st.integers(2, 50),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
)
def test_lackey_is_read_the_same_in_any_pieces(
    lines: list[Access], block: int, chunk: int, newline: bytes, complete: bool
) -> None:
    data = newline.join(b"%s %08x,%d" % (k.encode(), a, s) for k, a, s in lines)  # type: ignore
    expected: list[Access] = []
    for kind, address, size in lines:
        what = {"I ": [FETCH], " L": [LOAD], " S": [STORE], " M": [LOAD, STORE]}[kind]  # type: ignore
        expected += [(address, k, size) for k in what]
    stream = ByteStream(io.BytesIO(data + (newline if complete else b"")), "text", None)
    before, text.BLOCK = text.BLOCK, block
    try:
        chunks = list(lackey.read(stream, Options(chunk_accesses=chunk)))
    finally:
        text.BLOCK = before
    assert accesses(chunks) == expected
    assert all(c.accesses <= chunk + 1 for c in chunks)


CHUNKS = st.lists(
    st.lists(
        st.tuples(st.integers(-(1 << 47), (1 << 47) - 1), st.integers(0, 2), st.integers(1, 65535)),
        max_size=30,
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@settings(max_examples=60, deadline=None)
@given(contents=CHUNKS, data=st.data())
def test_columnar_round_trip(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, contents: list, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("mmt") / f"a.mmt{suffix}"
    chunks = []
    for rows in contents:
        columns = [np.array(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
        positions = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
        happened = np.array([(p, 0, 1, 4096, 8192, 3) for p in positions], EVENT)
        chunks.append(
            Chunk(
                np.array(columns[0], np.int64),
                np.array(columns[1], np.uint8),
                np.array(columns[2], np.uint16),
                happened,
            )
        )
    with ColumnarWriter(path, {"program": "test"}) as writer:
        for chunk in chunks:
            writer.write(chunk)
    total = sum(chunk.accesses for chunk in chunks)
    if not total:
        with pytest.raises(InputError, match="no memory accesses"):
            read_all(path)
        return
    back = read_all(path)
    assert accesses(back) == accesses(chunks)
    assert events(back) == events(chunks)
    if not suffix:
        assert workloads.open_trace(path).length == total


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_compressed_text_is_recognised_by_content(tmp_path: Path, compress: object) -> None:
    path = tmp_path / "no-suffix"
    path.write_bytes(compress(LACKEY))  # type: ignore[operator]
    assert len(accesses(read_all(path))) == 6


def test_the_bundled_trace_is_whole() -> None:
    chunks = read_all(workloads.bundled())
    assert sum(chunk.accesses for chunk in chunks) == 1_500_000
    assert {int(e["kind"]) for chunk in chunks for e in chunk.events} >= {MMAP, BRK}


# --- Bad input ------------------------------------------------------------------


def columnar_bytes() -> bytes:
    return lzma.decompress(workloads.bundled().read_bytes())


def header(metadata: bytes) -> bytes:
    """A columnar file's header, as docs/trace-format.md has it."""
    start = b"MMULABTR" + struct.pack("<II", 2, len(metadata))
    return start + struct.pack("<I4x", zlib.crc32(start + metadata)) + metadata


BAD = {
    "empty": (b"", "is empty"),
    "garbage": (bytes(range(256)) * 20, "not a trace in a known format"),
    "words": (b"hello world\nthis is no trace\n", "not a trace in a known format"),
    "comments": (b"==1== Lackey\n==1== Command\n", "no memory accesses found"),
    "line": (LACKEY + b" L 12z4,8\n", "line 19: expected a lackey line"),
    "size": (b" L 10,8\n L 20,8\n L 30,0\n", "line 3: expected a lackey line"),
    "canonical": (b" L 10,8\n L 8000000000000000,8\n", "line 2: address not canonical in 48 bits"),
    "plain": (b"10 R\n20 W\n30 Q\n", "line 3: expected an address and R or W"),
    "gzip": (gzip.compress(LACKEY)[:-12], "truncated"),
    "gzip-corrupt": (gzip.compress(LACKEY * 99)[:60] + b"\0" * 200, "corrupt|truncated"),
    "xz": (lzma.compress(LACKEY)[:-20], "truncated"),
    "mmt-header": (b"MMULABTR\2\0\0\0", "truncated at byte 12"),
    "mmt-version": (b"MMULABTR" + b"\7\0\0\0" + b"\0" * 40, "version 7"),
    "mmt-json": (header(b"notjson!"), "metadata is not JSON"),
    "mmt-checksum": (header(b"{}      ")[:-1] + b"x", "checksum of the file header"),
    "long-line": (b" L 10,8\n" * 600 + b"x" * 9_000_000, "a line of more than"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file(tmp_path: Path, name: str) -> None:
    data, expected = BAD[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=expected) as caught:
        read_all(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data[:-30], "truncated at byte"),
        (lambda data: data[: len(data) // 2], "truncated at byte"),
        (lambda data: data[:5000] + b"\xff" + data[5001:], "checksum|expected a block"),
    ],
)
def test_bad_columnar_file(tmp_path: Path, change: object, expected: str) -> None:
    path = tmp_path / "bad.mmt"
    path.write_bytes(change(columnar_bytes()))  # type: ignore[operator]
    with pytest.raises(InputError, match=expected):
        read_all(path)


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=1, max_size=400), st.sampled_from(["lackey", "plain", "columnar"]))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    from mmulab.workloads import formats

    try:
        stream = ByteStream(io.BytesIO(data), "fuzz", None)
        list(formats.get(name).read(stream, Options()))
    except InputError as error:
        assert "fuzz" in str(error)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        workloads.resolve(str(tmp_path / "none.trace"))
    with pytest.raises(InputError, match="is a directory"):
        workloads.resolve(str(tmp_path))
    with pytest.raises(InputError, match="did you mean 'gups'"):
        workloads.resolve("gubs")


def test_unknown_format() -> None:
    with pytest.raises(InputError, match="did you mean 'lackey'"):
        workloads.open_trace(workloads.bundled(), format="lacky")
