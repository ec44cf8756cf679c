"""Text trace formats that are columns: each read back exactly, detected, and fuzzed.

The lines are written here from each format's specification, which the format's file names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drivers.text_files import (
    COURSE,
    DECIMAL,
    DIN,
    DRVIEW,
    EXECLOG,
    OSTEP,
    PERF,
    PIN,
    QEMU,
    TABLE,
    VPN,
    XDIN,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import FETCH, LOAD, STORE, SWITCH
from mmulab.workloads import formats
from mmulab.workloads.formats.columnar import ColumnarWriter

pytestmark = pytest.mark.filterwarnings("ignore::mmulab.mmu.errors.Notice")

L, S, F = LOAD, STORE, FETCH

# format, text, (address, kind, size) of each access, (position, pid, tid) of each switch
CASES = {
    "din": ("din", DIN, [(0x401020, F, 1), (0x7FFE1000, L, 1), (0x7FFE1008, S, 1), (16, L, 1)], []),
    "pinatrace": ("pinatrace", PIN, [(0x7FFE1000, L, 1), (0x7FFE1008, S, 1)], []),
    "course": ("plain", COURSE,
               [(0x41F7A0, L, 1), (0x13F5E2C0, S, 1), (0x7FFF00000000, L, 1)], []),
    "decimal": ("decimal", DECIMAL,
                [(n, L, 1) for n in (16916, 62493, 30198, 53683, 40185, 65537)], []),
    "ostep": ("pages", OSTEP, [(n << 12, L, 1) for n in (0, 1, 2, 0, 7)], []),
    "list": ("pages", b"7,0,1\n2\n", [(n << 12, L, 1) for n in (7, 0, 1, 2)], []),
    "execlog": ("execlog", EXECLOG,
                [(0x401020, F, 1), (0x7FFE1000, S, 1), (0x401021, F, 1), (16, L, 1), (16, S, 1)],
                [(0, 1, 0), (2, 1, 1)]),
    "xdin": ("xdin", XDIN, [(0x401020, F, 3), (0x7FFE1000, L, 8), (0x7FFE1008, S, 4)], []),
    "qemu": ("qemu", QEMU, [(0x7FFE1000, L, 8), (0x7FFE1008, S, 1)], []),
    "drview": ("drview", DRVIEW,
               [(0x720D35A6A4D0, F, 3), (0x7FFC3E1A8FF8, S, 8), (0x7FFC3E1A8FF0, L, 8)],
               [(0, 1, 77), (2, 1, 78)]),
    "table": ("table", TABLE, [(0x1000, L, 8), (8192, S, 4), (0x3000, F, 2)],
              [(0, 5, 1), (2, 5, 2)]),
    "vpn": ("table", VPN, [(0x1000, L, 1), (0x2000, S, 1)], []),
}  # fmt: skip


def accesses(trace: workloads.FileTrace) -> list[tuple[int, int, int]]:
    return [
        row
        for chunk in trace.chunks()
        for row in zip(
            chunk.address.tolist(), chunk.kind.tolist(), chunk.size.tolist(), strict=True
        )
    ]


def switches(trace: workloads.FileTrace) -> list[tuple[int, int, int]]:
    first, found = 0, []
    for chunk in trace.chunks():
        for event in chunk.events[chunk.events["kind"] == SWITCH]:
            found.append((first + int(event["position"]), int(event["pid"]), int(event["value"])))
        first += chunk.accesses
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("chunk_accesses", [1 << 20, 2])
def test_read_back_exactly(case: str, chunk_accesses: int, tmp_path: Path) -> None:
    name, content, expected, changes = CASES[case]
    path = tmp_path / "trace"
    for data in (content, content.replace(b"\n", b"\r\n"), content.rstrip(b"\n")):
        path.write_bytes(data)
        for format_ in (None, name):
            assert accesses(workloads.open_trace(path, format_, 48, chunk_accesses)) == expected
        assert switches(workloads.open_trace(path, name, 48, chunk_accesses)) == changes


@pytest.mark.parametrize("case", CASES)
def test_detected_as_itself(case: str, tmp_path: Path) -> None:
    name, content, _, _ = CASES[case]
    path = tmp_path / "trace"
    path.write_bytes(content)
    assert formats.detect(workloads.streams.open_stream(str(path))).NAME == name


@pytest.mark.parametrize("case", CASES)
def test_round_trip_through_the_columnar_file(case: str, tmp_path: Path) -> None:
    _, content, expected, changes = CASES[case]
    (tmp_path / "a").write_bytes(content)
    with ColumnarWriter(tmp_path / "b.mmt", {}) as writer:
        for chunk in workloads.open_trace(tmp_path / "a").chunks():
            writer.write(chunk)
    assert accesses(workloads.open_trace(tmp_path / "b.mmt")) == expected
    assert switches(workloads.open_trace(tmp_path / "b.mmt")) == changes


BROKEN = {
    "din": (b"0 10\n0 20\n5 30\n", "line 3: expected a label"),
    "pinatrace": (b"0x1: R 0x10\n0x1: X 0x20\n", "line 2: expected '0xIP"),
    "plain": (b"10 R\n20 W\n30 W junk\n", "line 3: expected an address"),
    "silberschatz": (b"1\n2\n0x\n", "line 3: expected one decimal"),
    "decimal": (b"1\n2\n0x\n", "line 3: expected decimal"),
    "hex": (b"1\n0x2g\n", "line 2: expected hexadecimal"),
    "opfirst": (b"r 1\ns 2\nq 3\n", "line 3: expected an operation"),
    "pages": (b"1\n-2\n", "line 2: expected one decimal page"),
    "qemu": (b"0x1,,0x10,0x10,64,load,0\n0x1,,0x10,0x10,4,load,0\n", "line 2: expected a line"),
    "drview": (b" 1 0: W0.T1 read 8 byte(s) @ 0x10 by\nread 8\n", "line 2: expected a record"),
    "table": (b"address,size\n1,1\n2,0\n", "line 3: expected columns"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_is_named(name: str, tmp_path: Path) -> None:
    content, message = BROKEN[name]
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(InputError, match=message):
        accesses(workloads.open_trace(tmp_path / "t", name))


def test_an_address_that_is_not_canonical(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"0 10\n0 800000000000\n")
    with pytest.raises(InputError, match="line 2: address not canonical in 48 bits"):
        accesses(workloads.open_trace(tmp_path / "t", "din"))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    case=st.sampled_from(sorted(CASES)),
    edits=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=6)), max_size=4),
)
def test_any_bytes_give_accesses_or_an_input_error(
    case: str, edits: list[tuple[int, bytes]], tmp_path: Path
) -> None:
    name, content, _, _ = CASES[case]
    for position, replacement in edits:
        position %= len(content) + 1
        content = content[:position] + replacement + content[position + len(replacement) :]
    path = tmp_path / "fuzzed"
    path.write_bytes(content)
    try:
        for chunk in workloads.open_trace(path, name, 48, 4).chunks():
            assert (chunk.address >> 47 == chunk.address >> 63).all()
            assert (chunk.size > 0).all() and (chunk.kind <= FETCH).all()
            assert (np.diff(chunk.events["position"]) >= 0).all()
    except InputError as error:
        assert str(path) in str(error)


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
    path = Path(__file__).parents[2] / "data" / "perf.txt"
    rows = accesses(workloads.open_trace(path))
    expected = [int(line.split()[4], 16) for line in path.read_text().splitlines()]
    assert [address for address, _, _ in rows] == expected
    assert len(switches(workloads.open_trace(path))) == 1
