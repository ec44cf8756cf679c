"""Writing a trace in any format that can hold it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.report.files import check_writable, replacing
from mmulab.mmu.trace import EVENT_NAMES, FETCH, SWITCH, Chunk
from mmulab.workloads import formats
from mmulab.workloads.formats.fetches import LastFetch
from mmulab.workloads.streams import COMPRESSED, compresses, open_for_writing

#: Formats by what a file's name ends in, beside formats' own names.
_BY_SUFFIX = {".mmt": "columnar", ".csv": "table", ".champsimtrace": "champsim"}


def writable() -> tuple[str, ...]:
    """Formats that can be written."""
    return tuple(name for name in formats.names() if hasattr(formats.get(name), "HOLDS"))


def target_format(path: Path, name: str | None) -> ModuleType:
    """The format to write: by its name, else by the file's. Raises InputError."""
    if name is None:
        inner = path.with_suffix("") if path.suffix in COMPRESSED else path
        name = _BY_SUFFIX.get(inner.suffix, inner.suffix[1:])
        if name not in writable():
            raise InputError(
                f"{path}: its name does not tell its format; give --to, one of "
                f"{', '.join(writable())}"
            )
    module = formats.get(name)
    if not hasattr(module, "HOLDS"):
        raise InputError(f"--to {name}: can only be read; expected {', '.join(writable())}")
    return module


class Losses:
    """Counts what a format cannot hold as chunks pass through."""

    def __init__(self, module: ModuleType) -> None:
        self._holds: frozenset[str] = module.HOLDS
        self._fetches = LastFetch() if "fetch-ip" in module.HOLDS else None
        self.counts: Counter[str] = Counter()

    def watch(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self._count(chunk)
            yield chunk

    def _count(self, chunk: Chunk) -> None:
        holds = self._holds
        if "size" not in holds:
            self.counts["sizes"] += int((chunk.size != 1).sum())
        if "fetch" not in holds:
            self.counts["fetches"] += int((chunk.kind == FETCH).sum())
        if "kind" not in holds:
            self.counts["stores as stores"] += int((chunk.kind == 1).sum())
        for name, column in chunk.columns().items():
            if name not in holds:
                lost = column != 0
                if name == "ip" and self._fetches:
                    lost &= column != self._fetches.ip(chunk)
                self.counts[f"values of {name}"] += int(lost.sum())
        for kind, number in zip(*np.unique(chunk.events["kind"], return_counts=True), strict=True):
            name = EVENT_NAMES[int(kind)]
            if "events" not in holds and not (kind == SWITCH and "process" in holds):
                self.counts[f"{name} events"] += int(number)

    def __str__(self) -> str:
        return ", ".join(f"{count:,} {what}" for what, count in self.counts.items() if count)


def convert(
    chunks: Iterable[Chunk],
    output: str | Path,
    name: str | None = None,
    metadata: dict[str, Any] | None = None,
    strict: bool = False,
) -> Losses:
    """Writes chunks to a file, whole or not at all, compressed as its suffix says.

    name: of the format; told by the file's name unless given. metadata: for formats that
    hold any. strict: refuse what the format cannot hold. Returns what it left out.
    Raises InputError.
    """
    path = check_writable(output, "output")
    compresses(path.suffix)
    module = target_format(path, name)
    losses = Losses(module)

    def checked() -> Iterator[Chunk]:
        for chunk in losses.watch(chunks):
            if strict and str(losses):
                raise InputError(f"{path}: {module.NAME} cannot hold {losses}")
            yield chunk

    if module.NAME == "columnar":
        with module.ColumnarWriter(path, metadata or {}) as writer:
            for chunk in checked():
                writer.write(chunk)
    else:
        with replacing(path) as temporary, open_for_writing(temporary, path.suffix) as file:
            module.write(file, checked())
    return losses
