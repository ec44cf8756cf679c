"""`address R|W`, one access a line: course traces such as gcc, bzip, swim and sixpack.

The address is hexadecimal, with or without 0x; R or W (or I, an instruction fetch) in
either case; `#` begins a comment line. The format has no sizes: every access is one byte.
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

NAME = "plain"
SUMMARY = "lines of `address R|W`, hexadecimal: course traces"
HOLDS = frozenset({"kind", "fetch"})

LAYOUT = fields.Layout(
    columns=(Column(fields.ADDRESS, HEXADECIMAL), Column(fields.KIND)),
    words={"R": LOAD, "W": STORE, "I": FETCH},
    expected="an address and R or W, such as '0x7ffe1000 R'",
)

_LINE = re.compile(rb"\s*(0[xX])?[0-9a-fA-F]{1,16}[ \t]+[rRwWiI]\s*$")


def matches(head: bytes) -> bool:
    return text.most_lines(head, _LINE)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of `address R|W` lines. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Writes accesses as lines."""
    for chunk in chunks:
        letters = np.array(["R", "W", "I"])[chunk.kind].tolist()
        address = chunk.address.view(np.uint64).tolist()
        file.write("".join(f"{a:x} {k}\n" for a, k in zip(address, letters, strict=True)).encode())
