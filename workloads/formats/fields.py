"""Text formats whose lines are columns: a format says what each column holds.

One kernel reads them all. What it does not understand goes, line by line, to the
format's `other`, as in `workloads.formats.text`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mmu.jit import entry, inlined
from mmu.trace import EVENT, LOAD, SWITCH, Chunk
from workloads.formats import Options, text
from workloads.formats.text import (
    END,
    FULL,
    HEX,
    NEWLINE,
    NOT_CANONICAL,
    OTHER,
    RETURN,
    SPACE,
    is_canonical,
)
from workloads.streams import ByteStream

# What a column holds.
SKIP = 0
ADDRESS_HEX = 1  # with or without 0x
ADDRESS = 2  # decimal, or hexadecimal with 0x
KIND = 3  # a word whose first letter is among the layout's
SIZE = 4  # bytes, decimal
SIZE_BITS = 5
PID = 6  # decimal, after any prefix that is not digits
TID = 7

_BLANKS = 0  # delimiter: any number of spaces and tabs
_TAB = 9
_ZERO, _X = ord("0"), ord("x")
_LOWER = 0x20

# Index of each number of a layout in the kernel's `numbers`.
_VA_BITS, _SHIFT, _MASK, _DEFAULT_KIND, _DELIMITER, _REST = range(6)

LARGEST_SIZE = (1 << 16) - 1


@dataclass(frozen=True)
class Layout:
    """Lines of a format.

    columns: what each holds, in order. expected: what a line is, for messages. delimiter:
    the character between columns; "" for white space. kinds: kind of access by the first
    letter of its word. kind: of every access, where no column says. An address is
    (number & mask) << shift. rest: more columns may follow. other: takes the lines that
    are not accesses: None for a wrong line, a text that says what is wrong, or its events.
    """

    columns: tuple[int, ...]
    expected: str
    delimiter: str = ""
    kinds: Mapping[str, int] = field(default_factory=dict)
    kind: int = LOAD
    mask: int = -1
    shift: int = 0
    rest: bool = False
    other: Callable[[bytes], text.Events] = text.only_blank


@inlined
def _is_blank(byte):
    return byte == SPACE or byte == _TAB


@inlined
def _ends(byte, delimiter):
    """True for what ends a column."""
    return _is_blank(byte) or byte == NEWLINE or byte == RETURN or byte == delimiter


@entry
def parse(data, position, end, columns, letters, numbers, out, address, kind, size, process):
    """Takes lines of columns, until a line is not as the layout says.

    process: int64[2, n + 1], pid and tid of each access; column n carries them over from
    line to line. out: where it stopped: position, accesses, lines taken. Returns why.
    """
    limit = address.size - 1
    delimiter = numbers[_DELIMITER]
    count = out[1]
    lines = 0
    why = END
    while position < end:
        if count >= limit:
            why = FULL
            break
        at = position
        value = 0
        what = numbers[_DEFAULT_KIND]
        bytes_ = 1
        good = True
        for column in range(columns.size):
            while _is_blank(data[at]):
                at += 1
            if column and delimiter != _BLANKS:
                good = data[at] == delimiter
                at += good
                while _is_blank(data[at]):
                    at += 1
            holds = columns[column]
            begin = at
            if holds == ADDRESS_HEX or holds == ADDRESS:
                base = 16 if holds == ADDRESS_HEX else 10
                if data[at] == _ZERO and data[at + 1] | _LOWER == _X:
                    at += 2
                    base = 16
                begin = at
                value = 0
                digit = HEX[data[at]]
                while digit < base:
                    value = value * base + digit
                    at += 1
                    digit = HEX[data[at]]
                good = good and at - begin <= (16 if base == 16 else 18)
            elif holds == KIND:
                what = letters[data[at]]
                good = good and what >= 0
                while not _ends(data[at], delimiter):
                    at += 1
            elif holds == SKIP:
                while not _ends(data[at], delimiter):
                    at += 1
                begin -= delimiter != _BLANKS  # between delimiters it may be empty
            else:
                number = 0
                while not _ends(data[at], delimiter):
                    digit = HEX[data[at]]
                    number = number * 10 + digit if digit < 10 else 0
                    at += 1
                good = good and at - begin <= 18
                if holds == PID:
                    process[0, limit + 1] = number
                elif holds == TID:
                    process[1, limit + 1] = number
                else:
                    bytes_ = number if holds == SIZE else number >> 3
                    good = good and 0 < bytes_ <= LARGEST_SIZE
            good = good and at > begin and _ends(data[at], delimiter)
            if not good:
                break
        while _is_blank(data[at]) or data[at] == RETURN:
            at += 1
        if good and numbers[_REST]:
            while data[at] != NEWLINE:
                at += 1
        if not good or data[at] != NEWLINE:
            why = OTHER
            break
        value = (value & numbers[_MASK]) << numbers[_SHIFT]
        if not is_canonical(value, numbers[_VA_BITS]):
            why = NOT_CANONICAL
            break
        address[count] = value
        kind[count] = what
        size[count] = bytes_
        process[0, count] = process[0, limit + 1]
        process[1, count] = process[1, limit + 1]
        count += 1
        lines += 1
        position = at + 1
    out[0] = position
    out[1] = count
    out[2] = lines
    return why


class _Parser:
    """Makes chunks of the lines of one layout; see `text.read`."""

    def __init__(self, layout: Layout, options: Options) -> None:
        self._columns = np.array(layout.columns, np.int64)
        self._letters = np.full(256, -1, np.int64)
        for letter, kind in layout.kinds.items():
            self._letters[ord(letter.lower())] = self._letters[ord(letter.upper())] = kind
        delimiter = ord(layout.delimiter) if layout.delimiter else _BLANKS
        self._numbers = np.array(
            [options.va_bits, layout.shift, layout.mask, layout.kind, delimiter, layout.rest],
            np.int64,
        )
        self._out = np.zeros(3, np.int64)
        self._process = np.zeros((2, options.chunk_accesses + 2), np.int64)
        self._has_processes = PID in layout.columns or TID in layout.columns
        self._only_threads = PID not in layout.columns
        self._last = (1, 0)

    def parse(
        self, data: np.ndarray, position: int, end: int, columns: text.Columns
    ) -> tuple[int, int, int]:
        self._out[1] = columns.count
        why = parse(
            data, position, end, self._columns, self._letters, self._numbers, self._out,
            columns.address, columns.kind, columns.size, self._process,
        )  # fmt: skip
        columns.count = int(self._out[1])
        return why, int(self._out[0]), int(self._out[2])

    def finish(self, chunk: Chunk) -> Chunk:
        """The chunk with a SWITCH wherever process or thread changes."""
        if not self._has_processes or not chunk.accesses:
            return chunk
        pid, tid = self._process[0, : chunk.accesses], self._process[1, : chunk.accesses]
        if self._only_threads:
            pid = np.ones_like(pid)
        return with_switches(chunk, pid, tid, self._previous(pid, tid))

    def _previous(self, pid: np.ndarray, tid: np.ndarray) -> tuple[int, int]:
        last, self._last = self._last, (int(pid[-1]), int(tid[-1]))
        return last


def with_switches(chunk: Chunk, pid: np.ndarray, tid: np.ndarray, last: tuple[int, int]) -> Chunk:
    """A chunk with a SWITCH event before each access of another process or thread.

    pid, tid: int64[accesses]. last: those of the access before the chunk.
    """
    changed = np.empty(len(pid), bool)
    changed[0] = (pid[0], tid[0]) != last
    np.not_equal(pid[1:], pid[:-1], out=changed[1:])
    changed[1:] |= tid[1:] != tid[:-1]
    where = np.flatnonzero(changed)
    if not len(where):
        return chunk
    events = np.zeros(len(where), EVENT)
    events["position"], events["kind"] = where, SWITCH
    events["pid"], events["value"] = pid[where], tid[where]
    every = np.concatenate([chunk.events, events])
    return chunk._replace(events=every[np.argsort(every["position"], kind="stable")])


def read(stream: ByteStream, options: Options, layout: Layout) -> Iterator[Chunk]:
    """Chunks of a text trace. Raises InputError naming file and line."""
    return text.read(stream, options, _Parser(layout, options), layout.other, layout.expected)
