"""Recording a real program, where Valgrind is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import workloads
from mmu.errors import InputError
from mmu.trace import FETCH, MMAP
from workloads.record import record

needs_valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind")


@needs_valgrind
def test_a_program_is_recorded_whole(tmp_path: Path) -> None:
    path = tmp_path / "true.mmt"
    result = record(["true"], path)
    chunks = list(workloads.open_trace(path).chunks())
    assert result.status == 0
    assert result.accesses == sum(c.accesses for c in chunks) > 10_000
    assert any((c.kind == FETCH).any() for c in chunks)
    assert any((c.events["kind"] == MMAP).any() for c in chunks)


@needs_valgrind
def test_limit_and_skip_cut_the_same_trace(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.mmt", tmp_path / "part.mmt.xz"
    record(["true"], whole)
    result = record(["true"], part, max_accesses=5000, skip=1000)
    assert result.accesses == 5000
    assert result.status is None
    (first, *_), (cut,) = (list(workloads.open_trace(p).chunks()) for p in (whole, part))
    assert (cut.kind == first.kind[1000:6000]).all()
    assert (cut.size == first.size[1000:6000]).all()


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
