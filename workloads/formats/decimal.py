"""Decimal addresses and nothing else: one a line, or several between spaces or commas.

All are loads of a byte, and all their bits count. Two other formats have lines that look the
same, and which of them a file is cannot be known: page numbers (format `pages`), which small
numbers are taken for, and addresses of which the low 16 bits count (format `silberschatz`).
"""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.trace import LOAD, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import Column
from mmulab.workloads.formats.words import DECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "decimal"
SUMMARY = "decimal addresses, one or more a line"
GUESS = (
    "taken for decimal addresses; --format silberschatz keeps their low 16 bits, "
    "--format pages takes page numbers, --format hex hexadecimal"
)

_NUMBERS = text.number_list(rb"\d{1,20}")
_LARGEST = (1 << 64) - 1


def _list(line: bytes) -> text.Events:
    if not _NUMBERS.match(line):
        return text.only_blank(line)
    numbers = [int(word) for word in line.replace(b",", b" ").split()]
    return [text.Access(n, LOAD, 1) for n in numbers] if max(numbers) <= _LARGEST else None


LAYOUT = fields.Layout(
    columns=(Column(fields.ADDRESS, DECIMAL),),
    other=_list,
    expected="decimal addresses, such as '1048576'",
)


def matches(head: bytes) -> bool:
    """Small numbers only are pages: that format is asked first."""
    return text.most_lines(head, _NUMBERS)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of decimal addresses. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)
