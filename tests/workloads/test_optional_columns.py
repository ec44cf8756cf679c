"""Optional columns and KERNEL events through cut, convert, head, info and merges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.commands import main as cli
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import COLUMNS, EVENT, FARTHEST, INDEPENDENT, KERNEL, UNKNOWN, Chunk
from mmulab.workloads.convert import convert
from mmulab.workloads.cut import Sample, Selection
from mmulab.workloads.depends import Distances


def chunk_of(count: int, first: int = 0, depends: list[int] | None = None) -> Chunk:
    number = np.arange(first, first + count)
    return Chunk(
        0x1000 + 8 * number, (number % 3).astype(np.uint8), np.ones(count, np.uint16),
        np.array([(count // 2, KERNEL, 1, 0, 0, 0)], EVENT), 0x400000 + number,
        None if depends is None else np.array(depends, np.uint16), (number % 5).astype(np.uint8),
    )  # fmt: skip


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["mmulab", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def flat(chunks: Any, column: str) -> list[int]:
    return [value for chunk in chunks for value in getattr(chunk, column).tolist()]


# --- Cut ----------------------------------------------------------------------------

DEPENDS = st.sampled_from([UNKNOWN, INDEPENDENT, FARTHEST]) | st.integers(1, 12)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.lists(DEPENDS, max_size=20) | st.none(), min_size=1, max_size=5),
    st.integers(0, 15),
    st.none() | st.integers(1, 40),
    st.integers(1, 8),
)
def test_a_cut_still_names_the_access_that_made_an_address(
    parts: list[list[int] | None], skip: int, most: int | None, period: int
) -> None:
    chunks: list[Chunk] = []
    meant: dict[int, int | None] = {}  # by address: that of the access that made it; its value
    number = since = 0  # since: the first after a chunk without the column
    for part in parts:
        chunks.append(chunk_of(7 if part is None else len(part), number, part))
        for at, value in enumerate(part or []):
            source = number + at - value
            is_known = value not in (UNKNOWN, INDEPENDENT) and source >= since
            meant[number + at] = source if is_known else None
        number += chunks[-1].accesses
        since = number if part is None else since
    values = {n + i: v for n, i, v in _numbered(parts)}
    selection = Selection(skip, most, Sample(period, max(1, period // 2)))
    where: list[int] = []
    for chunk in selection.of(chunks):
        numbers = (chunk.address - 0x1000) // 8
        assert (chunk.ip == 0x400000 + numbers).all() and (chunk.device == numbers % 5).all()
        for at, one in enumerate(numbers.tolist()):
            where.append(one)
            if chunk.depends is None:
                assert one not in values
                continue
            expected = UNKNOWN
            if values[one] == INDEPENDENT:
                expected = INDEPENDENT
            elif meant[one] is not None and meant[one] in where:
                expected = len(where) - 1 - where.index(meant[one])  # type: ignore[arg-type]
            assert int(chunk.depends[at]) == expected


def _numbered(parts: list[list[int] | None]) -> list[tuple[int, int, int]]:
    found, number = [], 0
    for part in parts:
        found += [(number, at, value) for at, value in enumerate(part or [])]
        number += 7 if part is None else len(part)
    return found


def test_what_others_come_between_may_lie_too_far_back() -> None:
    distances = Distances()
    one = np.ones(1, bool)
    assert distances.among(np.array([INDEPENDENT], np.uint16), one, 0).tolist() == [INDEPENDENT]  # type: ignore[union-attr]
    assert distances.among(np.array([1], np.uint16), one, FARTHEST).tolist() == [FARTHEST]  # type: ignore[union-attr]
    beyond = distances.among(np.array([1], np.uint16), one, 2 * FARTHEST + 1)
    assert beyond is not None and beyond.tolist() == [UNKNOWN]


# --- Convert, head, info --------------------------------------------------------------


def test_convert_says_once_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(tmp_path / "a.mmt")
    chunks = [chunk_of(6, 0, [0, 65535, 1, 2, 0, 0]), chunk_of(4, 6, [1, 1, 1, 0])]
    assert not str(convert(chunks, source))
    copy, plain = str(tmp_path / "b.mmt.xz"), str(tmp_path / "a.plain")
    assert run("trace", "convert", source, copy, monkeypatch=monkeypatch) == 0
    for column in COLUMNS:
        back = workloads.open_trace(copy).chunks(COLUMNS)
        assert flat(back, column) == flat(chunks, column)
    assert capsys.readouterr().err == ""
    assert run("trace", "convert", source, plain, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().err == (
        f"{plain}: its format cannot hold and leaves out 10 values of ip, 6 values of depends, "
        "8 values of device, 2 kernel events\n"
    )
    with pytest.raises(InputError, match="plain cannot hold"):
        convert(chunks, plain, strict=True)


def test_lackey_holds_the_ip_that_its_fetches_tell(tmp_path: Path) -> None:
    log = tmp_path / "a.lackey"
    log.write_bytes(b"I  0401ab70,3\n S 1fff000758,8\nI  0401ab73,5\n L 04025e38,4\n")
    trace = workloads.open_trace(log)
    assert not str(convert(trace.chunks(COLUMNS), tmp_path / "b.lackey", "lackey", strict=True))
    data = Selection(kinds=("load", "store")).of(trace.chunks(COLUMNS))
    assert str(convert(data, tmp_path / "c.lackey", "lackey")) == "2 values of ip"


def test_head_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    convert([chunk_of(4, 0, [0, 65535, 1, 2])], tmp_path / "a.mmt")
    assert run("trace", "head", str(tmp_path / "a.mmt"), monkeypatch=monkeypatch) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert shown == [
        ["0", "load", "0x1000", "1", "ip", "0x400000"],
        ["1", "store", "0x1008", "1", "ip", "0x400001", "depends", "none", "device", "1"],
        ["kernel", "process", "1"],
        ["2", "fetch", "0x1010", "1", "ip", "0x400002", "depends", "1", "device", "2"],
        ["3", "load", "0x1018", "1", "ip", "0x400003", "depends", "2", "device", "3"],
    ]


def test_info_says_which_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = str(tmp_path / "a.mmt"), str(tmp_path / "a.json")
    convert([chunk_of(4, 0, [0, 65535, 1, 0])], path)
    assert run("trace", "info", path, "--json", out, monkeypatch=monkeypatch) == 0
    line = "columns          ip of 100.0 %, depends of 50.0 %, device of 75.0 % of the accesses"
    assert line in capsys.readouterr().out.splitlines()
    info = json.loads(Path(out).read_text())
    assert info["columns"] == {"ip": 4, "depends": 2, "device": 3}
    assert info["events"] == {"kernel": 1}
    convert([Chunk(*chunk_of(4)[:4])], path)
    assert run("trace", "info", path, "--json", out, monkeypatch=monkeypatch) == 0
    assert "columns" not in capsys.readouterr().out
    assert json.loads(Path(out).read_text())["columns"] == {}
