"""What text formats share: whole lines in blocks, parsed by a kernel into chunks.

A kernel takes as many lines as it understands; the first that it does not goes to
Python, which makes an event of it, skips it, or says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, Union

import numpy as np

from mmulab.mmu.errors import InputError, notice
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.trace import EVENT, Chunk
from mmulab.workloads.formats import Options
from mmulab.workloads.streams import HEAD, ByteStream

BLOCK = 4 << 20

#: The longest line that is read: a guard against files that are not text.
LONGEST_LINE = 1 << 16

# Why a kernel stopped. AGAIN: its room for events is full; it goes on once they are taken.
END, FULL, OTHER, NOT_CANONICAL, AGAIN = 0, 1, 2, 3, 4

NEWLINE, RETURN, SPACE, COMMA = 10, 13, 32, 44

#: Value of a hexadecimal digit by its character, 16 for any other.
HEX = np.full(256, 16, np.int64)
for _digit in range(16):
    HEX[ord(f"{_digit:x}")] = HEX[ord(f"{_digit:X}")] = _digit


@inlined
def is_canonical(address, va_bits):
    unused = 64 - va_bits
    return ((address << unused) >> unused) == address


class Access(NamedTuple):
    """An access that Python found in a line. address: of 64 bits, unsigned."""

    address: int
    kind: int
    size: int


#: What a line that the parser leaves comes to: accesses, and events without their position
#: as plain tuples, in order; what is wrong with it; or None for a line that should not be
#: there.
Events = Union[Sequence[tuple[int, ...]], str, None]  # noqa: UP007  (Python 3.10 at run time)
Other = Callable[[bytes], Events]


def only_blank(line: bytes) -> Events:
    """For formats whose lines are accesses, blank, or comments after #, // or ;."""
    return [] if comment(line) else None


class Columns:
    """A chunk in the making."""

    def __init__(self, accesses: int, ip: bool = False) -> None:
        # An entry to spare: a line may make two accesses.
        self.address = np.empty(accesses + 1, np.int64)
        self.kind = np.empty(accesses + 1, np.uint8)
        self.size = np.empty(accesses + 1, np.uint16)
        self.ip = np.zeros(accesses + 1, np.int64) if ip else None
        self.count = 0
        self._room = accesses
        self._events: list[np.ndarray] = []
        self._happened = 0

    @property
    def full(self) -> bool:
        return self.count >= self._room or self._happened > self._room

    def add(self, access: Access) -> None:
        value = access.address
        self.address[self.count] = value - (value >> 63 << 64)
        self.kind[self.count] = access.kind
        self.size[self.count] = access.size
        self.count += 1

    def happened(self, rows: np.ndarray) -> None:
        """Takes events: int64[n, 6], the fields of EVENT, after those that are there."""
        if len(rows):
            self._events.append(rows.view(EVENT).reshape(-1))
            self._happened += len(rows)

    def take(self, item: Access | tuple[int, ...]) -> None:
        """Adds an access, or an event without its position, which is here."""
        if isinstance(item, Access):
            self.add(item)
        else:
            self.happened(np.array([(self.count, *item)], np.int64))

    def chunk(self) -> Chunk:
        return Chunk(
            self.address[: self.count],
            self.kind[: self.count],
            self.size[: self.count],
            np.concatenate(self._events) if self._events else np.zeros(0, EVENT),
            self.ip[: self.count] if self.ip is not None else None,
        )

    def __bool__(self) -> bool:
        return self.count > 0 or self._happened > 0


class Parser(Protocol):
    """What reads the lines of a format."""

    def parse(
        self, data: np.ndarray, position: int, end: int, columns: Columns
    ) -> tuple[int, int, int]:
        """Takes lines from position on. Returns why it stopped, where, and lines taken."""
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


class NoParser:
    """A Parser that leaves every line to Python."""

    def parse(
        self, data: np.ndarray, position: int, end: int, columns: Columns
    ) -> tuple[int, int, int]:
        return OTHER, position, 0


def read(
    stream: ByteStream,
    options: Options,
    parser: Parser,
    other: Other,
    expected: str,
    ip: bool = False,
) -> Iterator[Chunk]:
    """Chunks of a text trace.

    expected: what a line should have been, for messages. ip: is it wanted, and does the parser
    fill it in? Raises InputError naming file
    and line for a line that neither parser nor `other` takes.
    """
    columns = Columns(options.chunk_accesses, ip)
    line = 1
    found = False
    why = END
    for block, torn in _whole_lines(stream):
        data = np.frombuffer(block, np.uint8)
        position = 0
        while position < len(block):
            if columns.full or why == FULL:
                yield columns.chunk()
                columns = Columns(options.chunk_accesses, ip)
            why, position, taken = parser.parse(data, position, len(block), columns)
            line += taken
            found = found or columns.count > 0
            if why in (OTHER, NOT_CANONICAL):
                end = block.index(b"\n", position)
                content = block[position:end].rstrip(b"\r")
                items = other(content) if why == OTHER else []
                wrong = _wrong(why, items, expected, options.va_bits)
                if wrong and why == OTHER and torn and found and end + 1 == len(block):
                    notice(f"{stream.name}: line {line}, the last, is cut short; left out")
                    items = []
                elif wrong or items is None or isinstance(items, str):
                    raise InputError(f"{stream.name}: line {line}: {wrong}{shown(content)}")
                for item in items:
                    if columns.full:
                        yield columns.chunk()
                        columns = Columns(options.chunk_accesses, ip)
                    columns.take(item)
                    found = found or isinstance(item, Access)
                position = end + 1
                line += 1
    if not found:
        raise InputError(f"{stream.name}: no memory accesses found; expected {expected}")
    if columns:
        yield columns.chunk()


def shown(line: bytes) -> str:
    """The beginning of a line, for messages."""
    return repr(line[:60].decode("ascii", "backslashreplace"))


def _wrong(why: int, items: Events, expected: str, va_bits: int) -> str:
    """What is wrong with a line, to be followed by the line; empty where nothing is."""
    if items is None:
        return f"expected {expected}, got "
    if isinstance(items, str):
        return f"{items}: "
    good = why != NOT_CANONICAL
    for item in items:
        if isinstance(item, Access):
            # Canonical: all bits from va_bits - 1 up are the same.
            upper = item.address >> (va_bits - 1)
            good = good and (not upper or upper == (1 << (65 - va_bits)) - 1)
    return "" if good else f"address not canonical in {va_bits} bits: "


def _whole_lines(stream: ByteStream) -> Iterator[tuple[bytes, bool]]:
    """Blocks of the stream cut after a newline, and whether the last had none: it gets one."""
    rest = b""
    while True:
        block = stream.read(BLOCK)
        if not block:
            if rest:
                yield rest + b"\n", True
            return
        cut = block.rfind(b"\n") + 1
        if not cut and len(rest) + len(block) > LONGEST_LINE:
            raise InputError(
                f"{stream.name}: a line of more than {LONGEST_LINE:,} bytes; expected text"
            )
        if cut:
            yield rest + block[:cut], False
            rest = block[cut:]
        else:
            rest += block


def looks_like_text(head: bytes) -> bool:
    return b"\0" not in head and sum(byte > 126 for byte in head) * 20 <= len(head)


def most_lines(head: bytes, pattern: re.Pattern[bytes], least: float = 0.5) -> bool:
    """True where more than a part of a file's first lines, comments aside, match a pattern."""
    if not looks_like_text(head):
        return False
    seen = [line for line in lines(head) if not comment(line)]
    return bool(seen) and sum(bool(pattern.match(line)) for line in seen) > least * len(seen)


def number_list(number: bytes) -> re.Pattern[bytes]:
    """A line of numbers between spaces or commas."""
    return re.compile(rb"\s*" + number + rb"(?:(?:\s*,\s*|\s+)" + number + rb")*\s*,?\s*$")


def comment(line: bytes) -> bool:
    """Is a line empty, or a comment after #, //, or ;?"""
    return not line.strip() or line.lstrip().startswith((b"#", b"//", b";"))


def lines(head: bytes) -> list[bytes]:
    """Whole lines of a file's beginning; the last may be cut where it is the only one."""
    parts = head.split(b"\n")
    whole = parts if len(parts) == 1 or (len(head) < HEAD and parts[-1]) else parts[:-1]
    return [part.rstrip(b"\r") for part in whole]
