"""Compressed streams: read, several members, truncated, corrupt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmu.errors import InputError
from workloads.streams import COMPRESSED, open_stream, open_writing

CONTENT = b"".join(b"%x R\n" % (n * 4096) for n in range(20_000))


def compressed(path: Path, content: bytes = CONTENT) -> bytes:
    with open_writing(path, path.suffix) as file:
        file.write(content)
    return path.read_bytes()


def everything(path: Path) -> bytes:
    stream = open_stream(str(path))
    try:
        return b"".join(iter(lambda: stream.read(10_000), b""))
    finally:
        stream.close()


@pytest.mark.parametrize("suffix", ["", *COMPRESSED])
def test_what_was_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    data = compressed(path)
    assert everything(path) == CONTENT
    path.with_name("renamed").write_bytes(data)  # recognised by content, not by name
    assert everything(path.with_name("renamed")) == CONTENT


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_several_members(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(compressed(path) + compressed(path, b"1 R\n"))
    assert everything(path) == CONTENT + b"1 R\n"


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def damage(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 40]) + data[middle + 40 :]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("harm", [cut, damage])
def test_truncated_and_corrupt(suffix: str, harm: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(harm(compressed(path)))
    with pytest.raises(InputError, match=r"truncated|corrupt|Invalid|CRC"):
        everything(path)


def test_a_small_archive_of_very_much_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zst"
    with open_writing(path, ".zst") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    stream = open_stream(str(path))
    assert len(stream.read(1 << 20)) == 1 << 20
    stream.close()
