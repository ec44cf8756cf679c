"""Recording a real program, where Valgrind is installed."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmulab import workloads
from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.simulate import compare
from mmulab.mmu.trace import CONTENT, EXEC, EXIT, FETCH, FORK, MMAP, SWITCH, Chunk
from mmulab.workloads import recording_contents
from mmulab.workloads.cut import Sample, Selection
from mmulab.workloads.recording import record
from mmulab.workloads.recording_contents import tag_of
from mmulab.workloads.recording_qemu import record_qemu

needs_valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind")


def chunks_of(path: Path) -> list[Chunk]:
    return list(workloads.open_trace(path, va_bits=57).chunks())


def kinds_of_events(chunks: list[Chunk]) -> list[int]:
    return [int(kind) for chunk in chunks for kind in chunk.events["kind"]]


@needs_valgrind
def test_a_program_is_recorded_whole(tmp_path: Path) -> None:
    path = tmp_path / "true.mmt"
    result = record(["true"], path)
    chunks = chunks_of(path)
    assert result.status == 0 and result.processes == 1
    assert result.accesses == sum(c.accesses for c in chunks) > 10_000
    assert any((c.kind == FETCH).any() for c in chunks)
    assert MMAP in kinds_of_events(chunks)
    assert workloads.open_trace(path).metadata["program"] == "true"


@needs_valgrind
def test_limit_and_skip_cut_the_same_trace(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.mmt", tmp_path / "part.mmt.xz"
    record(["true"], whole)
    result = record(["true"], part, Selection(skip=1000, most=5000))
    assert result.accesses == 5000
    assert result.status is None
    first, (cut,) = chunks_of(whole)[0], chunks_of(part)
    assert (cut.kind == first.kind[1000:6000]).all()
    assert (cut.size == first.size[1000:6000]).all()


@needs_valgrind
def test_a_sample_keeps_the_first_of_each_period(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.mmt", tmp_path / "part.mmt"
    record(["true"], whole)
    record(["true"], part, Selection(sample=Sample(1000, 10)))
    kinds = np.concatenate([chunk.kind for chunk in chunks_of(whole)])
    sampled = np.concatenate([chunk.kind for chunk in chunks_of(part)])
    expected = kinds[np.arange(len(kinds)) % 1000 < 10]
    shorter = min(len(expected), len(sampled))
    assert abs(len(expected) - len(sampled)) < 50  # two runs differ a little in their ends
    assert (expected[: shorter // 2] == sampled[: shorter // 2]).all()


@needs_valgrind
def test_children_are_followed_and_run_under_every_technique(tmp_path: Path) -> None:
    path = tmp_path / "shell.mmt"
    result = record(["sh", "-c", "/bin/true; /bin/true; exit 3"], path)
    assert result.status == 3 and result.processes == 3
    chunks = chunks_of(path)
    events = kinds_of_events(chunks)
    assert events.count(FORK) == 2 and events.count(EXEC) == 2
    assert events.count(EXIT) >= 2 and SWITCH in events
    comparison = compare(
        workloads.open_trace(path), presets.load("skylake-sp"), Config(memory=1 << 30),
        ["native", "shadow", "nested"], check=True,
    )  # fmt: skip
    assert comparison.accesses == result.accesses
    alone = record(["sh", "-c", "/bin/true; exit 3"], tmp_path / "b.mmt", children=False)
    assert alone.processes <= 2


@needs_valgrind
def test_contents_of_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sort reads a file of equal lines of 4,096 bytes: its buffer's pages are all equal,
    once it has put a zero byte in place of each line's end."""
    monkeypatch.setattr(recording_contents, "EVERY", 50_000)
    lines = tmp_path / "lines"
    lines.write_bytes((b"x" * 4095 + b"\n") * 256)
    path = tmp_path / "sort.mmt"
    record(["sort", "-o", "/dev/null", str(lines)], path, contents=True)
    tags = [
        int(event["value"])
        for chunk in chunks_of(path)
        for event in chunk.events[chunk.events["kind"] == CONTENT]
    ]
    (tag, times), *_ = Counter(tags).most_common()
    assert times >= 200
    shifts = (b"x" * n + b"\0" + b"x" * (4095 - n) for n in range(4096))
    assert tag in {tag_of(page) for page in shifts}


@needs_valgrind
def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such program"):
        record(["no-such-program-at-all"], tmp_path / "a.mmt")
    assert not list(tmp_path.iterdir())


def test_no_valgrind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="valgrind is not installed"):
        record(["true"], tmp_path / "a.mmt")


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        record(["true"], tmp_path / "none" / "a.mmt")


def test_qemu_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="qemu-x86_64 is not installed"):
        record_qemu(["true"], tmp_path / "a.mmt", Selection())


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="no qemu-x86_64")
def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        record_qemu(["true"], tmp_path / "a.mmt", Selection(), str(tmp_path / "libmem.so"))
