"""Zstandard: Python's own from 3.14 on, else the package zstandard."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, BinaryIO

from mmu.errors import InputError
from workloads.streams import CorruptError

#: Compressed bytes given to the decoder at once. A block of zstd decodes to 128 KiB at
#: most and takes at least 4 bytes (RFC 8878, 3.1.1.2), so that this bounds what comes
#: out to 128 MiB, whatever the file.
_STEP = 4096


def _package(name: str) -> Any:
    try:
        import zstandard
    except ModuleNotFoundError:
        raise InputError(
            f"{name}: .zst needs the package zstandard: pip install 'mmulab[zst]'"
        ) from None
    return zstandard


def _decoder(name: str) -> tuple[Any, type[Exception]]:
    """(a function that makes the decoder of a frame, the errors it raises)"""
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.ZstdDecompressor, zstd.ZstdError
    package = _package(name)
    return package.ZstdDecompressor().decompressobj, package.ZstdError


class ZstdReader(io.RawIOBase):
    """Decompressed bytes of a file of one or more frames.

    Raises EOFError where the last frame ends early, CorruptError where one is damaged.
    """

    def __init__(self, source: Any, name: str) -> None:
        self._source = source
        self._new, self._error = _decoder(name)
        self._frame = self._new()
        self._begun = False
        self._input = b""
        self._output = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._output:
            if not self._input:
                self._input = self._source.read(_STEP)
                if not self._input:
                    if self._begun:
                        raise EOFError
                    return b""
            try:
                self._output = self._frame.decompress(self._input)
            except self._error as error:
                raise CorruptError(str(error)) from None
            self._begun = not self._frame.eof
            self._input = b""
            if self._frame.eof:
                self._input = self._frame.unused_data
                self._frame = self._new()
        if size < 0:
            size = len(self._output)
        part, self._output = self._output[:size], self._output[size:]
        return part


def open_writing(path: Path) -> BinaryIO:
    if sys.version_info >= (3, 14):
        from compression import zstd

        options = {zstd.CompressionParameter.checksum_flag: 1}
        return zstd.open(path, "wb", options=options)
    package = _package(str(path))
    return package.open(path, "wb", cctx=package.ZstdCompressor(level=15, write_checksum=True))
