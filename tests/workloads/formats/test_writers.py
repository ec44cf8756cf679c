"""Traces go losslessly into the columnar file; writers keep what they say they hold."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from drivers.binary_files import ADDRESS, FIXTURES, flat, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.trace import EVENT, SWITCH, Chunk
from mmulab.workloads import formats
from mmulab.workloads.formats import Options, champsim, cloudsuite, npy
from mmulab.workloads.formats.columnar import ColumnarWriter
from mmulab.workloads.streams import ByteStream


@pytest.mark.parametrize("name", FIXTURES)
def test_columnar_keeps_everything(name: str, tmp_path: Path) -> None:
    stream = ByteStream(io.BytesIO(FIXTURES[name]), name, None)
    chunks = list(formats.get(name).read(stream, Options(chunk_accesses=7)))
    with ColumnarWriter(tmp_path / "a.mmt", {}) as writer:
        for chunk in chunks:
            writer.write(chunk)
    assert flat(list(workloads.open_trace(tmp_path / "a.mmt").chunks())) == flat(chunks)


@st.composite
def some_chunks(draw: st.DrawFn) -> list[Chunk]:
    made = []
    for _ in range(draw(st.integers(1, 3))):
        rows = draw(
            st.lists(st.tuples(ADDRESS, st.integers(0, 2), st.integers(1, 65535)), max_size=40)
        )
        positions = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
        switches = [
            (p, SWITCH, draw(st.integers(1, 3)), 0, 0, draw(st.integers(0, 2))) for p in positions
        ]
        made.append(
            Chunk(
                np.array([signed(row[0]) for row in rows], np.int64),
                np.array([row[1] for row in rows], np.uint8),
                np.array([row[2] for row in rows], np.uint16),
                np.array(switches, EVENT),
            )
        )
    return made


def owners(chunks: list[Chunk], first: int) -> list[tuple[int, int]]:
    """Process and thread of every access."""
    accesses, switches = flat(chunks)
    found = []
    who = (first, 0)
    for index in range(len(accesses)):
        for position, pid, tid in switches:
            if position == index:
                who = (pid, tid)
        found.append(who)
    return found


@settings(max_examples=80, deadline=None)
@given(some_chunks())
def test_writers_keep_what_they_say_they_hold(chunks: list[Chunk]) -> None:
    accesses, _ = flat(chunks)
    if not accesses:
        return
    for module in (champsim, cloudsuite, npy):
        file = io.BytesIO()
        module.write(file, iter(chunks))
        stream = ByteStream(io.BytesIO(file.getvalue()), "back", None)
        back = list(module.read(stream, Options(chunk_accesses=11)))
        holds = module.HOLDS
        found, _ = flat(back)
        assert [a[:2] for a in found] == [a[:2] for a in accesses]
        assert ("size" in holds) == (module is npy)
        if "size" in holds:
            assert found == accesses
        if "process" in holds:
            assert [o[0] for o in owners(back, 1)] == [o[0] for o in owners(chunks, 1)]
        if "thread" in holds:
            assert owners(back, 1) == owners(chunks, 1)
