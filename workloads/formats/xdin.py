"""Dinero IV's extended din format: `type address size`, one access a line.

    r 7ffe1000 8        r read, w write, i instruction fetch, m miscellaneous,
    i 400a10 3          c copy back, v invalidate

Address and size are hexadecimal, with or without 0x; the rest of a line is ignored
(Dinero IV, xdinfmt.c). m is a read that does not start a prefetch: a load here; c and v
are no accesses and are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from mmulab.mmu.trace import FETCH, LOAD, STORE, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import SKIPPED, Column
from mmulab.workloads.formats.words import HEXADECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "xdin"
SUMMARY = "Dinero IV extended din, `r|w|i address size`, hexadecimal"
HOLDS = frozenset({"kind", "fetch", "size"})


def _other(line: bytes) -> text.Events:
    # A copy back or an invalidation of the whole cache has size 0 (d4.h).
    return [] if line.split()[:1] in ([b"c"], [b"v"]) else text.only_blank(line)


LAYOUT = fields.Layout(
    columns=(
        Column(fields.KIND),
        Column(fields.ADDRESS, HEXADECIMAL),
        Column(fields.SIZE, HEXADECIMAL),
    ),
    words={"r": LOAD, "w": STORE, "i": FETCH, "m": LOAD, "c": SKIPPED, "v": SKIPPED},
    rest=True,
    other=_other,
    expected="a type, an address and a size, such as 'r 7ffe1000 8'",
)

_LINE = re.compile(
    rb"[ \t]*[rwimcv][ \t]+(0[xX])?[0-9a-fA-F]{1,16}[ \t]+(0[xX])?[0-9a-fA-F]{1,4}([ \t].*)?$"
)


def matches(head: bytes) -> bool:
    return text.most_lines(head, _LINE)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of an extended din trace. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Writes accesses as lines."""
    for chunk in chunks:
        rows = zip(
            np.array(["r", "w", "i"])[chunk.kind].tolist(),
            chunk.address.view(np.uint64).tolist(),
            chunk.size.tolist(),
            strict=True,
        )
        file.write("".join(f"{k} {a:x} {s:x}\n" for k, a, s in rows).encode())
