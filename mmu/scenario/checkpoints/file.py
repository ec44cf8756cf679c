"""The file of a checkpoint.

    mmulab checkpoint 1\\n
    {"version": ..., ...}\\n     the head: by what, and of which runs, as JSON
    arrays                     see `graph`
    {"root": ..., "nodes": ...} the objects, as JSON
    8 bytes, little-endian     where that begins
    32 bytes                   SHA-256 of everything before

It takes its place whole. Its temporary file has a name that goes with it, so that of a process
that is killed while it writes one is left at most, and the next takes its name.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mmulab.mmu.errors import InputError, printable
from mmulab.mmu.report.files import replacing
from mmulab.mmu.scenario.checkpoints.graph import Reader, Writer

MAGIC = b"mmulab checkpoint 1\n"

_DIGEST, _WORD, _PIECE, _LONGEST_HEAD = 32, 8, 1 << 20, 1 << 28


#: What reading raises where a file holds something else than `graph.Writer` writes.
_NOT_AS_WRITTEN = (
    ValueError, KeyError, TypeError, IndexError, AttributeError, ImportError, OSError, MemoryError,
    OverflowError, RecursionError,
)  # fmt: skip


class _Hashed:
    """A file that is written, with the digest of what went to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha = hashlib.sha256()
        self._at = 0

    def write(self, content: Any) -> None:
        self._file.write(content)
        self.sha.update(content)
        self._at += memoryview(content).nbytes

    def tell(self) -> int:
        return self._at


def write(
    path: Path, head: Mapping[str, Any], value: Any, given: Mapping[str, Any], prepare: Any
) -> None:
    """Writes a checkpoint. given: see `graph.Writer`. prepare: called with the writer before
    anything is written. Raises NotKept."""
    with replacing(path, f".{path.name}.part") as temporary, open(temporary, "wb") as raw:
        file = _Hashed(raw)
        file.write(MAGIC + json.dumps(head).encode() + b"\n")
        writer = Writer(file, given)  # type: ignore[arg-type]
        prepare(writer)
        root = writer.value(value)
        where = file.tell()
        file.write(json.dumps({"root": root, "nodes": writer.nodes}).encode())
        file.write(where.to_bytes(_WORD, "little"))
        raw.write(file.sha.digest())
        raw.flush()
        os.fsync(raw.fileno())  # a machine that stops leaves the old one or the new one


class Kept:
    """A checkpoint that has been read, but for its arrays. head: plain data."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where it is none, or not whole."""
        self._shown = printable(str(path))
        try:
            self._file: BinaryIO = open(path, "rb")
        except OSError as error:
            raise InputError(f"checkpoint {self._shown}: {error.strerror or error}") from None
        if self._file.read(len(MAGIC)) != MAGIC:
            raise InputError(
                f"checkpoint {self._shown}: is none of this version of mmulab; expected a file "
                f"that mmulab run --checkpoint wrote"
            )
        try:
            line = self._file.readline(_LONGEST_HEAD)
            end = self._whole(path.stat().st_size)
            self._file.seek(end - _WORD)
            where = int.from_bytes(self._file.read(_WORD), "little")
            self._file.seek(where)
            graph = json.loads(self._file.read(end - _WORD - where))
            self.head: dict[str, Any] = json.loads(line)
            self._root, self._nodes = graph["root"], graph["nodes"]
        except _NOT_AS_WRITTEN:
            raise self._damaged() from None

    def _damaged(self) -> InputError:
        return InputError(
            f"checkpoint {self._shown}: is damaged: it is not as it was written; begin again, or "
            f"resume from another"
        )

    def _whole(self, size: int) -> int:
        """Where its digest begins, which fits."""
        end = size - _DIGEST
        self._file.seek(0)
        sha, left = hashlib.sha256(), end
        while left > 0 and (piece := self._file.read(min(left, _PIECE))):
            sha.update(piece)
            left -= len(piece)
        if left or self._file.read(_DIGEST) != sha.digest():
            raise ValueError("digest")
        return end

    def value(
        self, part: str, given: Mapping[str, Any], makers: Any = None, finish: Any = None
    ) -> Any:
        """A part of what was written. given: as it was written, by name. makers: called with the
        reader; see `graph.Reader`. finish: called with each object that was made. Raises
        InputError."""
        reader = Reader(self._file, self._nodes, given, {})
        if makers:
            reader.makers = makers(reader)
        try:
            root = dict(self._nodes[self._root[0]][1])
            found = reader.value(root[part])
            for each in reader.made.values() if finish else ():
                finish(each)
        except _NOT_AS_WRITTEN:
            raise self._damaged() from None
        return found
