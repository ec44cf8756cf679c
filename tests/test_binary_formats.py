"""Binary traces are read exactly, however they are cut; writers keep what they say."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from binary_files import (
    ADDRESS,
    ADDRESSES,
    CHAMPSIM,
    CLOUDSUITE,
    CODE,
    DRMEMTRACE,
    DRMEMTRACE_ACCESSES,
    DRMEMTRACE_SWITCHES,
    FIXTURES,
    FOOTER,
    GEM5,
    GEM5_ACCESSES,
    GEM5_HEADER,
    NPY,
    ORACLE,
    VERSION,
    Access,
    Switch,
    detected,
    entry,
    flat,
    message,
    pack64,
    pack96,
    parse,
    request,
    saved,
    signed,
    zipped,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import EVENT, FETCH, LOAD, STORE, SWITCH, Chunk
from mmulab.workloads import formats
from mmulab.workloads.formats import Options, champsim, cloudsuite, npy, oracle, records
from mmulab.workloads.formats.columnar import ColumnarWriter
from mmulab.workloads.streams import ByteStream


@pytest.fixture(params=[13, 100, records.BLOCK])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that are read at a time: small, so that records lie across blocks."""
    monkeypatch.setattr(records, "BLOCK", request.param)
    return request.param


# --- ChampSim and Cloudsuite ----------------------------------------------------------


@st.composite
def instruction(draw: st.DrawFn) -> tuple[int, list[int], list[int], int]:
    """ip, load slots, store slots (0: unused), ASID"""
    slot = st.just(0) | ADDRESS
    return (
        draw(ADDRESS),
        draw(st.lists(slot, min_size=4, max_size=4)),
        draw(st.lists(slot, min_size=4, max_size=4)),
        draw(st.integers(0, 3)),
    )


def expected_of(program: list, slots: int) -> tuple[list[Access], list[Switch]]:
    accesses: list[Access] = []
    switches: list[Switch] = []
    before = -1
    for ip, loads, stores, asid in program:
        if slots == 4 and before != asid + 256:
            before = asid + 256
            switches.append((len(accesses), before, 0))
        accesses.append((signed(ip), FETCH, 1))
        accesses += [(signed(a), LOAD, 1) for a in loads if a]
        accesses += [(signed(a), STORE, 1) for a in stores[:slots] if a]
    return accesses, switches


@settings(max_examples=60, deadline=None)
@given(st.lists(instruction(), min_size=1, max_size=40), st.integers(1, 50))
def test_champsim_records_are_read_in_order(program: list, chunk: int) -> None:
    data = b"".join(pack64(*one) for one in program)
    assert parse("champsim", data, chunk) == expected_of(program, 2)
    data = b"".join(pack96(*one) for one in program)
    assert parse("cloudsuite", data, chunk) == expected_of(program, 4)


def test_champsim_across_blocks(block: int) -> None:
    assert parse("champsim", CHAMPSIM) == expected_of(CODE, 2)
    assert parse("cloudsuite", CLOUDSUITE) == expected_of(CODE, 4)


# --- DynamoRIO ------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_drmemtrace_record_by_record(chunk: int, block: int) -> None:
    assert parse("drmemtrace", DRMEMTRACE, chunk) == (DRMEMTRACE_ACCESSES, DRMEMTRACE_SWITCHES)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_drmemtrace_in_a_zip_of_chunks(tmp_path: Path, method: int) -> None:
    path = tmp_path / "drmemtrace.app.1.trace.zip"
    chunk_footer = entry(28, 21, 0)
    first, second = DRMEMTRACE[: 12 * 9] + chunk_footer, DRMEMTRACE[12 * 9 :]
    path.write_bytes(zipped(first, second, method=method))
    trace = workloads.open_trace(path)
    assert flat(list(trace.chunks())) == (DRMEMTRACE_ACCESSES, DRMEMTRACE_SWITCHES)
    assert detected(path.read_bytes()) == ["drmemtrace"]


def test_drmemtrace_in_gz_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "drmemtrace.app.1.trace.gz"
    path.write_bytes(gzip.compress(DRMEMTRACE))
    assert flat(list(workloads.open_trace(path).chunks()))[0] == DRMEMTRACE_ACCESSES


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 10, 11, 12, 13, 14, 15, 16, 31, 48, 49, 2, 9, 28, 47]),
            st.integers(1, 65535),
            st.integers(0, (1 << 47) - 1),
        ),
        max_size=60,
    ),
    st.integers(1, 20),
)
def test_drmemtrace_of_any_records(rows: list, chunk: int) -> None:
    kinds = {0: LOAD, 1: STORE, 2: None, 9: None, 28: None, 47: None}
    expected = [(v, kinds.get(t, FETCH), s) for t, s, v in [(0, 8, 64), *rows]]
    data = VERSION + entry(22, 4, 9) + entry(24, 4, 8) + entry(0, 8, 64)
    data += b"".join(entry(*row) for row in rows) + FOOTER
    accesses, switches = parse("drmemtrace", data, chunk)
    assert accesses == [row for row in expected if row[1] is not None]
    assert switches == [(0, 8, 9)]


# --- libCacheSim ----------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=50), st.integers(1, 60))
def test_oracle_objects_are_pages(objects: list[int], chunk: int) -> None:
    data = b"".join(request(1, each, 9, -1) for each in objects)
    pages = [each % (1 << (48 - 1 - 12)) for each in objects]
    assert parse("oracle", data, chunk) == ([(4096 * page, LOAD, 1) for page in pages], [])


def test_oracle_across_blocks(block: int) -> None:
    assert len(parse("oracle", ORACLE, 9)[0]) == 200


# --- gem5 -----------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_gem5_packet_by_packet(chunk: int, block: int) -> None:
    assert parse("gem5", GEM5, chunk) == (GEM5_ACCESSES, [])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            ADDRESS, st.sampled_from([1, 4]), st.integers(1, 65535), st.permutations(range(7))
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 30),
)
def test_gem5_fields_in_any_order(packets: list, chunk: int) -> None:
    data = GEM5_HEADER
    for address, command, size, order in packets:
        fields = [(1, 5), (2, command), (3, address), (4, size), (5, 0), (6, 1 << 60), (7, 9)]
        data += message(*(fields[index] for index in order))
    kinds = {1: LOAD, 4: STORE}
    expected = [(signed(a), kinds[command], size) for a, command, size, _ in packets]
    assert parse("gem5", data, chunk) == (expected, [])


# --- NumPy ----------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("dtype", ["<i8", ">i8", "<u8", "<u4", "<i4", "<u2"])
def test_npy_of_addresses(tmp_path: Path, dtype: str, plain: bool) -> None:
    values = np.array([0, 7, 40000, 3], dtype)
    if dtype.endswith("8"):
        values = np.append(values, np.array([-4096], np.int64).view(np.uint64).astype(dtype))
    path = tmp_path / "a.npy"
    path.write_bytes(saved(values) if plain else gzip.compress(saved(values)))
    trace = workloads.open_trace(path, chunk_accesses=2)
    assert trace.length == (len(values) if plain else None)
    assert [a[0] for a in flat(list(trace.chunks()))[0]] == [
        signed(int(v) & ((1 << 64) - 1)) for v in values
    ]


@st.composite
def columns(draw: st.DrawFn) -> dict[str, np.ndarray]:
    count = draw(st.integers(1, 40))

    def column(values: st.SearchStrategy[int], dtype: str) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=count, max_size=count)), dtype)

    chosen = {"address": column(st.integers(-(1 << 47), (1 << 47) - 1), "<i8")}
    for name, values, dtype in (
        ("kind", st.integers(0, 2), "u1"),
        ("size", st.integers(1, 65535), "<u4"),
        ("pid", st.integers(1, 3), "<i4"),
        ("tid", st.integers(0, 2), "<u8"),
    ):
        if draw(st.booleans()):
            chosen[name] = column(values, dtype)
    return chosen


def expected_of_columns(given_: dict[str, np.ndarray]) -> tuple[list[Access], list[Switch]]:
    count = len(given_["address"])
    defaults = {"kind": LOAD, "size": 1, "pid": 1, "tid": 0}
    full = {
        name: given_[name].tolist() if name in given_ else [defaults[name]] * count
        for name in ("address", *defaults)
    }
    switches = []
    before = (1, 0)
    for index, who in enumerate(zip(full["pid"], full["tid"], strict=True)):
        if who != before:
            switches.append((index, *who))
            before = who
    return list(zip(full["address"], full["kind"], full["size"], strict=True)), switches


@settings(max_examples=80, deadline=None)
@given(given_=columns(), chunk=st.integers(1, 50), pack=st.booleans())
def test_npy_of_columns(
    tmp_path_factory: pytest.TempPathFactory, given_: dict, chunk: int, pack: bool
) -> None:
    path = tmp_path_factory.mktemp("npy") / "a"
    if pack:
        with open(path, "wb") as file:
            np.savez_compressed(file, **given_)
    else:
        dtype = np.dtype([(name, column.dtype) for name, column in given_.items()])
        rows = np.empty(len(given_["address"]), dtype)
        for name, column in given_.items():
            rows[name] = column
        np.save(open(path, "wb"), rows)  # noqa: SIM115
    trace = workloads.open_trace(path, chunk_accesses=chunk)
    assert flat(list(trace.chunks())) == expected_of_columns(given_)


def test_npz_of_a_lone_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, ADDRESSES)
    assert [a[0] for a in flat(list(workloads.open_trace(path).chunks()))[0]] == ADDRESSES.tolist()
    assert detected(path.read_bytes()) == ["npy"]


def test_a_plain_npy_is_mapped_and_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(NPY)
    (chunk,) = workloads.open_trace(path).chunks()
    owner = chunk.address
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert not chunk.address.flags.owndata
    assert isinstance(owner, np.memmap)


# --- Losslessly into the columnar file, and writers -------------------------------------


@pytest.mark.parametrize("name", FIXTURES)
def test_columnar_keeps_everything(name: str, tmp_path: Path) -> None:
    stream = ByteStream(io.BytesIO(FIXTURES[name]), name, None)
    chunks = list(formats.get(name).read(stream, Options(chunk_accesses=7)))
    with ColumnarWriter(tmp_path / "a.mmt", {}) as writer:
        for chunk in chunks:
            writer.write(chunk)
    assert flat(list(workloads.open_trace(tmp_path / "a.mmt").chunks())) == flat(chunks)


@st.composite
def some_chunks(draw: st.DrawFn) -> list[Chunk]:
    made = []
    for _ in range(draw(st.integers(1, 3))):
        rows = draw(
            st.lists(st.tuples(ADDRESS, st.integers(0, 2), st.integers(1, 65535)), max_size=40)
        )
        positions = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
        switches = [
            (p, SWITCH, draw(st.integers(1, 3)), 0, 0, draw(st.integers(0, 2))) for p in positions
        ]
        made.append(
            Chunk(
                np.array([signed(row[0]) for row in rows], np.int64),
                np.array([row[1] for row in rows], np.uint8),
                np.array([row[2] for row in rows], np.uint16),
                np.array(switches, EVENT),
            )
        )
    return made


def owners(chunks: list[Chunk], first: int) -> list[tuple[int, int]]:
    """Process and thread of every access."""
    accesses, switches = flat(chunks)
    found = []
    who = (first, 0)
    for index in range(len(accesses)):
        for position, pid, tid in switches:
            if position == index:
                who = (pid, tid)
        found.append(who)
    return found


@settings(max_examples=80, deadline=None)
@given(some_chunks())
def test_writers_keep_what_they_say_they_hold(chunks: list[Chunk]) -> None:
    accesses, _ = flat(chunks)
    if not accesses:
        return
    for module in (champsim, cloudsuite, npy):
        file = io.BytesIO()
        module.write(file, iter(chunks))
        stream = ByteStream(io.BytesIO(file.getvalue()), "back", None)
        back = list(module.read(stream, Options(chunk_accesses=11)))
        holds = module.HOLDS
        found, _ = flat(back)
        assert [a[:2] for a in found] == [a[:2] for a in accesses]
        assert ("size" in holds) == (module is npy)
        if "size" in holds:
            assert found == accesses
        if "process" in holds:
            assert [o[0] for o in owners(back, 1)] == [o[0] for o in owners(chunks, 1)]
        if "thread" in holds:
            assert owners(back, 1) == owners(chunks, 1)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=30), min_size=1, max_size=4), st.integers(1, 12)
)
def test_oracle_writes_the_next_request_of_each_page(pages: list[list[int]], piece: int) -> None:
    chunks = []
    for some in pages:
        address = np.array(some, np.int64) * 4096 + 5
        kind = np.full(len(some), STORE, np.uint8)
        chunks.append(Chunk(address, kind, np.ones(len(some), np.uint16), np.zeros(0, EVENT)))
    whole = [page for some in pages for page in some]
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oracle, "_PIECE", piece)
        oracle.write(file, chunks)
    expected = [
        (0, page, 4096, whole.index(page, at + 1) + 1 if page in whole[at + 1 :] else -1)
        for at, page in enumerate(whole)
    ]
    assert list(struct.iter_unpack("<IQIq", file.getvalue())) == expected


def test_champsim_has_no_address_0() -> None:
    chunk = Chunk(
        np.zeros(1, np.int64), np.zeros(1, np.uint8), np.ones(1, np.uint16), np.zeros(0, EVENT)
    )
    with pytest.raises(InputError, match="address 0"):
        champsim.write(io.BytesIO(), [chunk])
