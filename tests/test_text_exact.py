"""Text formats against what does not share their code: real tools' output taken apart with
str.split, lines written from drawn accesses, and lines that must not be misread.

tests/data/perf*.txt are of `perf record -d -e page-faults -c 1` (perf 6.1) of `sh -c "ls /"`.
execlog*.txt are of QEMU 7.2 in user mode, a static program of two threads, through a plugin
with the print formats of contrib/plugins/execlog.c; qemu-mem.csv is the same run with those
of tests/tcg/plugins/mem.c, but for mem_value, which is 0: QEMU knows it from 9.2 on.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import EVENT, FETCH, LOAD, STORE, SWITCH, Chunk
from mmulab.workloads import formats
from mmulab.workloads.formats import Options, text
from mmulab.workloads.formats.columnar import ColumnarWriter
from mmulab.workloads.slices import owners
from mmulab.workloads.streams import ByteStream

DATA = Path(__file__).parent / "data"

Row = tuple[int, int, int, int, int]  # address, kind, size, process, thread


def rows(chunks: list[Chunk]) -> list[Row]:
    """Every access with who made it: 1 and 0 before any switch."""
    found: list[Row] = []
    pid, tid = 1, 0
    for chunk in chunks:
        switches = {}
        for position, kind, process, _, _, thread in chunk.events.tolist():
            assert kind == SWITCH
            switches[position] = (process, thread)
        columns = (chunk.address.view(np.uint64), chunk.kind, chunk.size)
        for i, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            pid, tid = switches.get(i, (pid, tid))
            found.append((*row, pid, tid))
    return found


def read(name: str, data: bytes, accesses: int = 1 << 20) -> list[Row]:
    stream = ByteStream(io.BytesIO(data), "text", None)
    return rows(list(formats.get(name).read(stream, Options(48, accesses))))


def fixture(name: str, format_name: str | None = None) -> list[Row]:
    return rows(list(workloads.open_trace(DATA / name, format_name).chunks()))


# --- Output of the tools themselves -----------------------------------------------


@pytest.mark.parametrize("accesses", [1 << 20, 7, 1])
def test_execlog_of_a_real_run(accesses: int) -> None:
    for name in ("execlog.txt", "execlog-threads.txt"):
        expected: list[Row] = []
        for line in (DATA / name).read_text().splitlines():
            before, _, after = line.rpartition('"')
            cpu, ip = before.split(", ")[:2]
            expected.append((int(ip, 16), FETCH, 1, 1, int(cpu)))
            words = after.split(", ")[1:]
            for what, address in zip(words[::2], words[1::2], strict=True):
                kind = {"load": LOAD, "store": STORE}[what]
                expected.append((int(address, 16), kind, 1, 1, int(cpu)))
        assert read("execlog", (DATA / name).read_bytes(), accesses) == expected
    assert {row[4] for row in expected} == {0, 1}


def test_two_plugins_of_qemu_tell_of_the_same_accesses() -> None:
    data = [row for row in fixture("execlog.txt") if row[1] != FETCH]
    mem = fixture("qemu-mem.csv")
    assert [row[:2] for row in mem] == [row[:2] for row in data]


@pytest.mark.parametrize("name", ["perf.txt", "perf-symbols.txt", "perf-chains.txt"])
def test_perf_of_a_real_run(name: str) -> None:
    expected = []
    for line in (DATA / name).read_text().splitlines():
        if "page-faults:" in line:
            who = line.split()[1].split("/")
            address = line.partition("page-faults:")[2].split()[0]
            thread = int(who[1]) if len(who) > 1 else 0
            expected.append((int(address, 16), LOAD, 1, int(who[0]), thread))
    assert fixture(name) == expected


def test_samples_of_perf_without_an_address_are_not_taken_for_any() -> None:
    with pytest.raises(InputError, match="line 1: a sample without a data address; expected perf"):
        fixture("perf-no-address.txt")


FIXTURES = {
    "execlog.txt": "execlog", "execlog-threads.txt": "execlog", "qemu-mem.csv": "qemu",
    "perf.txt": "perf", "perf-symbols.txt": "perf", "perf-chains.txt": "perf",
}  # fmt: skip


@pytest.mark.parametrize("name", FIXTURES)
def test_fixtures_are_detected_and_survive_the_columnar_file(name: str, tmp_path: Path) -> None:
    head = (DATA / name).read_bytes()[:4096]
    assert [each for each in formats.names() if formats.get(each).matches(head)] == [FIXTURES[name]]
    with ColumnarWriter(tmp_path / "a.mmt", {}) as writer:
        for chunk in workloads.open_trace(DATA / name, None, 48, 16).chunks():
            writer.write(chunk)
    assert rows(list(workloads.open_trace(tmp_path / "a.mmt").chunks())) == fixture(name)


# --- Drawn accesses, written here ---------------------------------------------------

ADDRESS = st.integers(0, (1 << 47) - 1) | st.integers((1 << 64) - (1 << 47), (1 << 64) - 1)
ROW = st.tuples(
    ADDRESS, st.integers(0, 2), st.integers(1, 65535), st.integers(0, 3), st.integers(0, 9)
)
DATA_ROW = ROW.map(lambda row: (row[0], row[1] & 1, *row[2:]))


def lines_of(template: str, names: str) -> object:
    words = names.split()
    return lambda a, k, s, p, t: template.format(a=a, k=words[k], s=s, p=p, t=t)


def no_size(row: Row) -> Row:
    return (*row[:2], 1, 1, 0)


def sized(row: Row) -> Row:
    return (*row[:3], 1, 0)


def bits(row: Row) -> Row:
    return (row[0], row[1], 1 << row[2] % 5, 1, 0)


QEMU_HEADER = "insn_vaddr,insn_symbol,mem_vaddr,mem_hwaddr,access_size,access_type,mem_value\n"

# format: (rows, what a file begins with, a line, what of a row it holds)
WRITTEN = {
    "plain": (ROW, "", lines_of("0x{a:x}\t{k}", "R w I"), no_size),
    "din": (ROW, "", lines_of("{k} {a:X} what ever", "0 1 2"), no_size),
    "xdin": (ROW, "# c\n", lines_of(" {k}\t0x{a:x} {s:x} 0 0", "r w i"), sized),
    "pinatrace": (DATA_ROW, "#\n", lines_of("0x401136: {k} 0x{a:x}", "R W"), no_size),
    "pinatrace-sizes": (DATA_ROW, "#\n", lines_of("0x4: {k} {a:#18x} {s:2} 0x1", "R W"), sized),
    "qemu": (
        DATA_ROW, QEMU_HEADER,
        lambda a, k, s, p, t: f"0x4,f,0x{a:x},0x0,{8 << s % 5},{['load', 'store'][k]},0x0", bits,
    ),
    "execlog": (
        DATA_ROW, "",
        lambda a, k, s, p, t: f'{t}, 0x4, 0x90, "nop", {["load", "store"][k]}, 0x{a:08x}',
        lambda row: [(4, FETCH, 1, 1, row[4]), (*row[:2], 1, 1, row[4])],
    ),
    "drview": (
        ROW, "Output format:\n<--record#-> <--instr#->: <Wrkld.Tid> <record details>\n",
        lines_of("{s:12}{s:12}: W{p}.T{t} {k:12}{s:2} byte(s) @ 0x{a:016x} by PC 0x1",
                 "read write ifetch"),
        lambda row: (*row[:3], row[3] + 1, row[4]),
    ),
    "drview-old": (
        ROW, "<record#>: T<tid> <record details>\n",
        lines_of("{s:9}: T{t} {k:12}{s:2} byte(s) @ 0x{a:016x} by PC 0x1", "read write ifetch"),
        lambda row: (*row[:3], 1, row[4]),
    ),
    "perf": (
        DATA_ROW.filter(lambda row: row[0] > 0), "# perf\n",
        lines_of("  a b {p}/{t} [000] 1.5:  1 cpu/mem-{k},ldlat=30/P: {a:16x}  1e |OP",
                 "loads stores"),
        lambda row: (*row[:2], 1, *row[3:]),
    ),
    "table": (ROW, "TID;size; Address ;kind;pid\n",
              lines_of('{t};"{s}";{a};{k};{p}', "ld STORE instruction"), lambda row: row),
    "table-hex": (ROW, "sym\tva\trw\nx\tfff\t0\n",
                  lines_of('"a\tb"\t{a:x}\t{k}', "0 1 2"), no_size),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), block=st.integers(1, 300), accesses=st.integers(1, 9))
def test_lines_are_read_as_they_were_written(
    case: str, data: st.DataObject, block: int, accesses: int
) -> None:
    row, head, line, holds = WRITTEN[case]
    drawn = data.draw(st.lists(row, min_size=1, max_size=25))
    newline = data.draw(st.sampled_from(["\n", "\r\n"]))
    content = head.replace("\n", newline) + newline.join(line(*each) for each in drawn)
    held = [holds(each) for each in drawn]
    expected = sum(held, []) if case == "execlog" else held
    if case == "table-hex":
        expected.insert(0, (0xFFF, LOAD, 1, 1, 0))
    before, text.BLOCK = text.BLOCK, block
    try:
        found = read(case.partition("-")[0], content.encode(), accesses)
    finally:
        text.BLOCK = before
    assert found == expected


@pytest.mark.parametrize("name", ["plain", "din", "xdin", "table", "pages"])
@settings(max_examples=30, deadline=None)
@given(drawn=st.lists(ROW, min_size=1, max_size=20))
def test_what_is_written_is_read(name: str, drawn: list[Row]) -> None:
    events = [(i, SWITCH, row[3], 0, 0, row[4]) for i, row in enumerate(drawn)]
    columns = list(zip(*drawn, strict=True))
    chunk = Chunk(
        np.array(columns[0], np.uint64).view(np.int64),
        np.array(columns[1], np.uint8),
        np.array(columns[2], np.uint16),
        np.array(events, EVENT),
    )
    file = io.BytesIO()
    module = formats.get(name)
    module.write(file, [chunk, chunk])
    holds = {
        "plain": no_size, "din": no_size, "xdin": sized, "table": lambda row: row,
        "pages": lambda row: (row[0] >> 12 << 12, LOAD, 1, 1, 0),
    }[name]  # fmt: skip
    assert read(name, file.getvalue()) == [holds(row) for row in drawn] * 2


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.integers(0, 9)), max_size=8),
)
def test_owners_of_accesses(accesses: int, drawn: list[tuple[int, int, int]]) -> None:
    switches = sorted((min(position, accesses), pid, tid) for position, pid, tid in drawn)
    events = np.array([(at, SWITCH, pid, 0, 0, tid) for at, pid, tid in switches], EVENT)
    empty = np.zeros(accesses, np.int64)
    pids, tids, last = owners(Chunk(empty, empty, empty, events), (77, 5))
    who = [(77, 5)] + [(pid, tid) for _, pid, tid in switches]
    expected = [who[sum(at <= i for at, _, _ in switches)] for i in range(accesses)]
    assert list(zip(pids.tolist(), tids.tolist(), strict=True)) == expected
    assert last == who[-1]


# --- What must not be misread ---------------------------------------------------------

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
