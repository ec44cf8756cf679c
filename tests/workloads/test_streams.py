"""Compressed streams: recognised by content, whole or one clear sentence, in bounded memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import NO_EVENTS, Chunk
from mmulab.workloads import streams
from mmulab.workloads.formats.columnar import ColumnarWriter

zstd = streams._zstd("tests")

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstd.compress,
}
DATA = b"".join(b"%012x R\n" % (4096 * (i * i % 8191)) for i in range(3000))


def everything(data: bytes) -> bytes:
    stream = streams.ByteStream(io.BytesIO(data), "x", None)
    parts = iter(lambda: stream.read(1000), b"")
    return b"".join(parts)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_archives_are_known_by_content_and_join_when_concatenated(suffix: str) -> None:
    archive = COMPRESS[suffix](DATA)
    assert streams.compression(archive) == suffix
    assert everything(archive) == DATA
    assert everything(archive + COMPRESS[suffix](b"more")) == DATA + b"more"


def test_a_zst_may_begin_with_a_skippable_frame() -> None:
    # RFC 8878, 3.1.2: magic 0x184D2A50 to 5F, a length, and data that says nothing.
    for number in (0x50, 0x5F):
        skipped = bytes([number]) + b"\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
        assert everything(skipped + zstd.compress(DATA)) == DATA


@pytest.mark.parametrize("start", [b"BZh 1AY&", b"BZhello", b"\x28\xb5\x2f", b"P*M\n", b"\x1f"])
def test_what_only_looks_compressed_is_plain(start: bytes) -> None:
    assert everything(start + DATA) == start + DATA


@pytest.mark.parametrize("suffix", COMPRESS)
def test_every_truncation_is_said(suffix: str) -> None:
    archive = COMPRESS[suffix](DATA)
    for cut in {*range(10, len(archive), len(archive) // 7), len(archive) - 1}:
        with pytest.raises(InputError, match="x: truncated"):
            everything(archive[:cut])


@pytest.mark.parametrize("suffix", COMPRESS)
@settings(max_examples=60, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), xor=st.integers(1, 255))
def test_damage_is_said_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, where: float, xor: int
) -> None:
    path = tmp_path_factory.mktemp("damage") / "whole"
    with streams.open_for_writing(path, suffix) as file:
        file.write(DATA)
    archive = bytearray(path.read_bytes())
    at = 10 + int(where * (len(archive) - 10))  # a file whose magic is damaged is not compressed
    archive[at] ^= xor
    try:
        assert everything(bytes(archive)) == DATA
    except InputError as error:
        assert str(error).startswith("x: ")
        assert "corrupt" in str(error) or "truncated" in str(error)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_an_archive_of_much_is_streamed(suffix: str) -> None:
    claimed = 32 << 20
    bomb = COMPRESS[suffix](bytes(claimed))
    tracemalloc.start()
    stream = streams.ByteStream(io.BytesIO(bomb), "bomb", None)
    read = 0
    while part := stream.read(1 << 20):
        read += len(part)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == claimed
    assert peak < 16 << 20  # .xz has a dictionary of 8 MiB


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
def test_a_pipe_that_drips(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = COMPRESS[suffix](DATA) if suffix else DATA
    out, into = os.pipe()

    def drip() -> None:
        with open(into, "wb", buffering=0) as pipe:
            for at in range(12):
                pipe.write(data[at : at + 1])
            pipe.write(data[12:])

    writer = threading.Thread(target=drip)
    writer.start()
    with open(out, "rb") as pipe:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=pipe))
        trace = workloads.open_trace("-")
        assert sum(chunk.accesses for chunk in trace.chunks()) == 3000
    writer.join()


@pytest.mark.parametrize("suffix", ["", *COMPRESS])
def test_what_is_written_is_read_and_does_not_depend_on_its_name(
    suffix: str, tmp_path: Path
) -> None:
    assert streams.compresses(suffix) == bool(suffix)
    for name in ("one", "two"):
        with streams.open_for_writing(tmp_path / name, suffix) as file:
            file.write(DATA[:1000])
            file.write(DATA[1000:])
    first, second = (tmp_path / name).read_bytes(), (tmp_path / "two").read_bytes()
    assert first == second
    assert streams.compression(first) == suffix
    assert everything(first) == DATA


@pytest.mark.parametrize("suffix", COMPRESS)
def test_columnar_files_take_every_compression(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.mmt{suffix}"
    address = np.arange(50_000) * 64
    chunk = Chunk(address, np.zeros(50_000, np.uint8), np.ones(50_000, np.uint16), NO_EVENTS)
    with ColumnarWriter(path, {}) as writer:
        writer.write(chunk)
    assert path.stat().st_size < 50_000
    (back,) = workloads.open_trace(path).chunks()
    assert (back.address == address).all()


def test_without_a_package_for_zst_the_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    archive = zstd.compress(DATA)
    monkeypatch.setattr(streams, "import_module", missing)
    with pytest.raises(InputError, match=r"pip install 'mmulab\[zst\]'"):
        everything(archive)
    with pytest.raises(InputError, match=r"pip install 'mmulab\[zst\]'"):
        ColumnarWriter(tmp_path / "a.mmt.zst", {})
    assert not list(tmp_path.iterdir())
