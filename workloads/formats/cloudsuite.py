"""ChampSim's Cloudsuite records: 96 bytes each, with an address space.

    ip u64 | is_branch u8 | branch_taken u8 | destination registers 4 x u8 |
    source registers 4 x u8 | 6 bytes of padding | destination memory 4 x u64 |
    source memory 4 x u64 | asid 2 x u8 | 6 bytes of padding

(ChampSim, inc/trace_instruction.h, cloudsuite_instr.) Read as `champsim`; the first asid
is the process, + 1, since pids begin at 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.trace import FETCH, Chunk
from workloads.formats import Options
from workloads.formats.binary import records
from workloads.formats.champsim import looks_right, to_chunk
from workloads.formats.fields import with_switches
from workloads.streams import ByteStream

NAME = "cloudsuite"
SUMMARY = "ChampSim's 96-byte Cloudsuite records"

RECORD = np.dtype(
    {
        "names": ["ip", "is_branch", "branch_taken", "asid"],
        "formats": ["<i8", "u1", "u1", "u1"],
        "offsets": [0, 8, 9, 88],
        "itemsize": 96,
    }
)


def matches(head: bytes) -> bool:
    return looks_right(head, RECORD)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a Cloudsuite trace. Raises InputError naming the byte offset."""
    last = (1, 0)
    for offset, block in records(stream, RECORD):
        chunk = to_chunk(stream, offset, block, (3, 4), (7, 4), options.va_bits)
        record = np.cumsum(chunk.kind == FETCH) - 1
        pid = block["asid"].astype(np.int64)[record] + 1
        yield with_switches(chunk, pid, np.zeros_like(pid), last)
        last = (int(pid[-1]), 0)
