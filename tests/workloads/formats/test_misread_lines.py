"""Lines of text formats that must not be misread."""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers.text_rows import read

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import FETCH, LOAD, MUNMAP, STORE
from mmulab.workloads import formats

DRVIEW_LINE = b"  1 1: W0.T7 %-12s 8 byte(s) @ 0x00007fff9a9e3528 by PC 0x0000000000401136\n"
DRVIEW_READ = (0x7FFF9A9E3528, LOAD, 8, 1, 7)


@pytest.mark.parametrize(
    "what", [b"iflush", b"dflush", b"pref-r-L1-NT", b"pref-HW", b"pref", b"non-fetched"]
)
def test_what_is_no_access_is_passed_over(what: bytes) -> None:
    data = DRVIEW_LINE % what + DRVIEW_LINE % b"read"
    assert read("drview", data) == [DRVIEW_READ]


def test_the_rest_of_a_view() -> None:
    data = (
        b"---- <application exited with code 0> ----\n"
        b" 1 0: W0.T7 <marker: W0.T7 on core 2>\n" + DRVIEW_LINE % b"read" + b"-" * 60 + b"\n"
        b" 2 1: W0.T7                                                     00 00 00\n"
        b" 3 1: W0.T7 <thread W0.T7 exited>\nView tool results:\n   1 : total instructions\n"
    )
    assert read("drview", data) == [DRVIEW_READ]


def test_lists_of_pages() -> None:
    pages = [7, 0, 1, 7, 4095]
    expected = [(page << 12, LOAD, 1, 1, 0) for page in pages]
    assert read("pages", b"7,0, 1,\n7\n4095 \n") == expected
    assert formats.get("pages").matches(b"7,0,1,2") and formats.get("pages").matches(b"3\n0\n")


def test_lines_of_execlog_that_run_into_another() -> None:
    """As QEMU 7.2 wrote them: threads write a line and its end in two steps."""
    data = (
        b'0, 0x460a50, 0x2876050f, "syscall "1, 0x460a52, 0xf8c08548, "testq %rax, %rax"\n\n'
        b'0, 0x4, 0x90, "push", store, 0x400080084812, 0x8, 0x90, "pop", load, 0x10\n'
    )
    assert read("execlog", data) == [
        (0x460A50, FETCH, 1, 1, 0), (0x460A52, FETCH, 1, 1, 1), (4, FETCH, 1, 1, 0),
        (0x40008008481, STORE, 1, 1, 0), (8, FETCH, 1, 1, 2), (0x10, LOAD, 1, 1, 2),
    ]  # fmt: skip


def test_din_labels_and_xdin_types_that_are_no_accesses() -> None:
    assert read("din", b"4 10\n3 20\n") == [(0x20, LOAD, 1, 1, 0)]
    assert read("xdin", b"c 10 4\nv 0 0\nm 20 4\n") == [(0x20, LOAD, 4, 1, 0)]


def test_operations_of_perf_mem() -> None:
    line = b" a 7 1.5: mem: 7ff%d 1e05 |OP %s|LVL L1 hit|SNP None\n"
    data = line % (1, b"LOAD") + line % (2, b"STORE") + b" a 7 1.6: mem: 0 1e05 |OP NA|LVL N/A\n"
    assert [row[:2] for row in read("perf", data)] == [(0x7FF1, LOAD), (0x7FF2, STORE)]


@pytest.mark.parametrize(
    "line",
    [
        b"      a b 7/8 1.5:  7ff0 401000", b"7/8   7ff0", b"   sh 7/8 7ff0", b"   7ff0 401000",
        b"7ff0", b"sh 7/8 1.5: 1 page-faults:u: 7ff0", b"sh 7/8 cycles: 7ff0 [unknown] 40 f",
    ],
)  # fmt: skip
def test_layouts_of_perf(line: bytes) -> None:
    who = (7, 8) if b"7/8" in line else (1, 0)
    assert read("perf", line) == [(0x7FF0, LOAD, 1, *who)]


REFUSED = {
    "din": [b"0junk 10", b"12 10", b"5 10", b"0 10g", b"0 11112222333344445"],
    "xdin": [b"r 10", b"r 10 0", b"r 10 10000", b"read 10 4"],
    "plain": [b"10 Read", b"10 R 5", b"R 10"],
    "silberschatz": [b"4294967296", b"140737488355327", b"0x10", b"-1", b"1 2"],
    "decimal": [b"18446744073709551616", b"-1", b"1 0x2", b"1,,2", b"140737488355328"],
    "hex": [b"11112222333344445", b"0x", b"1,,2", b"-1", b"0x800000000000"],
    "opfirst": [b"reed 10", b"r", b"r 0x", b"10 r", b"1 10"],
    "pages": [b"2251799813685248", b"4503599627370497", b"1,,2", b"1, x", b"1" * 20],
    "pinatrace": [b"0x1 R 0x10", b"x: R 0x10", b"0x1: R 0x10 0", b"0x1: RW 0x10"],
    "qemu": [b"0x4,f,0x10,0x0,12,load,0", b"0x4,f,0x10,0x0,8,lost,0", b"0x4,f,0x10"],
    "execlog": [b'0, 0x4, 0x90, "nop", lost, 0x10', b'0, 0x4, 0x90, "nop", load, 0x10, RAM',
                b'0, 0x4, 0x90, "nop, load, 0x10', b'0, 0x4, 0x90, "nop", load, 0x800000000000'],
    "drview": [b" 1 1: W0.T7 reed  8 byte(s) @ 0x10", b" 1 1: W0.T7 read  8 bytes @ 0x10",
               b" 1 1: WxT7 read  8 byte(s) @ 0x10", b" 1 1: read 8 byte(s) @ 0x10"],
    "perf": [b"sh 7 1.5: page-faults: xyz", b"sh 7 1.5: page-faults: 800000000000"],
    "table": [b"address,pid\n1,foo", b"address,pid\n1,-5", b"address,pid\n1,1x",
              b"address,rw\n1,lost", b"address,size\n1,65536", b"address,size\n1",
              b"page\n4503599627370497", b"address\n18446744073709551616", b'address\n"1',
              b"address,vaddr\n1,2", b"size,pid\n1,2"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "data"), [(n, each) for n in REFUSED for each in REFUSED[n]])
def test_refused_with_its_line(name: str, data: bytes) -> None:
    number = 2 if name == "table" and b"vaddr" not in data and b"size,pid" not in data else 1
    with pytest.raises(InputError, match=f"^text: line {number}: ") as caught:
        read(name, data + b"\n")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", [b"a" + b" " * 60000 + b"b", b"1 " * 30000, b"1," * 30000 + b"x"])
@pytest.mark.parametrize("name", ["perf", "pages", "execlog", "drview", "table"])
def test_long_lines_are_read_or_refused_at_once(name: str, line: bytes) -> None:
    """A pattern that looks back over and over would take hours on these."""
    try:
        read(name, line)
    except InputError as error:
        assert "line 1" in str(error)


CALL = b"SYSCALL[7,1](11) sys_munmap ( %s, %s ) --> [pre-success] Success(0x0)\nI  1,1\n"


def test_numbers_of_system_calls(tmp_path: Path) -> None:
    """Decimal ones may begin with zeros; addresses have 64 bits, the upper half among them."""
    path = tmp_path / "log"
    path.write_bytes(CALL % (b"0xffff800000000000", b"08192"))
    (chunk,) = workloads.open_trace(path, "lackey").chunks()
    (event,) = chunk.events.tolist()
    assert event[1:5] == (MUNMAP, 1, -(1 << 47), 8192)
    for bad in ((b"9" * 40, b"4096"), (b"0x1000", b"18446744073709551615")):
        path.write_bytes(CALL % bad)
        with pytest.raises(InputError, match="line 1"):
            list(workloads.open_trace(path, "lackey").chunks())
