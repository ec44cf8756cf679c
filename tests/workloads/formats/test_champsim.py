"""ChampSim's and Cloudsuite's records are read exactly, however they are cut."""

from __future__ import annotations

import io

import numpy as np
import pytest
from drivers.binary_files import (
    ADDRESS,
    CHAMPSIM,
    CLOUDSUITE,
    CODE,
    Access,
    Switch,
    pack64,
    pack96,
    parse,
    signed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import EVENT, FETCH, LOAD, STORE, Chunk
from mmulab.workloads.formats import champsim

# --- ChampSim and Cloudsuite ----------------------------------------------------------


@st.composite
def instruction(draw: st.DrawFn) -> tuple[int, list[int], list[int], int]:
    """ip, load slots, store slots (0: unused), ASID"""
    slot = st.just(0) | ADDRESS
    return (
        draw(ADDRESS),
        draw(st.lists(slot, min_size=4, max_size=4)),
        draw(st.lists(slot, min_size=4, max_size=4)),
        draw(st.integers(0, 3)),
    )


def expected_of(program: list, slots: int) -> tuple[list[Access], list[Switch]]:
    accesses: list[Access] = []
    switches: list[Switch] = []
    before = -1
    for ip, loads, stores, asid in program:
        if slots == 4 and before != asid + 256:
            before = asid + 256
            switches.append((len(accesses), before, 0))
        accesses.append((signed(ip), FETCH, 1))
        accesses += [(signed(a), LOAD, 1) for a in loads if a]
        accesses += [(signed(a), STORE, 1) for a in stores[:slots] if a]
    return accesses, switches


@settings(max_examples=60, deadline=None)
@given(st.lists(instruction(), min_size=1, max_size=40), st.integers(1, 50))
def test_champsim_records_are_read_in_order(program: list, chunk: int) -> None:
    data = b"".join(pack64(*one) for one in program)
    assert parse("champsim", data, chunk) == expected_of(program, 2)
    data = b"".join(pack96(*one) for one in program)
    assert parse("cloudsuite", data, chunk) == expected_of(program, 4)


def test_champsim_across_blocks(block: int) -> None:
    assert parse("champsim", CHAMPSIM) == expected_of(CODE, 2)
    assert parse("cloudsuite", CLOUDSUITE) == expected_of(CODE, 4)


# --- Losslessly into the columnar file, and writers -----------------------------------


def test_champsim_has_no_address_0() -> None:
    chunk = Chunk(
        np.zeros(1, np.int64), np.zeros(1, np.uint8), np.ones(1, np.uint16), np.zeros(0, EVENT)
    )
    with pytest.raises(InputError, match="address 0"):
        champsim.write(io.BytesIO(), [chunk])
