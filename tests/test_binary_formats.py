"""Binary trace formats, from bytes that the tests pack by each format's specification."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_text_formats import accesses, switches

import workloads
from mmu.errors import InputError
from mmu.trace import FETCH, LOAD, STORE
from workloads import formats
from workloads.formats.columnar import ColumnarWriter

L, S, F = LOAD, STORE, FETCH


def champsim(ip: int, stores: list[int], loads: list[int]) -> bytes:
    stores, loads = stores + [0] * (2 - len(stores)), loads + [0] * (4 - len(loads))
    return struct.pack("<QBB2B4B2Q4Q", ip, 0, 0, 1, 2, 3, 4, 5, 6, *stores, *loads)


def cloudsuite(ip: int, stores: list[int], loads: list[int], asid: int) -> bytes:
    stores, loads = stores + [0] * (4 - len(stores)), loads + [0] * (4 - len(loads))
    return struct.pack(
        "<QBB4B4B6x4Q4QBB6x", ip, 1, 1, *range(4), *range(4), *stores, *loads, asid, 0
    )


def entry(kind: int, size: int, value: int) -> bytes:
    return struct.pack("<HHQ", kind, size, value)


def varint(number: int) -> bytes:
    out = b""
    while True:
        number, low = number >> 7, number & 0x7F
        if not number:
            return out + bytes([low])
        out += bytes([low | 0x80])


def packet(command: int, address: int, size: int, flags: int | None = None) -> bytes:
    body = b"\x08" + varint(1000) + b"\x10" + varint(command) + b"\x18" + varint(address)
    body += b"\x20" + varint(size)
    if flags is not None:
        body += b"\x28" + varint(flags)
    body += b"\x38" + varint(0x401000)  # pc
    return varint(len(body)) + body


_HEADER = b"\x0a\x03cpu\x18" + varint(10**12) + b"\x22\x06\x08\x01\x12\x02xx"

CHAMPSIM = champsim(0x401000, [0x7FFE1008], [0x7FFE1000, 0x601000]) + champsim(0x401004, [], [])
CLOUDSUITE = cloudsuite(0x401000, [0x7000], [0x6000], 0) + cloudsuite(0x401010, [], [], 3)
DRMEM = (
    entry(25, 0, 3) + entry(22, 4, 77) + entry(24, 4, 70) + entry(28, 0, 9)
    + entry(47, 3, 0xE78948) + entry(10, 3, 0x401000) + entry(0, 8, 0x7FFE1000)
    + entry(17, 2, 0x0504) + entry(22, 4, 78) + entry(1, 4, 0x7FFE2000) + entry(26, 0, 0)
)  # fmt: skip
GEM5 = (
    b"gem5" + varint(len(_HEADER)) + _HEADER + packet(1, 0x80001000, 8)
    + packet(2, 0x80001000, 8) + packet(4, 0x80002000, 4, 0) + packet(1, 0x80003000, 4, 0x100)
)  # fmt: skip
ORACLE = b"".join(
    struct.pack("<IQIq", time, identity, 512, later)
    for time, identity, later in ((1, 5, 3), (1, 9, -1), (2, 5, -1))
)

CASES = {
    "champsim": (CHAMPSIM, [(0x401000, F, 4), (0x7FFE1000, L, 8), (0x601000, L, 8),
                            (0x7FFE1008, S, 8), (0x401004, F, 4)], []),
    "cloudsuite": (CLOUDSUITE, [(0x401000, F, 4), (0x6000, L, 8), (0x7000, S, 8),
                                (0x401010, F, 4)], [(3, 4, 0)]),
    "drmemtrace": (DRMEM, [(0x401000, F, 3), (0x7FFE1000, L, 8), (0x401003, F, 4),
                           (0x401007, F, 5), (0x7FFE2000, S, 4)], [(0, 70, 77), (4, 70, 78)]),
    "gem5": (GEM5, [(0x80001000, L, 8), (0x80002000, S, 4), (0x80003000, F, 4)], []),
    "oracle": (ORACLE, [(5 << 12, L, 1), (9 << 12, L, 1), (5 << 12, L, 1)], []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_read_back_exactly_and_detected(name: str, tmp_path: Path) -> None:
    content, expected, changes = CASES[name]
    path = tmp_path / "trace"
    path.write_bytes(content)
    assert formats.detect(workloads.streams.open_stream(str(path))).NAME == name
    assert accesses(workloads.open_trace(path)) == expected
    assert switches(workloads.open_trace(path, name)) == changes


@pytest.mark.parametrize("name", CASES)
def test_round_trip_through_the_columnar_file(name: str, tmp_path: Path) -> None:
    content, expected, changes = CASES[name]
    (tmp_path / "a").write_bytes(content)
    with ColumnarWriter(tmp_path / "b.mmt.zst", {}) as writer:
        for chunk in workloads.open_trace(tmp_path / "a").chunks():
            writer.write(chunk)
    assert accesses(workloads.open_trace(tmp_path / "b.mmt.zst")) == expected
    assert switches(workloads.open_trace(tmp_path / "b.mmt.zst")) == changes


@pytest.mark.parametrize("name", CASES)
def test_a_cut_off_record_names_the_byte(name: str, tmp_path: Path) -> None:
    content = CASES[name][0][:-3]
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(InputError, match=f"truncated at byte {len(content):,}"):
        accesses(workloads.open_trace(tmp_path / "t", name))


ADDRESS = st.integers(1, (1 << 47) - 1)


INSTRUCTION = st.tuples(ADDRESS, st.lists(ADDRESS, max_size=2), st.lists(ADDRESS, max_size=4))


@given(rows=st.lists(INSTRUCTION, min_size=1, max_size=20))
@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
def test_any_champsim_records(rows: list[tuple[int, list[int], list[int]]], tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"".join(champsim(*row) for row in rows))
    expected = []
    for ip, stores, loads in rows:
        expected += [(ip, F, 4), *((a, L, 8) for a in loads), *((a, S, 8) for a in stores)]
    assert accesses(workloads.open_trace(tmp_path / "t", "champsim")) == expected


@given(rows=st.lists(st.tuples(st.sampled_from([1, 4]), ADDRESS, st.integers(1, 64)), min_size=1))
@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
def test_any_gem5_packets(rows: list[tuple[int, int, int]], tmp_path: Path) -> None:
    data = b"gem5" + varint(len(_HEADER)) + _HEADER + b"".join(packet(*row) for row in rows)
    (tmp_path / "t").write_bytes(data)
    expected = [(a, L if c == 1 else S, s) for c, a, s in rows]
    assert accesses(workloads.open_trace(tmp_path / "t", None, 48, 3)) == expected


def test_drmemtrace_in_a_zip_of_chunks(tmp_path: Path) -> None:
    path = tmp_path / "drmemtrace.app.77.zip"
    half = 6 * 12
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("chunk.0000", DRMEM[:half])
        archive.writestr("chunk.0001", DRMEM[half:])
    assert accesses(workloads.open_trace(path)) == CASES["drmemtrace"][1]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="corrupt .zip"):
        accesses(workloads.open_trace(path, "drmemtrace"))


def test_numpy_files(tmp_path: Path) -> None:
    address = np.array([0x1000, 0x2000, 0x3FFF], np.uint64)
    np.save(tmp_path / "a.npy", address)
    trace = workloads.open_trace(tmp_path / "a.npy")
    assert trace.length == 3
    assert accesses(trace) == [(0x1000, L, 1), (0x2000, L, 1), (0x3FFF, L, 1)]
    columns = {"address": address, "kind": np.array([0, 1, 2]), "size": np.array([8, 4, 2]),
               "pid": np.array([1, 1, 2])}  # fmt: skip
    np.savez_compressed(tmp_path / "b.npz", **columns)
    trace = workloads.open_trace(tmp_path / "b.npz", None, 48, 2)
    assert accesses(trace) == [(0x1000, L, 8), (0x2000, S, 4), (0x3FFF, F, 2)]
    assert switches(workloads.open_trace(tmp_path / "b.npz")) == [(2, 2, 0)]
    records = np.zeros(2, [("address", "<i8"), ("kind", "u1")])
    records["address"], records["kind"] = [16, 32], [1, 0]
    np.save(tmp_path / "c.npy", records)
    assert accesses(workloads.open_trace(tmp_path / "c.npy")) == [(16, S, 1), (32, L, 1)]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1.5]), "float64"),
        (np.zeros((2, 2), np.int64), "2 dimensions"),
        (np.array([object()]), "not a NumPy file"),
        (np.zeros(0, np.int64), "no memory accesses"),
        (np.array([1 << 50]), "not canonical"),
    ],
)
def test_numpy_files_that_are_no_traces(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        accesses(workloads.open_trace(tmp_path / "a.npy"))


PERF = (
    b"sort  4242/4243 [001]   123.456789:          1 page-faults:     7f12a000 401020 main+0x10\n"
    b"two words 7 5.5:  cpu/mem-stores/P:  7ffe1000\n"
)


def test_perf_script(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(PERF)
    trace = workloads.open_trace(tmp_path / "t")
    assert formats.detect(workloads.streams.open_stream(str(tmp_path / "t"))).NAME == "perf"
    assert accesses(trace) == [(0x7F12A000, L, 1), (0x7FFE1000, S, 1)]
    assert switches(workloads.open_trace(tmp_path / "t")) == [(0, 4242, 4243), (1, 7, 0)]
    (tmp_path / "t").write_bytes(PERF + b"nonsense\n")
    with pytest.raises(InputError, match="line 3: expected a sample"):
        accesses(workloads.open_trace(tmp_path / "t", "perf"))


def test_perf_script_of_a_real_run() -> None:
    """`perf record -d -e page-faults -c 1 ls`, `perf script -F comm,pid,tid,time,event,addr,ip`,
    of which the first 40 lines."""
    path = Path(__file__).parent / "data" / "perf.txt"
    rows = accesses(workloads.open_trace(path))
    expected = [int(line.split()[4], 16) for line in path.read_text().splitlines()]
    assert [address for address, _, _ in rows] == expected
    assert len(switches(workloads.open_trace(path))) == 1


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from([*sorted(CASES), "perf", "arrays", "columnar"]),
    edits=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=9)), max_size=4),
    cut=st.integers(0, 2000),
)
def test_any_bytes_give_accesses_or_an_input_error(
    name: str, edits: list[tuple[int, bytes]], cut: int, tmp_path: Path
) -> None:
    content = CASES[name][0] if name in CASES else _made(name, tmp_path)
    for position, replacement in edits:
        position %= len(content) + 1
        content = content[:position] + replacement + content[position + len(replacement) :]
    content = content[: len(content) - cut % 7]
    path = tmp_path / "fuzzed"
    path.write_bytes(content)
    try:
        for chunk in workloads.open_trace(path, name, 48, 64).chunks():
            assert (chunk.address >> 47 == chunk.address >> 63).all()
            assert (chunk.size > 0).all() and (chunk.kind <= FETCH).all()
            assert (np.diff(chunk.events["position"]) >= 0).all()
    except InputError as error:
        assert str(path) in str(error)


def _made(name: str, directory: Path) -> bytes:
    if name == "perf":
        return PERF
    path = directory / ("a.npz" if name == "arrays" else "a.mmt")
    if name == "arrays":
        np.savez(path, address=np.arange(4), kind=np.zeros(4, np.uint8))
    else:
        with ColumnarWriter(path, {"tool": "test"}) as writer:
            for chunk in workloads.open_trace(workloads.bundled()).chunks():
                first = chunk.events[chunk.events["position"] == 0]
                writer.write(chunk._replace(
                    address=chunk.address[:5], kind=chunk.kind[:5], size=chunk.size[:5],
                    events=first,
                ))  # fmt: skip
                break
    return path.read_bytes()
