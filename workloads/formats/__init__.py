"""Trace formats, one file each.

A format is a module with

    NAME, SUMMARY
    matches(head: bytes) -> bool        could a file that begins so be one of these?
    read(stream, options) -> Iterator[Chunk]
    length(stream) -> int | None        optional: accesses, where known beforehand
    metadata(stream) -> dict            optional: what made the trace

and, where a trace can be written in it,

    HOLDS                               what it holds of kind, fetch, size, process, thread, events
    write(file, chunks)

To add one: its file, and its name in `_MODULES`, where the order is that of detection.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from mmulab.mmu.errors import InputError, unknown
from mmulab.workloads.streams import ByteStream

_MODULES = (
    "columnar", "npy", "gem5", "drmemtrace", "champsim", "cloudsuite", "oracle", "lackey",
    "drview", "qemu", "execlog", "pinatrace", "plain", "din", "xdin", "table", "pages",
    "silberschatz", "perf",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How to read: bits of a canonical address, accesses to a chunk."""

    va_bits: int = 48
    chunk_accesses: int = 1 << 20


def names() -> tuple[str, ...]:
    return _MODULES


def get(name: str) -> ModuleType:
    """The format of that name. Raises InputError with the nearest name."""
    if name not in _MODULES:
        raise unknown("trace format", name, _MODULES)
    return import_module(f"mmulab.workloads.formats.{name}")


def detect(stream: ByteStream) -> ModuleType:
    """The first format that the stream's beginning fits. Raises InputError if none does."""
    for name in _MODULES:
        module = get(name)
        if module.matches(stream.head):
            return module
    start = stream.head.split(b"\n", 1)[0][:40]
    raise InputError(
        f"{stream.name}: not a trace in a known format ({', '.join(_MODULES)}); "
        f"it begins with {start!r}"
    )
