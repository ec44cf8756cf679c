"""`address R|W`, one access a line.

The address is hexadecimal, with or without 0x; R or W (or I, an instruction fetch) in
either case; `#` begins a comment line. Many course traces look like this. The format
has no sizes: every access is one byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmu.jit import entry
from mmu.trace import FETCH, LOAD, STORE, Chunk
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

NAME = "plain"
SUMMARY = "lines of `address R|W`, hexadecimal"
EXPECTED = "an address and R or W, such as '0x7ffe1000 R'"

_LINE = re.compile(rb"\s*(0[xX])?[0-9a-fA-F]{1,16}[ \t]+[rRwWiI]\s*$")
_TAB, _ZERO, _X = 9, ord("0"), ord("x")
_R, _W, _I = ord("r"), ord("w"), ord("i")
_LOWER = 0x20  # the bit that tells a lower-case letter


def matches(head: bytes) -> bool:
    if not text.looks_like_text(head):
        return False
    seen = [line for line in text.lines(head) if line.strip() and not line.startswith(b"#")]
    return bool(seen) and sum(bool(_LINE.match(line)) for line in seen) * 2 > len(seen)


@entry
def parse(data, position, end, va_bits, address, kind, size, count):
    """Takes `address R|W` lines; see workloads.formats.text.Kernel."""
    lines = 0
    limit = address.size - 1
    while position < end:
        if count >= limit:
            return FULL, position, count, lines
        if position + 3 > end:
            return OTHER, position, count, lines
        at = position
        if data[at] == _ZERO and data[at + 1] | _LOWER == _X:
            at += 2
        begin = at
        value = 0
        digit = HEX[data[at]]
        while digit < 16:
            value = (value << 4) | digit
            at += 1
            digit = HEX[data[at]]
        digits = at - begin
        begin = at
        while data[at] == SPACE or data[at] == _TAB:
            at += 1
        letter = data[at] | _LOWER
        if digits == 0 or digits > 16 or at == begin:
            return OTHER, position, count, lines
        if letter == _R:
            what = LOAD
        elif letter == _W:
            what = STORE
        elif letter == _I:
            what = FETCH
        else:
            return OTHER, position, count, lines
        at += 1
        while data[at] == SPACE or data[at] == _TAB or data[at] == RETURN:
            at += 1
        if data[at] != NEWLINE:
            return OTHER, position, count, lines
        if not is_canonical(value, va_bits):
            return NOT_CANONICAL, position, count, lines
        address[count] = value
        size[count] = 1
        kind[count] = what
        count += 1
        lines += 1
        position = at + 1
    return END, position, count, lines


def _other(line: bytes) -> list[tuple[int, ...]] | None:
    return [] if not line.strip() or line.lstrip().startswith(b"#") else None


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of `address R|W` lines. Raises InputError naming file and line."""
    return text.read(stream, options, parse, _other, EXPECTED)
