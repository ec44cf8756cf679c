"""Trace formats, one file each.

A format is a module with

    NAME, SUMMARY
    matches(head: bytes) -> bool        could a file that begins so be one of these?
    read(stream, options) -> Iterator[Chunk]    with those of options.columns that it tells
    length(stream) -> int | None        optional: accesses, where known beforehand
    metadata(stream) -> dict            optional: what made the trace

    GUESS: str                          optional: what to say where it was detected, as other
                                        formats have the same lines

and, where a trace can be written in it,

    HOLDS                               what it holds of kind, fetch, size, process, thread, events
                                        and optional columns; fetch-ip: an ip that is that of
                                        the fetch before
    write(file, chunks)

To add one: its file, and its name in `_MODULES`, where the order is that of detection.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from mmulab.mmu.errors import InputError, notice, unknown
from mmulab.workloads.streams import ByteStream

_MODULES = (
    "columnar", "npy", "gem5", "drmemtrace", "champsim", "cloudsuite", "oracle", "lackey",
    "drview", "qemu", "execlog", "pinatrace", "plain", "din", "xdin", "opfirst", "perfmem",
    "table", "pages", "decimal", "hex", "silberschatz", "perf",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How to read: bits of a canonical address, accesses to a chunk, and which of the optional
    columns are wanted (`mmu.trace.COLUMNS`)."""

    va_bits: int = 48
    chunk_accesses: int = 1 << 20
    columns: frozenset[str] = frozenset()


def names() -> tuple[str, ...]:
    return _MODULES


def get(name: str) -> ModuleType:
    """The format of that name. Raises InputError with the nearest name."""
    if name not in _MODULES:
        raise unknown("trace format", name, _MODULES)
    return import_module(f"mmulab.workloads.formats.{name}")


def detect(stream: ByteStream) -> ModuleType:
    """The first format that the stream's beginning fits, with a notice where it is a guess.

    Raises InputError, which says what the file is or looks like, if none does.
    """
    from mmulab.workloads.formats import foreign

    head = stream.head
    _refuse(stream, foreign.known(head))
    for name in _MODULES:
        module = get(name)
        if module.matches(head):
            if hasattr(module, "GUESS"):
                notice(f"{stream.name}: {module.GUESS}")
            return module
    _refuse(stream, foreign.unread(head))
    formats = [get(name) for name in _MODULES]
    shown = foreign.nearest(head, formats) or f"it begins with {head[:40]!r}"
    raise InputError(
        f"{stream.name}: not a trace in a known format ({', '.join(_MODULES)}); {shown}"
    )


def _refuse(stream: ByteStream, what: str) -> None:
    if what:
        raise InputError(f"{stream.name}: {what}")
