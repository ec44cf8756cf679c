"""What text formats share: whole lines in blocks, parsed by a kernel into chunks.

A kernel takes as many lines as it understands; the first that it does not goes to
Python, which makes an event of it, skips it, or says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, Union

import numpy as np

from mmu.errors import InputError
from mmu.jit import inlined
from mmu.trace import EVENT, Chunk
from workloads.formats import Options
from workloads.streams import ByteStream

BLOCK = 4 << 20

#: The longest line that is read: a guard against files that are not text.
LONGEST_LINE = 1 << 16

# Why a kernel stopped.
END, FULL, OTHER, NOT_CANONICAL = 0, 1, 2, 3

NEWLINE, RETURN, SPACE, COMMA = 10, 13, 32, 44

#: Value of a hexadecimal digit by its character, 16 for any other.
HEX = np.full(256, 16, np.int64)
for _digit in range(16):
    HEX[ord(f"{_digit:x}")] = HEX[ord(f"{_digit:X}")] = _digit


@inlined
def is_canonical(address, va_bits):
    unused = 64 - va_bits
    return ((address << unused) >> unused) == address


#: What a line that is no access comes to: events without their position, what is wrong
#: with it, or None for a line that should not be there.
Events = Union[Sequence[tuple[int, ...]], str, None]  # noqa: UP007  (Python 3.10 at run time)
Other = Callable[[bytes], Events]


def only_blank(line: bytes) -> Events:
    """For formats whose lines are accesses, blank, or comments after #."""
    return [] if not line.strip() or line.lstrip().startswith(b"#") else None


class Columns:
    """A chunk in the making."""

    def __init__(self, accesses: int) -> None:
        # An entry to spare: a line may make two accesses.
        self.address = np.empty(accesses + 1, np.int64)
        self.kind = np.empty(accesses + 1, np.uint8)
        self.size = np.empty(accesses + 1, np.uint16)
        self.events: list[tuple[int, ...]] = []
        self.count = 0

    def chunk(self) -> Chunk:
        return Chunk(
            self.address[: self.count],
            self.kind[: self.count],
            self.size[: self.count],
            np.array(self.events, EVENT),
        )


class Parser(Protocol):
    """What reads the lines of a format."""

    def parse(
        self, data: np.ndarray, position: int, end: int, columns: Columns
    ) -> tuple[int, int, int]:
        """Takes lines from position on. Returns why it stopped, where, and lines taken."""
        ...

    def finish(self, chunk: Chunk) -> Chunk:
        """The chunk as it is handed on."""
        ...


class KernelParser:
    """A Parser around a kernel of the format's own.

    kernel: (data, position, end, va_bits, address, kind, size, count) ->
    (why it stopped, position, count, lines taken).
    """

    def __init__(self, kernel: Callable[..., tuple[int, int, int, int]], va_bits: int) -> None:
        self._kernel = kernel
        self._va_bits = va_bits

    def parse(
        self, data: np.ndarray, position: int, end: int, columns: Columns
    ) -> tuple[int, int, int]:
        why, position, columns.count, taken = self._kernel(
            data, position, end, self._va_bits,
            columns.address, columns.kind, columns.size, columns.count,
        )  # fmt: skip
        return why, position, taken

    def finish(self, chunk: Chunk) -> Chunk:
        return chunk


def read(
    stream: ByteStream, options: Options, parser: Parser, other: Other, expected: str
) -> Iterator[Chunk]:
    """Chunks of a text trace.

    expected: what a line should have been, for messages. Raises InputError naming file
    and line for a line that neither parser nor `other` takes.
    """
    columns = Columns(options.chunk_accesses)
    line = 1
    accesses = 0
    for block in _whole_lines(stream):
        data = np.frombuffer(block, np.uint8)
        position = 0
        while position < len(block):
            why, position, taken = parser.parse(data, position, len(block), columns)
            line += taken
            if why == FULL:
                accesses += columns.count
                yield parser.finish(columns.chunk())
                columns = Columns(options.chunk_accesses)
            elif why != END:
                end = block.index(b"\n", position)
                text = block[position:end].rstrip(b"\r")
                _take(stream, line, why, text, columns, other, expected, options)
                position = end + 1
                line += 1
    accesses += columns.count
    if not accesses:
        raise InputError(f"{stream.name}: no memory accesses found; expected {expected}")
    if columns.count or columns.events:
        yield parser.finish(columns.chunk())


def _take(
    stream: ByteStream,
    line: int,
    why: int,
    text: bytes,
    columns: Columns,
    other: Other,
    expected: str,
    options: Options,
) -> None:
    where = f"{stream.name}: line {line}"
    shown = repr(text[:60].decode("ascii", "backslashreplace"))
    if why == NOT_CANONICAL:
        raise InputError(f"{where}: address not canonical in {options.va_bits} bits: {shown}")
    result = other(text)
    if result is None:
        raise InputError(f"{where}: expected {expected}, got {shown}")
    if isinstance(result, str):
        raise InputError(f"{where}: {result}: {shown}")
    columns.events += [(columns.count, *event) for event in result]


def _whole_lines(stream: ByteStream) -> Iterator[bytes]:
    """Blocks of the stream cut after a newline; the last gets one if it has none."""
    rest = b""
    while True:
        block = stream.read(BLOCK)
        if not block:
            if rest:
                yield rest + b"\n"
            return
        cut = block.rfind(b"\n") + 1
        if not cut and len(rest) + len(block) > LONGEST_LINE:
            raise InputError(
                f"{stream.name}: a line of more than {LONGEST_LINE:,} bytes; expected text"
            )
        if cut:
            yield rest + block[:cut]
            rest = block[cut:]
        else:
            rest += block


def lines_of(stream: ByteStream) -> Iterator[bytes]:
    """Lines of a stream without their ends, for formats that no kernel reads."""
    for block in _whole_lines(stream):
        for line in block[:-1].split(b"\n"):
            yield line.rstrip(b"\r")


def looks_like_text(head: bytes) -> bool:
    return b"\0" not in head and sum(byte > 126 for byte in head) * 20 <= len(head)


def most_lines(head: bytes, pattern: re.Pattern[bytes], least: float = 0.5) -> bool:
    """True where more than a part of a file's first lines, comments aside, match a pattern."""
    if not looks_like_text(head):
        return False
    seen = [line for line in lines(head) if line.strip() and not line.startswith(b"#")]
    return bool(seen) and sum(bool(pattern.match(line)) for line in seen) > least * len(seen)


def lines(head: bytes) -> list[bytes]:
    """Whole lines of a file's beginning."""
    parts = head.split(b"\n")
    return [part.rstrip(b"\r") for part in (parts if len(parts) == 1 else parts[:-1])]
