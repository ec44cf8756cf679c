"""CSV of QEMU's TCG plugin `mem` with print-accesses on.

    insn_vaddr,insn_symbol,mem_vaddr,mem_hwaddr,access_size,access_type,mem_value

(QEMU, tests/tcg/plugins/mem.c); the size is in bits. The plugin lists data accesses
only, so that there are no fetches; insn_vaddr is their ip.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmulab.mmu.trace import LOAD, STORE, Chunk
from mmulab.workloads.formats import Options, fields, text
from mmulab.workloads.formats.fields import Column
from mmulab.workloads.formats.words import DECIMAL, HEXADECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "qemu"
SUMMARY = "CSV of QEMU's TCG plugin `mem`"

HEADER = b"insn_vaddr,insn_symbol,mem_vaddr,mem_hwaddr,access_size,access_type,mem_value"

_LINE = re.compile(rb"0x[0-9a-f]+,[^,]*,0x[0-9a-f]+,0x[0-9a-f]+,\d+,(load|store),")
_SUMMARIES = (b"mem accesses:", b"io accesses:", b"Region Base", b"Warning: ")


def _other(line: bytes) -> text.Events:
    if line == HEADER or line.startswith(_SUMMARIES):
        return []
    return text.only_blank(line)


LAYOUT = fields.Layout(
    columns=(
        Column(fields.IP, HEXADECIMAL),
        Column(fields.IGNORED),
        Column(fields.ADDRESS, HEXADECIMAL),
        Column(fields.NUMBER, HEXADECIMAL),
        Column(fields.BITS, DECIMAL),
        Column(fields.KIND),
    ),
    delimiter=",",
    words={"load": LOAD, "store": STORE},
    rest=True,
    other=_other,
    expected=f"a line of {HEADER.decode()}",
)


def matches(head: bytes) -> bool:
    return head.startswith(HEADER) or text.most_lines(head, _LINE)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of the plugin's output. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)
