"""gem5's packets are read exactly, however they are cut."""

from __future__ import annotations

import pytest
from drivers.binary_files import ADDRESS, GEM5, GEM5_ACCESSES, GEM5_HEADER, message, parse, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.mmu.trace import LOAD, STORE


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_gem5_packet_by_packet(chunk: int, block: int) -> None:
    assert parse("gem5", GEM5, chunk) == (GEM5_ACCESSES, [])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            ADDRESS, st.sampled_from([1, 4]), st.integers(1, 65535), st.permutations(range(7))
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 30),
)
def test_gem5_fields_in_any_order(packets: list, chunk: int) -> None:
    data = GEM5_HEADER
    for address, command, size, order in packets:
        fields = [(1, 5), (2, command), (3, address), (4, size), (5, 0), (6, 1 << 60), (7, 9)]
        data += message(*(fields[index] for index in order))
    kinds = {1: LOAD, 4: STORE}
    expected = [(signed(a), kinds[command], size) for a, command, size, _ in packets]
    assert parse("gem5", data, chunk) == (expected, [])
