"""Pin's pinatrace.out: `0xIP: R 0xADDRESS`, one memory operand a line, ended by #eof.

    0x401136: R 0x7ffd1e3c2b60
    0x401136: W     0x7ffd1e3c2b60  8       0x1

The layouts are those of Intel Pin's example tools, source/tools/ManualExamples and, with
the size in bytes and the value behind, SimpleExamples/pinatrace.cpp. They list operands
only, so that the instructions without any are missing: the addresses of instructions are
not read as fetches, only as the accesses' ip. Without a size an access is one byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmulab.mmu.trace import LOAD, STORE, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import Column
from mmulab.workloads.formats.words import DECIMAL, HEXADECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "pinatrace"
SUMMARY = "Pin's pinatrace.out: `0xIP: R 0xADDRESS`"

LAYOUT = fields.Layout(
    columns=(
        Column(fields.IP_COLON, HEXADECIMAL),
        Column(fields.KIND),
        Column(fields.ADDRESS, HEXADECIMAL),
        Column(fields.SIZE, DECIMAL),
    ),
    words={"R": LOAD, "W": STORE},
    optional=1,
    rest=True,
    expected="'0xIP: R 0xADDRESS'",
)

_LINE = re.compile(rb"\s*0x[0-9a-fA-F]+: [RW]\s+0x[0-9a-fA-F]+(\s+\d+(\s.*)?)?\s*$")


def matches(head: bytes) -> bool:
    return text.most_lines(head, _LINE)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a pinatrace file. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)
