"""DynamoRIO's records are read exactly, however they are cut."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest
from drivers.binary_files import (
    DRMEMTRACE,
    DRMEMTRACE_ACCESSES,
    DRMEMTRACE_SWITCHES,
    FOOTER,
    VERSION,
    detected,
    entry,
    flat,
    parse,
    zipped,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.trace import FETCH, LOAD, STORE


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_drmemtrace_record_by_record(chunk: int, block: int) -> None:
    assert parse("drmemtrace", DRMEMTRACE, chunk) == (DRMEMTRACE_ACCESSES, DRMEMTRACE_SWITCHES)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_drmemtrace_in_a_zip_of_chunks(tmp_path: Path, method: int) -> None:
    path = tmp_path / "drmemtrace.app.1.trace.zip"
    chunk_footer = entry(28, 21, 0)
    first, second = DRMEMTRACE[: 12 * 9] + chunk_footer, DRMEMTRACE[12 * 9 :]
    path.write_bytes(zipped(first, second, method=method))
    trace = workloads.open_trace(path)
    assert flat(list(trace.chunks())) == (DRMEMTRACE_ACCESSES, DRMEMTRACE_SWITCHES)
    assert detected(path.read_bytes()) == ["drmemtrace"]


def test_drmemtrace_in_gz_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "drmemtrace.app.1.trace.gz"
    path.write_bytes(gzip.compress(DRMEMTRACE))
    assert flat(list(workloads.open_trace(path).chunks()))[0] == DRMEMTRACE_ACCESSES


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 10, 11, 12, 13, 14, 15, 16, 31, 48, 49, 2, 9, 28, 47]),
            st.integers(1, 65535),
            st.integers(0, (1 << 47) - 1),
        ),
        max_size=60,
    ),
    st.integers(1, 20),
)
def test_drmemtrace_of_any_records(rows: list, chunk: int) -> None:
    kinds = {0: LOAD, 1: STORE, 2: None, 9: None, 28: None, 47: None}
    expected = [(v, kinds.get(t, FETCH), s) for t, s, v in [(0, 8, 64), *rows]]
    data = VERSION + entry(22, 4, 9) + entry(24, 4, 8) + entry(0, 8, 64)
    data += b"".join(entry(*row) for row in rows) + FOOTER
    accesses, switches = parse("drmemtrace", data, chunk)
    assert accesses == [row for row in expected if row[1] is not None]
    assert switches == [(0, 8, 9)]
