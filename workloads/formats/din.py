"""Dinero's din: `label address`, one access a line, hexadecimal with or without 0x.

Labels (Edler and Hill, Dinero IV, dinfmt.c and d4.h): 0 read, 1 write, 2 instruction fetch,
3 miscellaneous, which Dinero counts as a read: a load here; 4 cache flush, which is left
out: it says nothing of translations. What follows the address on a line is ignored, as
Dinero does. Dinero IV rounds addresses down to a word of four bytes; here they are kept,
and every access is one byte, because the format has no sizes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from mmulab.mmu.trace import FETCH, LOAD, STORE, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import Column
from mmulab.workloads.formats.words import HEXADECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "din"
SUMMARY = "Dinero's `label address` lines, hexadecimal"
HOLDS = frozenset({"kind", "fetch"})

_LINE = re.compile(rb"\s*[0-4]\s+(0[xX])?[0-9a-fA-F]{1,16}(\s.*)?$")


LAYOUT = fields.Layout(
    columns=(Column(fields.KIND), Column(fields.ADDRESS, HEXADECIMAL)),
    words={"0": LOAD, "1": STORE, "2": FETCH, "3": LOAD, "4": fields.SKIPPED},
    rest=True,
    expected="a label 0 to 4 and an address, such as '0 7ffe1000'",
)


def matches(head: bytes) -> bool:
    return text.most_lines(head, _LINE)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a din trace. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Writes accesses as lines."""
    for chunk in chunks:
        labels = np.array([0, 1, 2])[chunk.kind].tolist()
        address = chunk.address.view(np.uint64).tolist()
        file.write("".join(f"{k} {a:x}\n" for a, k in zip(address, labels, strict=True)).encode())
