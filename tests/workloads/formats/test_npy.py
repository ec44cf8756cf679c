"""NumPy's files of addresses and of columns are read exactly."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from drivers.binary_files import ADDRESSES, NPY, Access, Switch, detected, flat, saved, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.trace import LOAD


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("dtype", ["<i8", ">i8", "<u8", "<u4", "<i4", "<u2"])
def test_npy_of_addresses(tmp_path: Path, dtype: str, plain: bool) -> None:
    values = np.array([0, 7, 40000, 3], dtype)
    if dtype.endswith("8"):
        values = np.append(values, np.array([-4096], np.int64).view(np.uint64).astype(dtype))
    path = tmp_path / "a.npy"
    path.write_bytes(saved(values) if plain else gzip.compress(saved(values)))
    trace = workloads.open_trace(path, chunk_accesses=2)
    assert trace.length == (len(values) if plain else None)
    assert [a[0] for a in flat(list(trace.chunks()))[0]] == [
        signed(int(v) & ((1 << 64) - 1)) for v in values
    ]


@st.composite
def columns(draw: st.DrawFn) -> dict[str, np.ndarray]:
    count = draw(st.integers(1, 40))

    def column(values: st.SearchStrategy[int], dtype: str) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=count, max_size=count)), dtype)

    chosen = {"address": column(st.integers(-(1 << 47), (1 << 47) - 1), "<i8")}
    for name, values, dtype in (
        ("kind", st.integers(0, 2), "u1"),
        ("size", st.integers(1, 65535), "<u4"),
        ("pid", st.integers(1, 3), "<i4"),
        ("tid", st.integers(0, 2), "<u8"),
    ):
        if draw(st.booleans()):
            chosen[name] = column(values, dtype)
    return chosen


def expected_of_columns(given_: dict[str, np.ndarray]) -> tuple[list[Access], list[Switch]]:
    count = len(given_["address"])
    defaults = {"kind": LOAD, "size": 1, "pid": 1, "tid": 0}
    full = {
        name: given_[name].tolist() if name in given_ else [defaults[name]] * count
        for name in ("address", *defaults)
    }
    switches = []
    before = (1, 0)
    for index, who in enumerate(zip(full["pid"], full["tid"], strict=True)):
        if who != before:
            switches.append((index, *who))
            before = who
    return list(zip(full["address"], full["kind"], full["size"], strict=True)), switches


@settings(max_examples=80, deadline=None)
@given(given_=columns(), chunk=st.integers(1, 50), pack=st.booleans())
def test_npy_of_columns(
    tmp_path_factory: pytest.TempPathFactory, given_: dict, chunk: int, pack: bool
) -> None:
    path = tmp_path_factory.mktemp("npy") / "a"
    if pack:
        with open(path, "wb") as file:
            np.savez_compressed(file, **given_)
    else:
        dtype = np.dtype([(name, column.dtype) for name, column in given_.items()])
        rows = np.empty(len(given_["address"]), dtype)
        for name, column in given_.items():
            rows[name] = column
        np.save(open(path, "wb"), rows)  # noqa: SIM115
    trace = workloads.open_trace(path, chunk_accesses=chunk)
    assert flat(list(trace.chunks())) == expected_of_columns(given_)


def test_npz_of_a_lone_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, ADDRESSES)
    assert [a[0] for a in flat(list(workloads.open_trace(path).chunks()))[0]] == ADDRESSES.tolist()
    assert detected(path.read_bytes()) == ["npy"]


def test_a_plain_npy_is_mapped_and_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(NPY)
    (chunk,) = workloads.open_trace(path).chunks()
    owner = chunk.address
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert not chunk.address.flags.owndata
    assert isinstance(owner, np.memmap)
