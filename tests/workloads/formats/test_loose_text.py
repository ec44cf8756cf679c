"""Text traces as people have them: written by hand, by small tools, torn, or through an editor."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import pytest
from drivers.text_rows import rows

from mmulab import workloads
from mmulab.mmu.errors import InputError, Notice
from mmulab.mmu.trace import FETCH, LOAD, STORE
from mmulab.workloads.formats import text

L, S, F = LOAD, STORE, FETCH
NEWLINES = ("lf", "crlf", "no end", "mark")

# format, text, (address, kind, size) of each access
LOOSE = {
    "cut space": ("lackey", b" L 10,4 \n S 18,4\n L 20,4\n", [(16, L, 4), (24, S, 4), (32, L, 4)]),
    "no space before": ("lackey", b"L 10,4\nS 18,8\nM 20,4\n",
                        [(16, L, 4), (24, S, 8), (32, L, 4), (32, S, 4)]),
    "one space after I": ("lackey", b"I 0400d7d4,8\n M 0421c7f0,4\n",
                          [(0x400D7D4, F, 8), (0x421C7F0, L, 4), (0x421C7F0, S, 4)]),
    "superblocks": ("lackey",
                    b"==77== Lackey, an example Valgrind tool\nSB 04001000\nI  04001000,3\n"
                    b" S 1ffefff000,8\nSB 04001010\nI  04001010,2\n",
                    [(0x4001000, F, 3), (0x1FFEFFF000, S, 8), (0x4001010, F, 2)]),
    "time stamps": ("lackey",
                    b"==00:00:00:00.000 8187== Lackey, an example Valgrind tool\n"
                    b"==00:00:00:00.000 8187== \nI  0401ab70,3\n==00:00:01:00.324 8187== Jccs:\n",
                    [(0x401AB70, F, 3)]),
    "decimal": ("decimal", b"1048576\n1114112\n1048576\n", [(1 << 20, L, 1), (0x110000, L, 1),
                                                          (1 << 20, L, 1)]),
    "decimals a line": ("decimal", b"// by hand\n1048576 1114112\n18446603336221196288,4096\n",
                        [(1 << 20, L, 1), (0x110000, L, 1), (-(1 << 47), L, 1), (4096, L, 1)]),
    "hex": ("hex", b"0x1000\n0x2004\n0X1FF8\n", [(0x1000, L, 1), (0x2004, L, 1), (0x1FF8, L, 1)]),
    "bare hex": ("hex", b"; a comment\n7FFE1000\n401abc\n1000\n",
                 [(0x7FFE1000, L, 1), (0x401ABC, L, 1), (0x1000, L, 1)]),
    "hex a line": ("hex", b"# c\n0x1000, 0x2000\n0x3000 4abc\n",
                   [(0x1000, L, 1), (0x2000, L, 1), (0x3000, L, 1), (0x4ABC, L, 1)]),
    "pages a line": ("pages", b"7 0 1\n2, 0\n", [(n << 12, L, 1) for n in (7, 0, 1, 2, 0)]),
    "operation first": ("opfirst", b"s 0x2ffff050 1\nl 0x2ffff058 1\n",
                        [(0x2FFFF050, S, 1), (0x2FFFF058, L, 1)]),
    "operations in words": ("opfirst", b"Load 10\nSTORE 0x18\nifetch abc 7 8\nM 20\n",
                            [(16, L, 1), (24, S, 1), (0xABC, F, 1), (32, L, 1), (32, S, 1)]),
    "no header": ("table", b"0x1000,R\n0x2000,w\n", [(0x1000, L, 1), (0x2000, S, 1)]),
    "no header, size": ("table", b"1000,load,8\n2abc, store,4\n", [(0x1000, L, 8), (0x2ABC, S, 4)]),
    "no header, type first": ("table", b"W,4096\nR,8192\n", [(4096, S, 1), (8192, L, 1)]),
    "header after #": ("table", b"# made by hand\n#address,rw\n0x1000,R\n0x2000,W\n",
                       [(0x1000, L, 1), (0x2000, S, 1)]),
    "plain": ("plain", b"// c\n10 R\n20 W\n", [(16, L, 1), (32, S, 1)]),
    "din": ("din", b"; c\n2 401020\n0 7ffe1000\n", [(0x401020, F, 1), (0x7FFE1000, L, 1)]),
    "execlog": ("execlog", b'0, 0x4, 0x90, "nop", load, 0x10\n', [(4, F, 1), (16, L, 1)]),
    "perf": ("perf", b"sh 7/8 1.5: faults: 7ff0 401000\n", [(0x7FF0, L, 1)]),
    "perf mem": ("perfmem",
                 b"# PID, TID, IP, ADDR, LOCAL WEIGHT, DSRC, SYMBOL\n"
                 b"  7   7 0x0000000000401136 0x00007f1234567890     6 0x5080142 /x:a\n"
                 b"  7   8 0x0000000000401136 0x0000000000000000     6 0x5080142 /x:a\n"
                 b"  7   8 0x0000000000401136 0x00007f1234567898     6 0x5080146 /x:a b\n",
                 [(0x7F1234567890, L, 1), (0x7F1234567898, L, 1), (0x7F1234567898, S, 1)]),
}  # fmt: skip


def opened(path: Path, data: bytes, name: str | None = None) -> list[tuple[int, ...]]:
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        trace = workloads.open_trace(path, name)
        return [
            (address - (address >> 63 << 64), kind, size)
            for address, kind, size, _, _ in rows(list(trace.chunks()))
        ]


@pytest.mark.parametrize("ends", NEWLINES)
@pytest.mark.parametrize("case", LOOSE)
def test_read_as_it_is_meant(case: str, ends: str, tmp_path: Path) -> None:
    name, data, expected = LOOSE[case]
    if ends == "crlf":
        data = data.replace(b"\n", b"\r\n")
    elif ends == "no end":
        data = data.rstrip(b"\n")
    elif ends == "mark":
        data = b"\xef\xbb\xbf" + data
    for format_ in (None, name):
        assert opened(tmp_path / "t", data, format_) == expected


def test_a_mark_before_records_stays(tmp_path: Path) -> None:
    record = struct.pack("<QBB2B4B2Q4Q", 0xBFBBEF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4096, 0, 0, 0)
    assert (4096, L, 1) in opened(tmp_path / "t", record, "champsim")


def test_processes_of_perf_mem(tmp_path: Path) -> None:
    """The columns of `perf mem report -D -x, --phys-data`."""
    (tmp_path / "t").write_bytes(
        b"# PID, TID, IP, ADDR, PHYS ADDR, LOCAL WEIGHT, DSRC, SYMBOL\n"
        b"100,100,0x401136,0x7f1234567890,0x12345890,6,0x5080142,/x:a\n"
        b"200,201,0x401140,0x7f1234567890,0x12345890,6,0x5080144,/x:b\n"
        b"200,201,0x401140,0x7f1234567890,0x12345890,6,0x5080148,/x:b\n"
        b"200,201,0x401140,0x401140,0x12345890,6,0x5080150,/x:b\n"
    )
    assert rows(list(workloads.open_trace(tmp_path / "t").chunks())) == [
        (0x7F1234567890, L, 1, 100, 100),
        (0x7F1234567890, S, 1, 200, 201),
        (0x401140, F, 1, 200, 201),
    ]


def test_perf_mem_without_operations(tmp_path: Path) -> None:
    data = b"# PID, TID, IP, ADDR, SYMBOL\n1,1,0x4,0x10,a\n"
    with pytest.raises(InputError, match="t: expected a header '# PID"):
        opened(tmp_path / "t", data)


GUESSED = {
    "decimal": (b"1048576\n1114112\n", "taken for decimal addresses; --format silberschatz"),
    "low": (b"16916\n62493\n", "taken for decimal addresses"),
    "pages": (b"1\n2\n3\n", "taken for page numbers; --format decimal"),
}


@pytest.mark.parametrize("case", GUESSED)
def test_a_guess_is_said_once(case: str, tmp_path: Path) -> None:
    data, message = GUESSED[case]
    (tmp_path / "t").write_bytes(data)
    with pytest.warns(Notice, match=f"t: {message}") as said:
        trace = workloads.open_trace(tmp_path / "t")
        list(trace.chunks())
        list(trace.chunks())
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(workloads.open_trace(tmp_path / "t", "decimal").chunks())


def test_bits_are_left_out_only_where_asked_for(tmp_path: Path) -> None:
    data = b"1048576\n65537\n16916\n"
    assert [row[0] for row in opened(tmp_path / "t", data)] == [1048576, 65537, 16916]
    assert [row[0] for row in opened(tmp_path / "t", data, "silberschatz")] == [0, 1, 16916]


TORN = {
    "lackey": (b" L 10,4\n S 1ffef", 1),
    "plain": (b"10 R\n20 W\n7ffe", 2),
    "din": (b"0 10\n1", 1),
    "execlog": (b'0, 0x4, 0x90, "nop"\n0, 0x8, 0x', 1),
    "table": (b"address,rw\n16,R\n32,", 1),
}


@pytest.mark.parametrize("name", TORN)
@pytest.mark.parametrize("block", [3, 1 << 20])
def test_a_torn_last_line_is_left_out_and_said(
    name: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, count = TORN[name]
    monkeypatch.setattr(text, "BLOCK", block)
    (tmp_path / "t").write_bytes(data)
    number = data.count(b"\n") + 1
    with pytest.warns(Notice, match=f"t: line {number}, the last, is cut short"):
        chunks = list(workloads.open_trace(tmp_path / "t", name).chunks())
    assert sum(chunk.accesses for chunk in chunks) == count
    with pytest.raises(InputError, match=f"line {number}: "):
        opened(tmp_path / "t", data + b"\n", name)


REFUSED = {
    "client output": (b"==7== Lackey, an example Valgrind tool\n L 10,4\nhello, world\n L 20,4\n",
                      "line 3: no line of lackey's.*--log-file=FILE.*: 'hello, world'"),
    "nearest": (b"load at 7ffe1000\nstore at 7ffe1008\n", "line 1: 'load at 7ffe1000'; nearest is"),
    "nearest plain": (b"0x7ffe1000 Q\n0x7ffe1000 Z\n", "nearest is plain: expected an address and"),
    "nearest pin": (b"\n0x401136: Q 0x7ffd1e3c2b60\n", "line 2: .* nearest is pinatrace"),
    "newlines": (b"\n" * 5000, "nothing but empty lines"),
    "comments": (b"# a\n// b\n", "nothing but empty lines"),
    "ramulator": (b"3 20734016\n1 20846400\n6 20734208 20734016\n", "a Ramulator trace"),
    "dramsim": (b"0x7f64 P_MEM_WR 3\n0x7f8a P_FETCH 9\n", "a DRAMSim2 trace"),
    "usimm": (b"5 R 0x1a2b40 0x400\n9 W 0x1a2b80\n", "a USIMM trace"),
    "strace": (b"openat(AT_FDCWD, \"a\", 0) = 3\nread(3, \"\", 8) = 0\n", "strace's output"),
    "utf-16": ("10 R\n20 W\n".encode("utf-16"), "UTF-16"),
    "perf.data": (b"PERFILE2" + bytes(200), "perf.data; give the output of perf script"),
    "tar": (b"a.trace".ljust(257, b"\0") + b"ustar\0" + bytes(300), "a tar archive; unpack"),
    "snappy": (b"\xff\x06\x00\x00sNaPpY" + bytes(99), "snappy; decompress"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(99), "LZ4; decompress"),
    "lime": (struct.pack("<IIQQQ", 0x4C694D45, 1, 0, 4095, 0) + bytes(4096), "mmulab dedup"),
    "core": (b"\x7fELF\2\1\1" + bytes(99), "a program or core"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_what_it_is(case: str, tmp_path: Path) -> None:
    data, message = REFUSED[case]
    with pytest.raises(InputError, match=f"t: .*{message}") as caught:
        opened(tmp_path / "t", data)
    assert "\n" not in str(caught.value)
