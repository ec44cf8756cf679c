"""Silberschatz, Galvin and Gagne's homework: one decimal logical address a line.

"Designing a Virtual Memory Manager" (Operating System Concepts, programming projects of
the chapter on virtual memory): integers of 32 bits, of which only the rightmost 16 are
the address. All are loads of a byte. The same lines with small numbers only are page
numbers (format `pages`); --format tells them apart where the content can't.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmulab.mmu.trace import Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import DECIMAL, Column
from mmulab.workloads.formats.pages import LARGEST_PAGE
from mmulab.workloads.streams import ByteStream

NAME = "silberschatz"
SUMMARY = "one decimal address a line, its low 16 bits (Silberschatz)"

LAYOUT = fields.Layout(
    columns=(Column(fields.LOW16, DECIMAL),),
    expected="one decimal address of 32 bits, such as '16916'",
)

_LINE = re.compile(rb"\s*\d{1,10}\s*$")

_WORDS = 1 << 32  # addresses are integers of 32 bits


def matches(head: bytes) -> bool:
    if not text.most_lines(head, _LINE):
        return False
    numbers = [int(line) for line in text.lines(head) if _LINE.match(line)]
    return LARGEST_PAGE < max(numbers) < _WORDS


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of decimal addresses. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)
