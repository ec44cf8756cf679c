"""The text of DynamoRIO's `drmemtrace view`: one record a line.

    <record> <instruction>: W0.T1294139 ifetch   3 byte(s) @ 0x000072... 48 89 e7 mov ...
    <record> <instruction>: W0.T1294139 write    8 byte(s) @ 0x00007f... by PC 0x000072...

(DynamoRIO, clients/drcachesim/docs/drcachesim.dox.in, the view tool). Markers and other
records are left out; threads are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmu.trace import FETCH, LOAD, STORE, Chunk
from workloads.formats import Options, fields, text
from workloads.streams import ByteStream

NAME = "drview"
SUMMARY = "DynamoRIO's `drmemtrace view` text"

_LINE = re.compile(rb"\s*\d+\s+\d+:\s+(W\d+\.T)?\d+\s+(ifetch|read|write|<)")
_RECORD = re.compile(rb"\s*\d+\s+\d+:\s+(W\d+\.T)?\d+\s+(?!ifetch|read |write )\S")
_FRAME = re.compile(rb"Output format:|<--record|-----|View tool results|\s*\d+ : total |=====")


def _other(line: bytes) -> text.Events:
    if _RECORD.match(line) or _FRAME.match(line):
        return []
    return text.only_blank(line)


LAYOUT = fields.Layout(
    columns=(fields.SKIP, fields.SKIP, fields.TID, fields.KIND, fields.SIZE, fields.SKIP,
             fields.SKIP, fields.ADDRESS_HEX),
    kinds={"i": FETCH, "r": LOAD, "w": STORE},
    rest=True,
    other=_other,
    expected="a record of drmemtrace view, such as '5 2: W0.T77 read 8 byte(s) @ 0x7ffe1000'",
)  # fmt: skip


def matches(head: bytes) -> bool:
    return text.most_lines(head, _LINE, least=0.3)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of drmemtrace view's text. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)
