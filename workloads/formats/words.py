"""Words and numbers of a line of text, for kernels."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import inlined
from mmulab.workloads.formats.text import HEX, NEWLINE, RETURN, SPACE

# How a number is written.
AUTO, DECIMAL, HEXADECIMAL = 0, 10, 16  # AUTO: hexadecimal with 0x, decimal without

TAB, QUOTE, CASE = 9, ord('"'), 0x20
_ZERO, _X = ord("0"), ord("x")
_WORD = 8  # bytes of a word that are compared


def pack(word: str) -> int:
    """A word as the kernel compares it: its first eight bytes, lower case."""
    return int.from_bytes(word.lower().encode()[:_WORD], "big")


@inlined
def is_end(character, delimiter):
    """Does a field end before this character?"""
    return (
        character == delimiter
        or character == NEWLINE
        or character == SPACE
        or character == RETURN
        or character == TAB
    )


@inlined
def read_number(data, at, base):
    """(value, where it ends, is it one): up to 64 bits, as the bit pattern of an int64."""
    hexadecimal = base == HEXADECIMAL
    if data[at] == _ZERO and data[at + 1] | CASE == _X and base != DECIMAL:
        hexadecimal = True
        at += 2
    begin = at
    value = 0
    digit = HEX[data[at]]
    if hexadecimal:
        while digit < 16:
            value = (value << 4) | digit
            at += 1
            digit = HEX[data[at]]
        return value, at, 0 < at - begin <= 16
    while digit < 10:
        value = value * 10 + digit
        at += 1
        digit = HEX[data[at]]
    digits = at - begin
    # 20 digits that fit in 64 bits begin with 1 and, being over 2^63, are negative here.
    fits = digits < 20 or (digits == 20 and data[begin] == _ZERO + 1 and value < 0)
    return value, at, 0 < digits and fits


@inlined
def read_word(data, at, delimiter):
    """(first eight bytes in lower case, where it ends)"""
    value = 0
    length = 0
    while not is_end(data[at], delimiter) and data[at] != QUOTE:
        if length < _WORD:
            character = np.int64(data[at])
            if ord("A") <= character <= ord("Z"):
                character |= CASE
            value = (value << 8) | character
        length += 1
        at += 1
    return value, at


@inlined
def skip_space(data, at, delimiter):
    while data[at] == SPACE or (data[at] == TAB and delimiter != TAB):
        at += 1
    return at
