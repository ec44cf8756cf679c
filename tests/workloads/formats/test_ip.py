"""The address of an access's instruction, from each format that tells it."""

from __future__ import annotations

import io

import pytest
from drivers.binary_files import DRMEMTRACE, GEM5, message
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.mmu.trace import COLUMNS
from mmulab.workloads import formats
from mmulab.workloads.formats import Options
from mmulab.workloads.streams import ByteStream


def ips(name: str, data: bytes, chunk: int = 1 << 12) -> list[int] | None:
    """The column, which is there in all chunks or in none; and nothing is read but it."""
    found: list[int] = []
    chunks = list(read(name, data, chunk, frozenset(COLUMNS)))
    bare = list(read(name, data, chunk, frozenset()))
    for with_ip, without in zip(chunks, bare, strict=True):
        assert with_ip.depends is None and not without.columns()
        for one, other in zip(with_ip[:4], without[:4], strict=True):
            assert one.tolist() == other.tolist()
        if with_ip.ip is None:
            return None
        found += with_ip.ip.tolist()
    return found


def read(name: str, data: bytes, chunk: int, columns: frozenset[str]):  # type: ignore[no-untyped-def]
    stream = ByteStream(io.BytesIO(data), "a trace", None)
    return formats.get(name).read(stream, Options(48, chunk, columns))


LINES = st.lists(
    st.tuples(st.sampled_from(["I ", " L", " S", " M"]), st.integers(0, (1 << 47) - 1)),
    min_size=1, max_size=60,
)  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(LINES, st.integers(1, 30))
def test_lackey_line_by_line(lines: list[tuple[str, int]], chunk: int) -> None:
    text = "".join(f"{what} {address:08x},4\n" for what, address in lines).encode()
    expected, ip = [], 0
    for what, address in lines:
        ip = address if what == "I " else ip
        expected += [ip] * (2 if what == " M" else 1)
    assert ips("lackey", text, chunk) == expected


def test_drmemtrace_tells_it_by_the_instruction_before() -> None:
    bundle = [0x401003, 0x401005, 0x401009]
    assert ips("drmemtrace", DRMEMTRACE, 5) == [
        *[0x401000] * 3, *bundle, 0x40100E, 0x401010, *[0x402000] * 4, 0x403000, 0x404000,
    ]  # fmt: skip


def test_gem5_tells_it_where_a_packet_has_it() -> None:
    assert ips("gem5", GEM5, 3) == [0x400] * 7 + [0, 0]
    bare = message((1, 1), (2, 1), (3, 0x9000), (4, 4))
    assert ips("gem5", GEM5 + bare) == [0x400] * 7 + [0, 0, 0]


TEXTS = {
    "pinatrace": (
        b"0x401136: R 0x7ffd1e3c2b60\n0x40113a: W     0x7ffd1e3c2b60  8       0x1\n#eof\n",
        [0x401136, 0x40113A],
    ),
    "qemu": (
        b"insn_vaddr,insn_symbol,mem_vaddr,mem_hwaddr,access_size,access_type,mem_value\n"
        b"0x401126,main,0x7ffe5c3c0b58,0x1000,64,store,0x1\n"
        b"0x40112a,main,0x7ffe5c3c0b50,0x1000,32,load,0x1\n",
        [0x401126, 0x40112A],
    ),
    "perfmem": (
        b"# PID, TID, IP, ADDR, LOCAL WEIGHT, DSRC, SYMBOL\n"
        b"100,100,0x401136,0x00007f1234567890,6,0x5080142,/x:a\n"
        b"100,101,0xffffffff81000010,0x00007f1234567898,6,0x5080144,/x:b\n",
        [0x401136, 0xFFFFFFFF81000010 - (1 << 64)],
    ),
    "drview": (
        b"   1     1: W0.T7 ifetch       5 byte(s) @ 0x0000000000401131 e8 b8 0c 00 00\n"
        b"   2     1: W0.T7 ifetch       5 byte(s) @ 0x0000000000401132\n"
        b"   3     1: W0.T7 write        8 byte(s) @ 0x00007fff9a9e3528 by PC 0x0000000000401131\n"
        b"   4     1: W0.T7 read         8 byte(s) @ 0x00007fff9a9e3520\n"
        b"   5     1: W0.T7 read         8 byte(s) @ 0x00007fff9a9e3520 by hand\n",
        [0x401131, 0x401132, 0x401131, 0, 0],
    ),
    "execlog": (
        b'0, 0x401126, 0xe5894855, "pushq %rbp", store, 0x7ffe5c3c0b58\n'
        b'0, 0x401127, 0xe5894855, "movq", load, 0x7ffe5c3c0b58, store, 0x7ffe5c3c0b50\n'
        b'0, 0x401129, 0xe5894855, "nop"1, 0x401200, 0xe5894855, "pushq", store, 0x7ffe00000000\n'
        b"\n",
        [0x401126] * 2 + [0x401127] * 3 + [0x401129] + [0x401200] * 2,
    ),
    "table": (
        b'pc,address,rw\n0x401136,0x1000,r\n-,0x2000,w\n401138,0x3000,i\n"0x40113a",0x3000,m\n',
        [0x401136, 0, 0x3000, 0x40113A, 0x40113A],
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_formats(name: str) -> None:
    text, expected = TEXTS[name]
    assert ips(name, text) == expected
    assert ips(name, text, 1) == expected


def test_a_table_may_lack_it_at_the_end_of_a_line() -> None:
    rows = b"address,rw,note,ip\n0x1000,r,x,4198400\n0x2000,r\n0x3000,r,x,here\n0x4000,r,x\n"
    assert ips("table", rows) == [4198400, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain", b"0041f7a0 R\n"),
        ("din", b"2 401000\n0 7ffe1000\n"),
        ("xdin", b"i 401000 3\nr 7ffe1000 8\n"),
        ("decimal", b"1\n2\n"),
    ],
)
def test_formats_that_do_not_tell_it(name: str, text: bytes) -> None:
    assert ips(name, text) is None
