"""Text formats against lines that are written from drawn accesses."""

from __future__ import annotations

import io

import numpy as np
import pytest
from drivers.text_rows import Row, read
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.mmu.trace import EVENT, FETCH, LOAD, SWITCH, Chunk
from mmulab.workloads import formats
from mmulab.workloads.formats import text
from mmulab.workloads.slices import owners

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
