"""Pin's pinatrace.out: `0xIP: R 0xADDRESS`, one memory operand a line, ended by #eof.

The layout is that of Intel Pin's example tool (source/tools/ManualExamples/pinatrace.cpp).
It lists operands only, so that the instructions without any are missing: the addresses of
instructions are not read as fetches. No sizes: every access is one byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmu.trace import LOAD, STORE, Chunk
from workloads.formats import Options, fields, text
from workloads.streams import ByteStream

NAME = "pinatrace"
SUMMARY = "Pin's pinatrace.out: `0xIP: R 0xADDRESS`"

LAYOUT = fields.Layout(
    columns=(fields.SKIP, fields.KIND, fields.ADDRESS_HEX),
    kinds={"R": LOAD, "W": STORE},
    expected="'0xIP: R 0xADDRESS'",
)

_LINE = re.compile(rb"\s*0x[0-9a-fA-F]+: [RW]\s+0x[0-9a-fA-F]+\s*$")


def matches(head: bytes) -> bool:
    return text.most_lines(head, _LINE)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a pinatrace file. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)
