"""`mmulab trace convert`, `cut`, `generate` and `head`; selections against plain Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.commands import main as cli
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import EVENT, MMAP, SWITCH, Chunk
from mmulab.workloads.convert import convert, writable
from mmulab.workloads.cut import KINDS, Sample, Selection

Row = tuple[int, int, int]


def rows(chunks: object) -> list[Row]:
    return [
        row
        for chunk in chunks  # type: ignore[attr-defined]
        for row in zip(
            chunk.address.tolist(), chunk.kind.tolist(), chunk.size.tolist(), strict=True
        )
    ]


def chunk_of(count: int, events: list[tuple[int, ...]] | None = None, first: int = 0) -> Chunk:
    number = np.arange(first, first + count)
    return Chunk(
        0x1000 + 8 * number, (number % 3).astype(np.uint8), (1 + number % 8).astype(np.uint16),
        np.array(events or [], EVENT),
    )  # fmt: skip


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["mmulab", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


HELD = {"kind": 1, "size": 2}


@pytest.mark.parametrize("name", [n for n in writable() if n not in ("oracle", "champsim", "cloudsuite")])  # fmt: skip  # noqa: E501
@pytest.mark.parametrize("compressed", ["", ".gz", ".zst"])
def test_what_a_format_holds_comes_back(name: str, compressed: str, tmp_path: Path) -> None:
    from mmulab.workloads import formats

    if name == "npy" and compressed:
        pytest.skip("a .npy is read from an uncompressed file")
    path = tmp_path / f"a.{name}{compressed}"
    losses = convert([chunk_of(50), chunk_of(30, first=50)], path, name)
    holds = formats.get(name).HOLDS
    expected = rows([chunk_of(80)])
    if "size" not in holds:
        expected = [(a, k, 1) for a, k, _ in expected]
        assert "sizes" in str(losses)
    if "kind" not in holds:
        expected = [(a & ~0xFFF if name == "pages" else a, 0, s) for a, _, s in expected]
    assert rows(workloads.open_trace(path, name).chunks()) == expected


def test_columnar_holds_everything_and_plain_says_what_it_does_not(tmp_path: Path) -> None:
    events = [(0, MMAP, 1, 4096, 8192, 3), (5, SWITCH, 2, 0, 0, 7)]
    source = chunk_of(10, events)
    assert not str(convert([source], tmp_path / "a.mmt"))
    (back,) = workloads.open_trace(tmp_path / "a.mmt").chunks()
    assert all((a == b).all() for a, b in zip(source[:4], back[:4], strict=True))
    losses = str(convert([source], tmp_path / "a.plain"))
    assert losses == "8 sizes, 1 mmap events, 1 switch events"
    with pytest.raises(InputError, match="plain cannot hold"):
        convert([source], tmp_path / "b.plain", strict=True)
    assert not (tmp_path / "b.plain").exists()


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    skip=st.integers(0, 40),
    most=st.none() | st.integers(1, 60),
    sample=st.none() | st.tuples(st.integers(1, 20), st.integers(1, 20)),
    kinds=st.sets(st.sampled_from(KINDS)),
    process=st.none() | st.sampled_from([1, 2]),
    switches=st.lists(st.integers(0, 29), max_size=4),
)
def test_a_selection_is_what_plain_python_selects(
    lengths: list[int], skip: int, most: int | None, sample: tuple[int, int] | None,
    kinds: set[str], process: int | None, switches: list[int],
) -> None:  # fmt: skip
    chunks, expected, current, number = [], [], 1, 0
    for length in lengths:
        at = sorted({min(s, length) for s in switches})
        events = [(p, SWITCH, 1 + (i + number) % 2, 0, 0, 0) for i, p in enumerate(at)]
        chunk = chunk_of(length, events, number)
        chunks.append(chunk)
        for position, row in enumerate(rows([chunk])):
            for event in events:
                if event[0] == position:
                    current = event[2]
            expected.append((row, current))
        for event in events:
            if event[0] == length:
                current = event[2]
        number += length
    part = expected[skip:]
    if sample:
        period, length = max(sample), min(sample)
        part = [row for n, row in enumerate(part) if n % period < length]
    kept = [
        row for row, pid in part
        if process in (None, pid) and (not kinds or KINDS[row[1]] in kinds)
    ]  # fmt: skip
    chosen = Sample(max(sample), min(sample)) if sample else None
    selection = Selection(skip, most, chosen, process, tuple(kinds))
    assert rows(selection.of(chunks)) == kept[:most]


def test_cut_keeps_the_mappings_of_what_it_skips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "part.mmt")
    assert run("trace", "cut", "@python", out, "--skip", "1M", "--max", "1000",
               monkeypatch=monkeypatch) == 0  # fmt: skip
    parts = list(workloads.open_trace(out).chunks())
    assert sum(part.accesses for part in parts) == 1000
    assert sum((part.events["kind"] == MMAP).sum() for part in parts) == 27
    assert "skip=1000000" in workloads.open_trace(out).metadata["cut"]


def test_generate_convert_and_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, text = str(tmp_path / "a.mmt.xz"), str(tmp_path / "a.lackey.bz2")
    assert (
        run("trace", "generate", "microchurn:accesses=30K", "-o", made, monkeypatch=monkeypatch)
        == 0
    )
    assert run("trace", "convert", made, text, monkeypatch=monkeypatch) == 0
    assert "leaves out" in capsys.readouterr().err
    assert rows(workloads.open_trace(made).chunks()) == rows(workloads.open_trace(text).chunks())
    assert run("trace", "head", made, "-n", "6", "--skip", "10", monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and "mmap" in lines[1] and "rw-" in lines[1] and "store" in lines[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "@python", "a.unknown"), "give --to"),
        (("convert", "@python", "a.mmt", "--to", "perf"), "can only be read"),
        (("convert", "@pyton", "a.mmt"), "python"),
        (("convert", "@python", "nowhere/a.mmt"), "does not exist"),
        (("cut", "@python", "a.mmt", "--sample", "10"), "PERIOD:LENGTH"),
        (("cut", "@python", "a.mmt", "--kinds", "jump"), "expected load, store, fetch"),
        (("generate", "gups:size=1", "-o", "a.mmt"), "size"),
        (("head", "nothere"), "nothere"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: tuple[str, ...], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run("trace", *arguments, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
