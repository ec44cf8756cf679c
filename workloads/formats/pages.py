"""OSTEP's homework: one decimal page number a line, for page-replacement exercises.

Arpaci-Dusseau, Operating Systems: Three Easy Pieces, paging-policy.py -f FILE. Page n is
read as a load of the first byte of the n-th 4 KiB page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from mmu.bits import PAGE_SHIFT
from mmu.trace import Chunk
from workloads.formats import Options, fields, text
from workloads.streams import ByteStream

NAME = "pages"
SUMMARY = "one decimal page number a line (OSTEP)"
HOLDS: frozenset[str] = frozenset()

#: Where all numbers of a file's beginning are at most this, they are taken for page
#: numbers, else for addresses. An assumption: homework has few pages, and of a thousand
#: addresses of 16 bits nearly all are larger.
LARGEST_PAGE = 1023

LAYOUT = fields.Layout(
    columns=(fields.ADDRESS,),
    shift=PAGE_SHIFT,
    expected="one decimal page number, such as '7'",
)

_LINE = re.compile(rb"\s*\d{1,4}\s*$")


def matches(head: bytes) -> bool:
    if not text.most_lines(head, _LINE):
        return False
    return all(int(line) <= LARGEST_PAGE for line in text.lines(head) if _LINE.match(line))


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of page numbers. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Writes accesses as lines."""
    for chunk in chunks:
        pages = (chunk.address.view(np.uint64) >> np.uint64(PAGE_SHIFT)).tolist()
        file.write("".join(f"{page}\n" for page in pages).encode())
