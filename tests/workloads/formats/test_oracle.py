"""libCacheSim's requests are read and written exactly, however they are cut."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from drivers.binary_files import ORACLE, parse, request
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.mmu.trace import EVENT, LOAD, STORE, Chunk
from mmulab.workloads.formats import oracle

# --- libCacheSim ----------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=50), st.integers(1, 60))
def test_oracle_objects_are_pages(objects: list[int], chunk: int) -> None:
    data = b"".join(request(1, each, 9, -1) for each in objects)
    pages = [each % (1 << (48 - 1 - 12)) for each in objects]
    assert parse("oracle", data, chunk) == ([(4096 * page, LOAD, 1) for page in pages], [])


def test_oracle_across_blocks(block: int) -> None:
    assert len(parse("oracle", ORACLE, 9)[0]) == 200


# --- Losslessly into the columnar file, and writers -----------------------------------


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=30), min_size=1, max_size=4), st.integers(1, 12)
)
def test_oracle_writes_the_next_request_of_each_page(pages: list[list[int]], piece: int) -> None:
    chunks = []
    for some in pages:
        address = np.array(some, np.int64) * 4096 + 5
        kind = np.full(len(some), STORE, np.uint8)
        chunks.append(Chunk(address, kind, np.ones(len(some), np.uint16), np.zeros(0, EVENT)))
    whole = [page for some in pages for page in some]
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oracle, "_PIECE", piece)
        oracle.write(file, chunks)
    expected = [
        (0, page, 4096, whole.index(page, at + 1) + 1 if page in whole[at + 1 :] else -1)
        for at, page in enumerate(whole)
    ]
    assert list(struct.iter_unpack("<IQIq", file.getvalue())) == expected
