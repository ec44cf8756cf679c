"""Bytes of a trace file, plain or compressed, or of standard input; recognised by content.

Compression is known by its magic number, never by the file's name:

    .gz    1f 8b                        RFC 1952
    .xz    fd '7zXZ' 00                 The .xz File Format, section 2.1.1.1
    .bz2   'BZh' 1-9, then a block's 31 41 59 26 53 59, or an empty file's 17 72 45 38 50 90
    .zst   28 b5 2f fd, or a skippable frame's 50-5f 2a 4d 18        RFC 8878, section 3.1

Concatenated archives read as one. Decompression is streamed, so that memory does not
depend on what an archive claims to hold.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import sys
import zlib
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from mmulab.mmu.errors import InputError, printable
from mmulab.workloads.ahead import ReadAhead

GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\x00"
BZIP2_MAGIC = b"BZh"
BZIP2_BLOCKS = (b"1AY&", b"\x17rE8")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = b"\x2a\x4d\x18"

UTF8_MARK = b"\xef\xbb\xbf"

#: Suffixes that `open_for_writing` compresses for.
COMPRESSED = (".gz", ".xz", ".bz2", ".zst")

#: Bytes that detection may look at.
HEAD = 4096

_BUFFER = 1 << 20
_MAGIC_BYTES = 8

#: Compression levels when writing: traces are written once and read often.
_XZ_PRESET, _ZSTD_LEVEL = 9, 12


def compression(start: bytes) -> str:
    """Suffix of the compression of a file that starts so; empty where it has none."""
    if start.startswith(GZIP_MAGIC):
        return ".gz"
    if start.startswith(XZ_MAGIC):
        return ".xz"
    if start.startswith(BZIP2_MAGIC) and start[3:4].isdigit() and start[4:8] in BZIP2_BLOCKS:
        return ".bz2"
    if start.startswith(ZSTD_MAGIC) or (start[1:4] == ZSTD_SKIPPABLE and start[0] >> 4 == 5):
        return ".zst"
    return ""


def _zstd(name: str) -> ModuleType:
    """compression.zstd of Python 3.14, or the package with the same interface."""
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(module)
        except ImportError:
            continue
    raise InputError(f"{name}: Zstandard needs a package; pip install 'mmulab[zst]'")


def _decompressed(source: BinaryIO, suffix: str, name: str) -> tuple[BinaryIO, type[Exception]]:
    """A reader of what the source holds, and the error that it raises for corrupt data."""
    if suffix == ".gz":
        return gzip.open(source), zlib.error  # type: ignore[return-value]
    if suffix == ".xz":
        return lzma.open(source), lzma.LZMAError  # type: ignore[return-value]
    if suffix == ".bz2":
        import bz2

        return bz2.open(source), OSError  # type: ignore[return-value]
    zstd = _zstd(name)
    return zstd.open(source), zstd.ZstdError


class _Rejoined(io.RawIOBase):
    """What was read from a source that cannot seek, and then the rest of it."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start = start
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        part = self._start[: len(buffer)] if self._start else self._rest.read(len(buffer))
        self._start = self._start[len(part) :]
        buffer[: len(part)] = part
        return len(part)


class ByteStream:
    """Decompressed bytes, read once from front to back.

    name: for messages. plain: the path, where the file is uncompressed and can be
    memory-mapped. Every error of reading is an InputError that names the file.
    """

    def __init__(self, raw: BinaryIO, name: str, path: Path | None) -> None:
        self.name = printable(name)
        self._raw = raw
        self._corrupt: type[Exception] = zlib.error
        self._data: BinaryIO | ReadAhead = raw
        self._head = b""
        start = self.read(_MAGIC_BYTES)
        if raw.seekable():
            raw.seek(-len(start), io.SEEK_CUR)
            source = raw
        else:
            source = io.BufferedReader(_Rejoined(start, raw), _BUFFER)
        suffix = compression(start)
        self.plain = None if suffix else path
        self._data = source
        if suffix:
            data, self._corrupt = _decompressed(source, suffix, name)
            # Who writes into a pipe is read when its bytes are wanted, as without compression.
            self._data = ReadAhead(data) if raw.seekable() else data
        self._head = self.read(HEAD)
        if not self._head:
            raise InputError(f"{name}: is empty; expected a memory trace")

    @property
    def head(self) -> bytes:
        """The first bytes that have not been read yet; for detection."""
        return self._head

    def skip_mark(self) -> None:
        """Passes over the byte order mark of a text in UTF-8, which some editors write."""
        if self._head.startswith(UTF8_MARK) and b"\0" not in self._head:
            rest, self._head = self._head[len(UTF8_MARK) :], b""
            self._head = rest + self.read(len(UTF8_MARK))

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
        except (gzip.BadGzipFile, self._corrupt) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise InputError(f"{self.name}: {error.strerror}") from None
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
        raise InputError(f"{printable(path)}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{printable(path)}: is a directory; {_inside(path)}") from None
    except OSError as error:
        raise InputError(f"{printable(path)}: {error.strerror or error}") from None
    return ByteStream(raw, path, Path(path))


def _inside(directory: str) -> str:
    """What to give instead of a directory."""
    try:
        names = sorted(each.name for each in os.scandir(directory) if each.is_file())
    except OSError:
        names = []
    example = f", such as {printable(os.path.join(directory, names[0]))}" if names else ""
    return f"expected a file; name one in it{example}"


# --- Writing --------------------------------------------------------------------


class _Gzip(gzip.GzipFile):
    """A .gz that is the same for the same data: neither its time nor its name is kept."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb")  # noqa: SIM115  (closed with this)
        super().__init__("", "wb", fileobj=self._file, mtime=0)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._file.close()


def compresses(suffix: str) -> bool:
    """True where `open_for_writing` compresses for that suffix.

    Raises InputError for .zst where no package for it is installed: ask before work starts.
    """
    if suffix == ".zst":
        _zstd("output")
    return suffix in COMPRESSED


def open_for_writing(path: Path, suffix: str) -> BinaryIO:
    """A new file, compressed as the suffix says (one of COMPRESSED), or plain for any other.

    The same data makes the same file. Raises InputError as `compresses` does.
    """
    if suffix == ".gz":
        return _Gzip(path)  # type: ignore[return-value]
    if suffix == ".xz":
        return lzma.open(path, "wb", preset=_XZ_PRESET)  # type: ignore[return-value]
    if suffix == ".bz2":
        import bz2

        return bz2.open(path, "wb")  # type: ignore[return-value]
    if suffix == ".zst":
        zstd = _zstd(str(path))
        parameter = zstd.CompressionParameter
        # A frame has no checksum unless asked for, and damage would go unnoticed.
        options = {parameter.compression_level: _ZSTD_LEVEL, parameter.checksum_flag: 1}
        return zstd.open(path, "wb", options=options)
    return open(path, "wb")
