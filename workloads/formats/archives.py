"""Traces inside a .zip: its members, streamed one after another."""

from __future__ import annotations

import errno
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from mmulab.mmu.errors import InputError
from mmulab.workloads.streams import HEAD, ByteStream

#: Local file header (PKWARE's APPNOTE.TXT, 4.3.7), up to the name.
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_MAGIC = b"PK\x03\x04"
_STORED, _DEFLATED = 0, 8

#: What the zipfile module raises for archives that are damaged or use what it cannot do.
#: OSError and the last three come of offsets, sizes and names that are not those of the file.
ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
    OSError, struct.error, OverflowError, UnicodeDecodeError,
)  # fmt: skip


def is_zip(head: bytes) -> bool:
    return head.startswith(_MAGIC)


def first_member(head: bytes) -> tuple[str, bytes] | None:
    """Name of the first member, and the beginning of its data, from an archive's beginning.

    None where head is no archive; empty data where the member is compressed otherwise
    than by deflation.
    """
    if not is_zip(head) or len(head) < _LOCAL.size:
        return None
    _, _, _, method, *_, name_length, extra_length = _LOCAL.unpack_from(head)
    name = head[_LOCAL.size : _LOCAL.size + name_length].decode("utf-8", "replace")
    data = head[_LOCAL.size + name_length + extra_length :]
    if method == _DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, HEAD)
        except zlib.error:
            data = b""
    return name, data if method in (_STORED, _DEFLATED) else b""


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Makes an InputError of whatever is wrong with an archive."""
    try:
        yield
    except ERRORS as error:
        outside = isinstance(error, OSError) and error.errno == errno.EINVAL
        what = "its directory leads outside of the file" if outside else error
        raise InputError(f"{name}: a .zip that cannot be read: {what}") from None


def open_archive(stream: ByteStream) -> zipfile.ZipFile:
    """The archive that a stream is the beginning of. Raises InputError where it cannot be."""
    if stream.plain is None:
        raise InputError(
            f"{stream.name}: a .zip has its directory at its end and needs a file that is not "
            "compressed once more, not standard input"
        )
    with reading(stream.name):
        return zipfile.ZipFile(stream.plain)


class Members(ByteStream):
    """All members of an archive in the order of its directory, as one stream."""

    def __init__(self, stream: ByteStream) -> None:
        self.name = stream.name
        self.plain = None
        self._archive = open_archive(stream)
        # Not is_dir(): a name may be empty in a file that is damaged.
        members = self._archive.infolist()
        self._left = [each for each in members if not each.filename.endswith("/")][::-1]
        self._member: IO[bytes] | None = None
        self._head = b""
        self._head = self.read(HEAD)

    def read(self, count: int) -> bytes:
        """Up to count bytes; fewer only at the end. Raises InputError."""
        start, self._head = self._head[:count], self._head[count:]
        parts = [start]
        count -= len(start)
        with reading(self.name):
            while count:
                if self._member is None:
                    if not self._left:
                        break
                    self._member = self._archive.open(self._left.pop())
                part = self._member.read(count)
                if not part:
                    self._member.close()
                    self._member = None
                parts.append(part)
                count -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        self._archive.close()
