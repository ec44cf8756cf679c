"""Binary traces are known by content; bad ones are one sentence."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from drivers.binary_files import (
    ADDRESSES,
    CHAMPSIM,
    CLOUDSUITE,
    DRMEMTRACE,
    FIXTURES,
    FOOTER,
    GEM5,
    NPY,
    ORACLE,
    VERSION,
    detected,
    entry,
    message,
    pack64,
    packet,
    parse,
    saved,
    varint,
    zipped,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.errors import InputError

OTHERS = {
    "lackey": b"I  0401ab70,3\n L 04025e38,16\n" * 200,
    "plain": b"0041f7a0 R\n0x13f5e2c0 W\n" * 200,
}


@pytest.mark.parametrize("name", [*FIXTURES, *OTHERS])
def test_each_format_is_taken_for_itself_alone(name: str) -> None:
    data = {**FIXTURES, **OTHERS}[name]
    assert detected(data) == [name]
    assert detected(data[: 2 * 96]) in ([name], [])  # short: perhaps not known, never mistaken


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=64, max_size=4096) | st.builds(bytes, st.integers(64, 4096)))
def test_noise_and_zeros_are_no_trace(data: bytes) -> None:
    assert detected(data) == []


# --- Bad input ------------------------------------------------------------------------


def npy_with(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


FAR = 1 << 50  # not canonical in 48 bits
RAW = struct.pack("<3Q", 0xC407000000000040, 0x4000000000003F92, 0x6000000000003F92)

BAD = {
    "champsim-cut": ("champsim", CHAMPSIM[:-1], "truncated at byte 6,399.*begins at byte 6,336"),
    "champsim-far": ("champsim", CHAMPSIM + pack64(FAR, [0] * 4, [0] * 4, 0), "byte 6,400: addr"),
    "cloudsuite-cut": ("cloudsuite", CLOUDSUITE[:-90], "truncated at byte 9,510"),
    "champsim-empty": ("champsim", bytes(128), "no memory accesses"),
    "oracle-cut": ("oracle", ORACLE + b"x", "truncated at byte 4,801"),
    "dr-cut": ("drmemtrace", DRMEMTRACE[:-5], "truncated at byte"),
    "dr-footer": ("drmemtrace", DRMEMTRACE[:-12], "footer is missing"),
    "dr-type": (
        "drmemtrace",
        DRMEMTRACE + entry(51, 0, 0),
        "byte 396: a record of unknown type 51",
    ),
    "dr-bundle": ("drmemtrace", DRMEMTRACE + entry(17, 9, 0), "byte 396: a bundle of 9"),
    "dr-far": (
        "drmemtrace",
        DRMEMTRACE + entry(0, 8, FAR),
        "byte 396: address 0x4000000000000 not",
    ),
    "dr-version": ("drmemtrace", DRMEMTRACE + entry(25, 0, 99), "byte 396: a header of version 99"),
    "dr-32-bit": ("drmemtrace", struct.pack("<HHI", 25, 0, 7) * 4, "of a 64-bit program"),
    "dr-raw": ("drmemtrace", RAW, "drraw2trace first"),
    "dr-none": ("drmemtrace", VERSION + FOOTER, "no memory accesses"),
    "dr-zip-pipe": ("drmemtrace", zipped(DRMEMTRACE), "not standard input"),
    "gem5-cut": ("gem5", GEM5[:-1], "truncated at byte"),
    "gem5-header": ("gem5", GEM5[:20], "truncated at byte 20, in the header"),
    "gem5-long": ("gem5", GEM5 + varint(1 << 40), "a message of 1099511627776 bytes"),
    "gem5-varint": ("gem5", GEM5 + b"\xff" * 12, "not a Protocol Buffers message"),
    "gem5-wire": ("gem5", GEM5 + b"\x02\x0b\x00", "not a Protocol Buffers message"),
    "gem5-fields": ("gem5", GEM5 + message((1, 4), (2, 1), (3, 64)), "without tick, cmd, addr"),
    "gem5-size": ("gem5", GEM5 + packet(1, 64, 1 << 20), "a packet of 1048576 bytes"),
    "gem5-command": ("gem5", GEM5 + packet(256, 64, 8), "a packet of command 256"),
    "gem5-far": ("gem5", GEM5 + packet(1, FAR, 8), "not canonical in 48 bits"),
    "gem5-inst": (
        "gem5",
        b"gem5" + message((1, b"cpu"), (3, 10**12), (4, 1)),
        "not the header of a packet trace",
    ),
    "npy-cut": ("npy", NPY[:-1], "truncated at byte 8,127: expected 1,000 entries"),
    "npy-header": ("npy", NPY[:50], "truncated at byte 50, in the header"),
    "npy-long": ("npy", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", "a header of 2,147,483,647 bytes"),
    "npy-code": ("npy", npy_with("__import__('os')"), "not the header of a .npy"),
    "npy-huge": (
        "npy",
        npy_with("{'descr': '<i8', 'fortran_order': False, 'shape': (10000000000000,)}"),
        "truncated at byte",
    ),
    "npy-wide": (
        "npy",
        npy_with("{'descr': [('address', '<i8'), ('x', 'V2000000000')], 'shape': (9,)}"),
        "entries of 2,000,000,008 bytes",
    ),
    "npy-2d": ("npy", saved(ADDRESSES.reshape(10, 100)), "2 dimensions"),
    "npy-float": ("npy", saved(ADDRESSES / 2), "of type float64; expected integers"),
    "npy-object": ("npy", saved(np.array([{}], object)), "never loaded"),
    "npy-fields": ("npy", saved(np.zeros(3, [("adress", "<i8")])), "expected a field address"),
    "npy-far": ("npy", saved(np.array([1, FAR])), "entry 1: address 0x4000000000000 not canonical"),
    "npy-kind": (
        "npy",
        saved(np.array([(1, 0), (1, 3)], [("address", "<i8"), ("kind", "u1")])),
        "entry 1: kind 3; expected 0 to 2",
    ),
    "npy-size": (
        "npy",
        saved(np.array([(1, 0)], [("address", "<i8"), ("size", "<u8")])),
        "entry 0: size 0; expected 1 to 65535",
    ),
    "npy-none": ("npy", saved(ADDRESSES[:0]), "no memory accesses"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case: str) -> None:
    name, data, expected = BAD[case]
    with pytest.raises(InputError, match=expected) as caught:
        parse(name, data)
    assert str(caught.value).startswith("fuzz: ")
    assert "\n" not in str(caught.value)


def test_a_plain_npy_that_claims_too_much(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(NPY[:-8])
    with pytest.raises(InputError, match="truncated at byte 8,120"):
        list(workloads.open_trace(path).chunks())


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"address": ADDRESSES, "size": ADDRESSES[1:]}, "999 entries; expected 1,000"),
        ({"a": ADDRESSES, "b": ADDRESSES}, "expected address.npy"),
    ],
)
def test_bad_npz(tmp_path: Path, arrays: dict, expected: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=expected):
        list(workloads.open_trace(path).chunks())


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A format, and a file of it in which something is changed, cut, or doubled; or noise."""
    name = draw(st.sampled_from(sorted(FIXTURES)))
    data = bytearray(FIXTURES[name][:2000])
    if draw(st.integers(0, 9)) == 0:
        return name, draw(st.binary(min_size=1, max_size=300))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        what = draw(st.sampled_from(["change", "cut", "insert", "double"]))
        if what == "change":
            data[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif what == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=20))
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 200))]
        if not data:
            data = bytearray(b"\0")
    return name, bytes(data)


@settings(max_examples=400, deadline=None)
@given(mutated(), st.integers(1, 60))
def test_damaged_files_are_read_or_refused(case: tuple[str, bytes], chunk: int) -> None:
    name, data = case
    try:
        accesses, _ = parse(name, data, chunk)
        assert accesses
    except InputError as error:
        assert str(error).startswith("fuzz: ")
        assert "\n" not in str(error)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_archives_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    file = io.BytesIO()
    np.savez_compressed(file, address=ADDRESSES, size=np.ones(1000, np.int64))
    whole = data.draw(st.sampled_from([zipped(DRMEMTRACE, FOOTER), file.getvalue()]))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(30, len(damaged)))])
    try:
        list(workloads.open_trace(path, chunk_accesses=100).chunks())
    except InputError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(("compressed", "name"), [(False, "é"), (True, "address")])
def test_an_archive_with_any_byte_changed(tmp_path: Path, compressed: bool, name: str) -> None:
    """Its offsets and sizes too, which may lead before the file's beginning, or nowhere, and
    what its names are written in."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **{name: np.arange(4, dtype=np.int64)})
    whole = file.getvalue()
    path = tmp_path / "a.npz"
    refused = 0
    for at in range(4, len(whole)):
        for change in (0x01, 0x80, 0xFF):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])
            try:
                list(workloads.open_trace(path).chunks())
            except InputError as error:
                refused += 1
                assert str(path) in str(error) and "\n" not in str(error)
    assert refused > len(whole)


def test_an_archive_whose_member_has_no_name(tmp_path: Path) -> None:
    whole = zipped(DRMEMTRACE)
    name = b"chunk.0000"
    at = whole.rindex(name)
    path = tmp_path / "a.zip"
    path.write_bytes(whole[:at] + b"\0" + whole[at + 1 :])
    with pytest.raises(InputError, match="a .zip that cannot be read"):
        list(workloads.open_trace(path).chunks())
