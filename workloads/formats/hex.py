"""Hexadecimal addresses and nothing else: one a line, or several between spaces or commas.

With or without 0x, in either case; all are loads of a byte. Without any 0x or letter in a
file's beginning it is taken for decimal (format `decimal`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmulab.mmu.trace import LOAD, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import Column
from mmulab.workloads.formats.words import HEXADECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "hex"
SUMMARY = "hexadecimal addresses, one or more a line"

_NUMBERS = text.number_list(rb"(?:0[xX])?[0-9a-fA-F]{1,16}")
_DIGIT = re.compile(rb"\d")


def _list(line: bytes) -> text.Events:
    if not _NUMBERS.match(line):
        return text.only_blank(line)
    return [text.Access(int(word, 16), LOAD, 1) for word in line.replace(b",", b" ").split()]


LAYOUT = fields.Layout(
    columns=(Column(fields.ADDRESS, HEXADECIMAL),),
    other=_list,
    expected="hexadecimal addresses, such as '0x7ffe1000'",
)


def matches(head: bytes) -> bool:
    """Words such as 'add' and 'bad' are no addresses: there must be a digit somewhere."""
    return bool(_DIGIT.search(head)) and text.most_lines(head, _NUMBERS)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of hexadecimal addresses. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)
