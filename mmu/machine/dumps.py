"""Page tables that were dumped from a real machine, as artifacts publish them.

The first line is a count. Then comes a line for each page of 4 KiB, hexadecimal without 0x:

    VA,PE1,PE2,PE3,PE4,PA      the guest's tables
    GPA,PE1,PE2,PE3,PE4,PA     the host's, of the guest's pages and of its tables

VA and GPA are addresses, the others frame numbers: PE1 of the top-level table, PE4 of the table
that holds the leaf, PA of the page (amirmnoohi/SagePTE-AE, Simulator/README.md; xlab-uiuc/dmt,
simulator-virt, cache_simulator.cpp, reads the same).
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mmulab.mmu.errors import InputError, printable
from mmulab.mmu.kernels.compiling import entry, kernel

COLUMNS = 6
LEVELS = 4
MOST_FRAMES = 1 << 30  # 4 TiB, as Config.memory

_COMMA, _NEWLINE, _RETURN = 44, 10, 13


class Dump(NamedTuple):
    """A dump, by ascending address.

    name: of its file, as users know it. page: int64[pages]: number of the page that each line
    maps. frame: int64[pages, 5]: PE1 to PE4, PA. line: int64[pages]: number in the file.
    """

    name: str
    page: np.ndarray
    frame: np.ndarray
    line: np.ndarray


@kernel
def _digit(byte):
    """Value of a hexadecimal digit, -1 of what is none."""
    if 48 <= byte and byte <= 57:
        return byte - 48
    lower = byte | 32
    return lower - 87 if 97 <= lower and lower <= 102 else -1


@entry
def _parse(text, first, values, lines):
    """Reads lines of hexadecimal numbers of a text, uint8[bytes], from a place on. Returns
    (rows, 0), or (rows before it, number of the bad line)."""
    row, column, digits, value, line = 0, 0, 0, 0, 2
    for place in range(first, text.size + 1):
        byte = np.int64(text[place]) if place < text.size else _NEWLINE
        digit = _digit(byte)
        if digit >= 0 and digits < 15 and column < COLUMNS:
            value = value << 4 | digit
            digits += 1
        elif byte == _COMMA and digits and column < COLUMNS - 1 and row < len(lines):
            values[row, column] = value
            column, digits, value = column + 1, 0, 0
        elif byte == _NEWLINE and digits and column == COLUMNS - 1 and row < len(lines):
            values[row, column] = value
            lines[row] = line
            row, column, digits, value, line = row + 1, 0, 0, 0, line + 1
        elif byte == _NEWLINE and column == 0 and digits == 0:
            line += 1  # an empty line
        elif byte != _RETURN or place + 1 < text.size and text[place + 1] != _NEWLINE:
            return row, line
    return row, 0


def _fail(name: str, line: int, problem: str) -> InputError:
    return InputError(f"{name}, line {line:,}: {problem}")


def read(path: str, what: str) -> Dump:
    """A dump. what: "VA" or "GPA", what its lines begin with. Raises InputError with the line."""
    try:
        stat = os.stat(path)
        return _read(path, what, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise InputError(f"{printable(path)}: {error.strerror or error}") from None


@lru_cache(maxsize=4)
def _read(path: str, what: str, _changed: int, _size: int) -> Dump:
    name = printable(path)
    text = np.fromfile(path, np.uint8)
    if not text.size:
        raise InputError(f"{name}: empty; expected a count, then {what},PE1,PE2,PE3,PE4,PA lines")
    ends = np.flatnonzero(text[:4096] == _NEWLINE)
    end = int(ends[0]) if len(ends) else text.size
    count = _count(name, bytes(text[:end]))
    values = np.zeros((min(count, text.size // 12 + 1), COLUMNS), np.int64)
    lines = np.zeros(len(values), np.int64)
    rows, bad = _parse(text, end + 1, values, lines)
    if bad and rows == count:
        raise _fail(name, bad, f"a line more than the {count:,} that line 1 says")
    if bad:
        expected = f"{what},PE1,PE2,PE3,PE4,PA, hexadecimal without 0x"
        raise _fail(name, bad, f"expected {expected}")
    if rows < count:
        raise InputError(f"{name}: {rows:,} lines of tables; line 1 says {count:,}")
    order = np.argsort(values[:, 0], kind="stable")
    values, lines = values[order], lines[order]
    dump = Dump(name, values[:, 0] >> 12, values[:, 1:], lines)
    _check_lines(dump, values[:, 0], what)
    if what == "VA":
        _check_tables(dump)
    return dump


def _count(name: str, first: bytes) -> int:
    try:
        count = int(first)
    except ValueError:
        count = 0
    if count < 1:
        shown = printable(first[:40].decode("utf-8", "backslashreplace").strip())
        raise _fail(name, 1, f"{shown!r}: expected the number of lines that follow")
    return count


def _refuse(dump: Dump, rows: np.ndarray, problem: str) -> None:
    """Raises InputError of the first line of some rows, if there are any."""
    if len(rows):
        raise _fail(dump.name, int(dump.line[rows].min()), problem)


def _check_lines(dump: Dump, address: np.ndarray, what: str) -> None:
    """Raises InputError where a line cannot be."""
    bits = 47 if what == "VA" else 48
    bad = (address & 0xFFF != 0) | (address >= 1 << bits)
    expected = f"expected a {what} that is a multiple of 4 KiB below 2**{bits}"
    _refuse(dump, np.flatnonzero(bad), expected)
    outside = (dump.frame >= MOST_FRAMES).any(axis=1)
    if what == "GPA":
        outside |= dump.page >= MOST_FRAMES
    _refuse(dump, np.flatnonzero(outside), "expected frames below 4 TiB of memory")
    again = np.flatnonzero(dump.page[1:] == dump.page[:-1])
    _refuse(dump, again + 1, f"the {what} is another line's, too")


def _check_tables(dump: Dump) -> None:
    """Raises InputError where lines don't make one tree of tables."""
    of_levels = [np.unique(dump.frame[:, column]) for column in range(LEVELS)]
    for column in range(LEVELS):
        name = f"PE{column + 1}"
        prefix = dump.page >> 9 * (LEVELS - column)
        first = np.unique(prefix, return_index=True)[1]
        table = dump.frame[:, column]
        of_prefix = table[first][np.searchsorted(prefix[first], prefix)]
        other = np.flatnonzero(table != of_prefix)
        _refuse(dump, other, f"{name} is another table than that of the addresses beside it")
        owners = np.unique(table[first], return_index=True)[1]
        rest = np.setdiff1d(first, first[owners])
        _refuse(dump, rest, f"the table of {name} is that of other addresses, too")
        others = np.concatenate(of_levels[:column] + of_levels[column + 1 :])
        twice = np.flatnonzero(np.isin(table, others))
        _refuse(dump, twice, f"the table of {name} is one of another level, too")
    pages = np.isin(dump.frame[:, LEVELS], np.concatenate(of_levels))
    _refuse(dump, np.flatnonzero(pages), "PA is a table's frame")


def frames_of(guest: Dump, host: Dump) -> tuple[np.ndarray, np.ndarray]:
    """(gfn, place) of what the host's dump maps: place: the host frame, renumbered from 0 so that
    runs stay runs and no other frames come to lie side by side. Raises InputError where it lacks a
    frame of the guest's dump."""
    for column in range(LEVELS + 1):
        missing = np.flatnonzero(~np.isin(guest.frame[:, column], host.page))
        which = "PA" if column == LEVELS else f"PE{column + 1}"
        _refuse(guest, missing, f"{which} is not in {host.name}")
    frame = host.frame[:, LEVELS]
    order = np.argsort(frame, kind="stable")
    step = np.minimum(np.diff(frame[order]), 2)
    place = np.empty(len(order), np.int64)
    place[order] = np.concatenate([[0], np.cumsum(np.maximum(step, 1))])
    return host.page, place
