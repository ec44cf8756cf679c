"""Text formats against the output of real tools, taken apart with str.split.

tests/data/perf*.txt are of `perf record -d -e page-faults -c 1` (perf 6.1) of `sh -c "ls /"`.
execlog*.txt are of QEMU 7.2 in user mode, a static program of two threads, through a plugin
with the print formats of contrib/plugins/execlog.c; qemu-mem.csv is the same run with those
of tests/tcg/plugins/mem.c, but for mem_value, which is 0: QEMU knows it from 9.2 on.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers.text_rows import Row, read, rows

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import FETCH, LOAD, STORE
from mmulab.workloads import formats
from mmulab.workloads.formats.columnar import ColumnarWriter

DATA = Path(__file__).parents[2] / "data"


def fixture(name: str, format_name: str | None = None) -> list[Row]:
    return rows(list(workloads.open_trace(DATA / name, format_name).chunks()))


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
