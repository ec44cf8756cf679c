"""Archives and compression that are not read: known by their magic numbers, with the cure."""

from __future__ import annotations

from collections.abc import Iterable

#: (where, bytes, what it is and the cure)
Magic = tuple[int, bytes, str]

PACKED: tuple[Magic, ...] = (
    (257, b"ustar", "a tar archive; unpack it and name one of the files in it"),
    (0, b"\xff\x06\x00\x00sNaPpY", "compressed with snappy; decompress it first (snzip -d)"),
    (0, b"\x04\x22\x4d\x18", "compressed with LZ4; decompress it first (lz4 -d)"),
    (0, b"LZIP", "compressed with lzip; decompress it first (lzip -d)"),
    (0, b"\x89LZO", "compressed with LZO; decompress it first (lzop -d)"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and name one of the files in it"),
    (0, b"Rar!", "a RAR archive; unpack it and name one of the files in it"),
    (0, b"\xfd7zXZ\x00", "compressed more than once; decompress it first (xz -d)"),
    (0, b"\x28\xb5\x2f\xfd", "compressed more than once; decompress it first (zstd -d)"),
)


def by_magic(head: bytes, known: Iterable[Magic]) -> str:
    """What a file that begins so is; empty where no magic number fits."""
    return next((what for at, magic, what in known if head.startswith(magic, at)), "")
