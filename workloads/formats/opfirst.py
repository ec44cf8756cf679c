"""`operation address ...`, one access a line: traces of cache exercises and small tools.

    s 0x2ffff050 1        l or r, load, read, ld; s or w, store, write, st; i, fetch, ifetch;
    l 0x2ffff058 1        m, modify

The operation may be in either case; the address is hexadecimal, with or without 0x. What
follows is passed over: in some courses it is the number of instructions since the access
before, in others a value. Lines with a hexadecimal size behind are those of format `xdin`;
with a label 0 to 4 before, those of `din`. Every access is one byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmulab.mmu.trace import FETCH, LOAD, STORE, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import MODIFY, Column
from mmulab.workloads.formats.words import HEXADECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "opfirst"
SUMMARY = "lines of `load|store address ...`, hexadecimal: cache exercises"

_WORDS = {
    LOAD: "l r ld rd load read",
    STORE: "s w st wr store write",
    FETCH: "i fetch ifetch",
    MODIFY: "m modify",
}

LAYOUT = fields.Layout(
    columns=(Column(fields.KIND), Column(fields.ADDRESS, HEXADECIMAL)),
    words={word: kind for kind, words in _WORDS.items() for word in words.split()},
    rest=True,
    expected="an operation and an address, such as 's 0x2ffff050'",
)

_OPERATION = "|".join(" ".join(_WORDS.values()).split()).encode()
_LINE = re.compile(
    rb"\s*(" + _OPERATION + rb")[ \t]+(0[xX])?[0-9a-fA-F]{1,16}([ \t].*)?$", re.IGNORECASE
)


def matches(head: bytes) -> bool:
    return text.most_lines(head, _LINE)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of such lines. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)
