"""Bytes of a trace file, plain or compressed, or of standard input; recognised by content."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from pathlib import Path
from typing import BinaryIO

from mmu.errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\x00"
BZIP2_MAGIC = b"BZh"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

#: Suffixes of files that are compressed when they are written.
COMPRESSED = (".gz", ".xz", ".bz2", ".zst")

#: Bytes that detection may look at.
HEAD = 4096

_BUFFER = 1 << 20


class CorruptError(Exception):
    """Compressed data that is not what its format allows."""


class ByteStream:
    """Decompressed bytes, read once from front to back.

    name: for messages. plain: the path, where the file is uncompressed and can be
    memory-mapped. Every error of reading is an InputError that names the file.
    """

    def __init__(self, raw: BinaryIO, name: str, path: Path | None) -> None:
        self.name = name
        self._raw = raw
        self._source = io.BufferedReader(raw, _BUFFER) if isinstance(raw, io.RawIOBase) else raw
        start = self._source.peek(8)[:8] if hasattr(self._source, "peek") else b""
        self.plain = path
        self._data: BinaryIO = self._source
        if start.startswith(GZIP_MAGIC):
            self._data, self.plain = gzip.open(self._source), None  # type: ignore[assignment]
        elif start.startswith(XZ_MAGIC):
            self._data, self.plain = lzma.open(self._source), None  # type: ignore[assignment]
        elif start.startswith(BZIP2_MAGIC):
            self._data, self.plain = bz2.open(self._source), None  # type: ignore[assignment]
        elif start.startswith(ZSTD_MAGIC):
            from workloads.zstd import ZstdReader

            self._data, self.plain = ZstdReader(self._source, name), None  # type: ignore[assignment]
        self._head = b""
        self._head = self.read(HEAD)
        if not self._head:
            raise InputError(f"{name}: is empty; expected a memory trace")

    @property
    def head(self) -> bytes:
        """The first bytes that have not been read yet; for detection."""
        return self._head

    def read(self, count: int) -> bytes:
        """Up to count bytes; fewer only at the end."""
        if self._head:
            start, self._head = self._head[:count], self._head[count:]
            return start if len(start) == count else start + self.read(count - len(start))
        parts = []
        try:
            while count:
                part = self._data.read(count)
                if not part:
                    break
                parts.append(part)
                count -= len(part)
        except EOFError:
            raise InputError(f"{self.name}: truncated: the compressed data ends early") from None
        except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, CorruptError) as error:
            raise InputError(f"{self.name}: corrupt compressed data: {error}") from None
        except OSError as error:
            raise InputError(f"{self.name}: {error.strerror or error}") from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        self._data.close()
        self._raw.close()


def open_stream(path: str) -> ByteStream:
    """The bytes of a file, or of standard input for '-'. Raises InputError."""
    if path == "-":
        return ByteStream(sys.stdin.buffer, "standard input", None)
    try:
        raw = open(path, "rb")  # noqa: SIM115  (ByteStream closes it)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory; expected a trace file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    return ByteStream(raw, path, Path(path))


def open_writing(path: Path, suffix: str) -> BinaryIO:
    """A file to write to, compressed as a suffix says. Raises InputError where it can't be."""
    if suffix == ".xz":
        return lzma.open(path, "wb", preset=9)  # type: ignore[return-value]
    if suffix == ".gz":
        return gzip.GzipFile(path, "wb", mtime=0)  # type: ignore[return-value]
    if suffix == ".bz2":
        return bz2.open(path, "wb")  # type: ignore[return-value]
    if suffix == ".zst":
        from workloads.zstd import open_writing as open_zstd

        return open_zstd(path)
    return open(path, "wb")
