"""Silberschatz, Galvin and Gagne's homework: one decimal logical address a line.

"Designing a Virtual Memory Manager" (Operating System Concepts, programming projects of
the chapter on virtual memory): integers of 32 bits, of which only the rightmost 16 are
the address. All are loads of a byte. Read only where --format says so: the same lines are
decimal addresses of which all bits count (format `decimal`), or page numbers (`pages`).
"""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.trace import Chunk
from mmulab.workloads.formats import Options, fields
from mmulab.workloads.formats.fields import Column
from mmulab.workloads.formats.words import DECIMAL
from mmulab.workloads.streams import ByteStream

NAME = "silberschatz"
SUMMARY = "one decimal address a line, its low 16 bits (Silberschatz); with --format only"

LAYOUT = fields.Layout(
    columns=(Column(fields.LOW16, DECIMAL),),
    expected="one decimal address of 32 bits, such as '16916'",
)


def matches(head: bytes) -> bool:
    """Never: bits are left out only where that is asked for."""
    return False


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of decimal addresses. Raises InputError naming file and line."""
    return fields.read(stream, options, LAYOUT)
