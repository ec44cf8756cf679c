"""Memory traces: reading, recording and generating them.

`resolve` makes a trace of whatever a user names. Importing this package is cheap; what
needs numba is imported when a trace is read.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmulab.mmu.errors import InputError, MMULabError, printable, unknown
from mmulab.mmu.trace import Chunk, Origin, Trace

if TYPE_CHECKING:
    from mmulab.mmu.host.settings import VMSettings
    from mmulab.workloads.streams import ByteStream


class FileTrace:
    """A trace in a file or on standard input; see `open_trace`."""

    def __init__(self, path: str, format_name: str | None, va_bits: int, accesses: int) -> None:
        from mmulab.workloads import formats

        self.path = path
        self.origin = Origin(path, format_name, None if path == "-" else path)
        self.name = "standard input" if path == "-" else printable(os.path.basename(path))
        self._options = formats.Options(va_bits, accesses)
        self._stream = _opened(path)
        self._format = formats.get(format_name) if format_name else formats.detect(self._stream)
        self._first = True
        count = getattr(self._format, "length", None)
        self._length: int | None = count(self._stream) if count else None

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without the open file: a copy opens it again."""
        return {**self.__dict__, "_stream": None, "_format": self._format.__name__, "_first": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _format=import_module(state["_format"]))

    @property
    def length(self) -> int | None:
        """Accesses, where the file says so; else None."""
        return self._length

    @property
    def metadata(self) -> dict[str, Any]:
        """What the file says of its making, where its format has a place for that."""
        from mmulab.workloads.streams import open_stream

        describe = getattr(self._format, "metadata", None)
        if describe is None or self.path == "-":
            return {}
        stream = open_stream(self.path)
        try:
            made: dict[str, Any] = describe(stream)
            return made
        finally:
            stream.close()

    def chunks(self, columns: Collection[str] = ()) -> Iterator[Chunk]:
        """A pass over the trace, with those of `mmu.trace.COLUMNS` that are asked for, as far
        as it has them. Standard input has only one. Raises InputError."""
        if not self._first:
            if self.path == "-":
                raise InputError("standard input can be read once only")
            self._stream = _opened(self.path)
        self._first = False
        try:
            options = replace(self._options, columns=frozenset(columns))
            yield from self._format.read(self._stream, options)
        finally:
            self._stream.close()


def _opened(path: str) -> ByteStream:
    from mmulab.workloads.streams import open_stream

    stream = open_stream(path)
    stream.skip_mark()
    return stream


def open_trace(
    path: str | Path,
    format: str | None = None,
    va_bits: int = 48,
    chunk_accesses: int = 1 << 20,
) -> FileTrace:
    """A trace from a file (plain or compressed) or, for '-', standard input.

    format: one of `workloads.formats.names()`; detected by content unless given.
    va_bits: addresses must be canonical in so many bits. Raises InputError.
    """
    return FileTrace(str(path), format, va_bits, chunk_accesses)


def resolve(spec: str, format: str | None = None, seed: int = 1, va_bits: int = 48) -> Trace:
    """The trace that a user names: '-', a file, a generator such as gups:size=1G, or @name
    for one that comes with the package.

    Raises InputError where there is neither a file nor a generator of that name.
    """
    from mmulab.workloads import generators

    name = spec.partition(":")[0]
    if spec.startswith("@"):
        trace = open_trace(bundled(spec[1:]), format, va_bits)
        trace.origin = trace.origin._replace(spec=spec)
        return trace
    if spec == "-" or os.path.exists(spec) or format:
        return open_trace(spec, format, va_bits)
    if name in generators.names():
        return generators.create(spec, seed)
    if os.sep in spec or "." in name:
        raise InputError(f"{printable(spec)}: no such file")
    raise InputError(f"{printable(spec)}: {generators.unknown_name(name)}")


def of_vm(vm: VMSettings) -> Trace:
    """The trace that a VM's workload names, with the VM's seed. Raises InputError, which names
    the VM, as `resolve` does."""
    try:
        return resolve(vm.workload, seed=vm.seed, va_bits=12 + 9 * vm.levels)
    except MMULabError as error:
        raise InputError(f"vm {vm.name}: {error}") from None


#: Small real traces that come with the package, with what each is an example of; the
#: metadata of each, and data/README.md, say how it was made.
BUNDLED = {
    "python": "an interpreter: much code, a small heap that is used again and again",
    "xz": "a compressor: a large buffer, first touched all over, then hash chains through it",
    "shell": "a shell that forks and runs six programs: address spaces come and go",
}


def bundled(name: str = "python") -> Path:
    """A small real trace that comes with the package. Raises InputError for another name."""
    if name not in BUNDLED:
        raise unknown("bundled trace", name, BUNDLED)
    return Path(__file__).parent / "data" / f"{name}.mmt.xz"
