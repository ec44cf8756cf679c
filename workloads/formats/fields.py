"""Text formats whose lines are columns: one kernel for them all.

A format says what its columns are (`Layout`); the kernel takes the lines that fit and
leaves any other to the format's Python, as workloads.formats.text does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.memory.entries import PAGE_SHIFT
from mmulab.mmu.trace import EVENT, FETCH, LOAD, STORE, SWITCH, Chunk
from mmulab.workloads.formats import Options, text
from mmulab.workloads.formats.text import (
    AGAIN,
    END,
    FULL,
    NEWLINE,
    NOT_CANONICAL,
    OTHER,
    RETURN,
    SPACE,
    is_canonical,
)
from mmulab.workloads.formats.words import (
    AUTO,
    CASE,
    DECIMAL,
    QUOTE,
    is_end,
    pack,
    read_number,
    read_word,
    skip_space,
)
from mmulab.workloads.streams import ByteStream

# What a column holds.
IGNORED = 0
ADDRESS = 1
PAGE = 2  # page number: the address is its first byte
LOW16 = 3  # 32-bit number of which the low 16 bits are the address
KIND = 4  # a word of the layout's `words`
SIZE = 5  # bytes
BITS = 6  # size in bits
PROCESS = 7
THREAD = 8
WORKLOAD_THREAD = 9  # W<workload>.T<thread>, T<thread> or <thread>; workload n is process n + 1
NUMBER = 10  # a number that says nothing here
NUMBER_COLON = 11  # the same with a colon behind it
LITERAL = 12  # a word that is the same in every line
DATA_SOURCE = 13  # perf's: says what the access was; behind the address
IP = 14  # the instruction's address
IP_COLON = 15  # the same with a colon behind it
IP_OR_TEXT = 16  # the same where it is a number
BY_PC = 17  # `by PC` and the same, where the line has them

# What the kernel finds in a line: an entry by role, and this.
_TOO_LARGE = 18
_FOUND = 19

# Kinds beyond those of mmu.trace.
MODIFY = 3  # a load and a store
SKIPPED = 4  # no access: the line is passed over

_COLON, _DOT, _W, _T = ord(":"), ord("."), ord("w"), ord("t")

#: The columns that tell `ip`.
_IPS = frozenset({IP, IP_COLON, IP_OR_TEXT, BY_PC})

# Entries of the kernel's state.
_AT_PROCESS, _AT_THREAD, EVENTS = 0, 1, 2
_NOBODY = -1

_BY, _PC = pack("by"), pack("pc")


class Column(NamedTuple):
    """role: what it holds. base: how its number is written. word: of a LITERAL."""

    role: int
    base: int = AUTO
    word: str = ""


class Layout(NamedTuple):
    """How a line reads.

    columns: what each holds, in order. expected: what a line is, for messages. words: the
    kind that each word of a KIND column means, whatever its case. delimiter: the character
    between columns; None for white space. optional: how many of the last columns a line may
    lack. rest: more may follow. other: takes the lines that do not fit, see text.Other.
    """

    columns: Sequence[Column]
    expected: str
    words: Mapping[str, int] = {}
    delimiter: str | None = None
    optional: int = 0
    rest: bool = False
    other: text.Other = text.only_blank


@inlined
def _workload_thread(data, at):
    """(process, thread, where it ends, is it one)"""
    process = 1
    good = True
    if data[at] | CASE == _W:
        value, at, good = read_number(data, at + 1, DECIMAL)
        process = value + 1
        good = good and data[at] == _DOT
        at += 1 if good else 0
    if data[at] | CASE == _T:
        at += 1
    thread, at, is_number = read_number(data, at, DECIMAL)
    return process, thread, at, good and is_number


@inlined
def _skip_field(data, at, delimiter):
    """Where an ignored field ends; a quoted one may hold delimiters."""
    if data[at] == QUOTE:
        at += 1
        while data[at] != QUOTE and data[at] != NEWLINE:
            at += 1
    if delimiter == SPACE:
        while not is_end(data[at], delimiter):
            at += 1
    else:
        while data[at] != delimiter and data[at] != NEWLINE:
            at += 1
    return at


@inlined
def _operation(source):
    """The kind of a perf_mem_data_src: PERF_MEM_OP_LOAD, STORE, PFETCH and EXEC are bits 1-4."""
    if source & 4:
        return MODIFY if source & 2 else STORE
    if source & 16:
        return FETCH
    return SKIPPED if source & 8 and not source & 2 else LOAD


@inlined
def _take_number(number, role, found):
    """Puts a number where its role says; is it a good one?"""
    if role == PAGE:
        found[ADDRESS] = number << PAGE_SHIFT
        found[_TOO_LARGE] |= number >> (64 - PAGE_SHIFT) != 0
    elif role == LOW16:
        found[ADDRESS] = number & 0xFFFF
        return 0 <= number < 1 << 32
    elif role == BITS:
        found[SIZE] = number >> 3
        return number & 7 == 0
    elif role == DATA_SOURCE:
        found[KIND] = SKIPPED if found[ADDRESS] == 0 else _operation(number)
    else:
        found[role] = number
        return number >= 0 or (role != PROCESS and role != THREAD)
    return True


@inlined
def _take_ip(data, at, delimiter, role, base, found):
    """Where a field ends that need not be there, or need not be a number."""
    end = at
    if role == BY_PC:
        word, end = read_word(data, at, delimiter)
        other, end = read_word(data, skip_space(data, end, delimiter), delimiter)
        if word != _BY or other != _PC:
            return at
        end = skip_space(data, end, delimiter)
    quoted = role == IP_OR_TEXT and data[end] == QUOTE
    number, end, good = read_number(data, end + 1 if quoted else end, base)
    if quoted:
        good = good and data[end] == QUOTE
        end += 1 if good else 0
    if good and is_end(data[end], delimiter):
        found[IP] = number
        return end
    return at if role == BY_PC else _skip_field(data, at, delimiter)


@inlined
def _take_field(data, at, delimiter, role, base, literal, words, found):
    """(where the field ends, is it what the role asks for)"""
    if role == IGNORED:
        return _skip_field(data, at, delimiter), True
    if role == BY_PC or role == IP_OR_TEXT:
        return _take_ip(data, at, delimiter, role, base, found), True
    quoted = data[at] == QUOTE
    at += 1 if quoted else 0
    if role == LITERAL:
        word, at = read_word(data, at, delimiter)
        good = word == literal
    elif role == KIND:
        word, at = read_word(data, at, delimiter)
        good = False
        for i in range(len(words)):
            if words[i, 0] == word:
                found[KIND] = words[i, 1]
                good = True
    elif role == WORKLOAD_THREAD:
        found[PROCESS], found[THREAD], at, good = _workload_thread(data, at)
    else:
        number, at, good = read_number(data, at, base)
        colon = role == NUMBER_COLON or role == IP_COLON
        good = good and _take_number(number, IP if role == IP_COLON else role, found)
        if colon:
            good = good and data[at] == _COLON
            at += 1 if good else 0
    if quoted:
        good = good and data[at] == QUOTE
        at += 1 if good else 0
    return at, good and is_end(data[at], delimiter)


@inlined
def _take_line(data, at, columns, literals, words, delimiter, needed, found):
    """(where the last column ends, are all as they should be)"""
    found[:] = 0
    found[KIND], found[SIZE], found[PROCESS], found[THREAD] = LOAD, 1, _NOBODY, _NOBODY
    last = len(columns) - 1
    for column in range(len(columns)):
        at = skip_space(data, at, delimiter)
        if column >= needed and (data[at] == NEWLINE or data[at] == RETURN):
            break
        role, base = columns[column, 0], columns[column, 1]
        literal = literals[column]
        at, good = _take_field(data, at, delimiter, role, base, literal, words, found)
        if not good:
            return at, False
        if delimiter != SPACE and column < last:
            at = skip_space(data, at, delimiter)
            if data[at] == delimiter:
                at += 1
            elif column + 1 < needed:
                return at, False
    return at, 0 < found[SIZE] < 65536


@inlined
def _take_pair(data, at, base, letters, found):
    """`_take_line` of an address, a space and a letter that says the kind, and no more."""
    number, at, good = read_number(data, at, base)
    if good and data[at] == SPACE and letters[data[at + 1]] >= 0 and is_end(data[at + 2], SPACE):
        found[ADDRESS] = number
        found[KIND] = letters[data[at + 1]]
        return at + 2, True
    return at, False


@entry
def parse(
    data, position, end, va_bits, address, kind, size, count,
    columns, literals, words, letters, delimiter, needed, rest, found, ip, state, events,
):  # fmt: skip
    """Takes lines of the layout; see workloads.formats.text.Kernel.

    columns: int64[n, 2], role and base. literals: int64[n]. words: int64[k, 2], word and
    kind. letters: int64[256], the kind that a letter alone means where lines are such pairs, else
    -1. needed: how many columns a line must have. rest: may more follow? found: int64[_FOUND],
    scratch. ip: None where it is not wanted. state, events: see `switch`.
    """
    lines = 0
    limit = address.size - 1
    pairs = letters.max() >= 0
    is_whole = False  # whether `found` is that of a line
    while position < end:
        if count >= limit:
            return FULL, position, count, lines
        if state[EVENTS] == len(events):
            return AGAIN, position, count, lines
        good = False
        if pairs and is_whole:
            at, good = _take_pair(data, position, columns[0, 1], letters, found)
        if not good:
            at, good = _take_line(
                data, position, columns, literals, words, delimiter, needed, found
            )  # fmt: skip
            is_whole = good
        if good:
            while data[at] != NEWLINE and (rest or is_end(data[at], SPACE)):
                at += 1
        if not good or data[at] != NEWLINE:
            return OTHER, position, count, lines
        what = found[KIND]
        if what != SKIPPED:
            if found[_TOO_LARGE] or not is_canonical(found[ADDRESS], va_bits):
                return NOT_CANONICAL, position, count, lines
            if found[PROCESS] != _NOBODY or found[THREAD] != _NOBODY:
                switch(found[PROCESS], found[THREAD], count, state, events)
            address[count] = found[ADDRESS]
            size[count] = found[SIZE]
            kind[count] = LOAD if what == MODIFY else what
            if ip is not None:
                ip[count] = ip[count + 1] = found[ADDRESS] if what == FETCH else found[IP]
            if what == MODIFY:
                count += 1
                address[count] = found[ADDRESS]
                size[count] = found[SIZE]
                kind[count] = STORE
            count += 1
        lines += 1
        position = at + 1
    return END, position, count, lines


@inlined
def switch(process, thread, count, state, events):
    """Makes a SWITCH where process or thread is another than before; -1 is not known.

    state: int64[3], process, thread and number of events made so far; see `Switching`.
    """
    if process == _NOBODY:
        process = 1
    if thread == _NOBODY:
        thread = 0
    if state[_AT_PROCESS] != process or state[_AT_THREAD] != thread:
        state[_AT_PROCESS], state[_AT_THREAD] = process, thread
        row = state[EVENTS]
        events[row] = 0
        events[row, 0] = count
        events[row, 1] = SWITCH
        events[row, 2] = process
        events[row, 5] = thread
        state[EVENTS] = row + 1


class Switching:
    """Calls a kernel that makes switches, and hands them on. state: as `switch` keeps it."""

    def __init__(self, room: int = 1 << 12) -> None:
        self.state = np.array([_NOBODY, _NOBODY, 0], np.int64)
        self.rows = np.zeros((room, len(EVENT.names or ())), np.int64)

    def call(
        self,
        kernel: Callable[..., tuple[int, int, int, int]],
        where: tuple[np.ndarray, int, int, int],
        columns: text.Columns,
        *layout: object,
    ) -> tuple[int, int, int]:
        """As text.Parser.parse. where: data, position, end, va_bits."""
        self.state[EVENTS] = 0
        why, position, columns.count, taken = kernel(
            *where, columns.address, columns.kind, columns.size, columns.count,
            *layout, self.state, self.rows,
        )  # fmt: skip
        columns.happened(self.rows[: self.state[EVENTS]].copy())
        return why, position, taken


class _Parser:
    """Takes the lines of one layout; see `text.Parser`."""

    def __init__(self, layout: Layout, va_bits: int) -> None:
        words = [(pack(word), kind) for word, kind in layout.words.items()]
        letters = np.full(256, _NOBODY, np.int64)
        if [column.role for column in layout.columns] == [ADDRESS, KIND] and not layout.delimiter:
            for word, kind in layout.words.items():
                for letter in {word.lower(), word.upper()} if len(word) == 1 else ():
                    letters[ord(letter)] = kind
        self._va_bits = va_bits
        self._switching = Switching()
        self._layout = (
            np.array([(c.role, c.base) for c in layout.columns], np.int64),
            np.array([pack(c.word) for c in layout.columns], np.int64),
            np.array(words, np.int64).reshape(-1, 2),
            letters,
            ord(layout.delimiter or " "),
            len(layout.columns) - layout.optional,
            layout.rest,
            np.zeros(_FOUND, np.int64),
        )

    def parse(
        self, data: np.ndarray, position: int, end: int, columns: text.Columns
    ) -> tuple[int, int, int]:
        where = (data, position, end, self._va_bits)
        return self._switching.call(parse, where, columns, *self._layout, columns.ip)


def read(stream: ByteStream, options: Options, layout: Layout) -> Iterator[Chunk]:
    """Chunks of a text trace. Raises InputError naming file and line."""
    parser = _Parser(layout, options.va_bits)
    ip = "ip" in options.columns and any(column.role in _IPS for column in layout.columns)
    return text.read(stream, options, parser, layout.other, layout.expected, ip)
