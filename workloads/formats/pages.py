"""OSTEP's homework: decimal page numbers, for page-replacement exercises.

Arpaci-Dusseau, Operating Systems: Three Easy Pieces, paging-policy.py: one a line, as its
-f FILE takes them, or several with commas or spaces between them, as -a takes them. Page n
is read as a load of the first byte of the n-th 4 KiB page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from mmulab.mmu.memory.entries import PAGE_SHIFT
from mmulab.mmu.trace import LOAD, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import Column
from mmulab.workloads.formats.words import DECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "pages"
SUMMARY = "decimal page numbers, one or more a line (OSTEP)"
GUESS = "taken for page numbers; --format decimal takes addresses"
HOLDS: frozenset[str] = frozenset()

#: Where all numbers of a file's beginning are at most this, they are taken for page
#: numbers, else for addresses. An assumption: homework has few pages, and of a thousand
#: addresses of 16 bits nearly all are larger.
LARGEST_PAGE = 1023

_LINE = text.number_list(rb"\d{1,16}")  # digits of the largest page number, 2^52 - 1


def _numbers(line: bytes) -> list[int]:
    """The numbers of a line; none where it is no line of numbers."""
    return [int(word) for word in line.replace(b",", b" ").split()] if _LINE.match(line) else []


def _list(line: bytes) -> text.Events:
    pages = [text.Access(page << PAGE_SHIFT, LOAD, 1) for page in _numbers(line)]
    return pages or text.only_blank(line)


LAYOUT = fields.Layout(
    columns=(Column(fields.PAGE, DECIMAL),),
    other=_list,
    expected="one decimal page number, such as '7', or several with commas",
)


def matches(head: bytes) -> bool:
    if not text.most_lines(head, _LINE):
        return False
    seen = [_numbers(line) for line in text.lines(head)]
    return any(seen) and all(max(numbers, default=0) <= LARGEST_PAGE for numbers in seen)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of page numbers. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Writes accesses as lines."""
    for chunk in chunks:
        pages = (chunk.address.view(np.uint64) >> np.uint64(PAGE_SHIFT)).tolist()
        file.write("".join(f"{page}\n" for page in pages).encode())
