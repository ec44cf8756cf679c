"""ChampSim's variant for Cloudsuite traces: 96-byte records (ChampSim, inc/trace_instruction.h).

    byte   0   ip                    u64
           8   is_branch             u8
           9   branch_taken          u8
          10   destination registers u8 x 4
          14   source registers      u8 x 4
          18   padding
          24   destination memory    u64 x 4      stores
          56   source memory         u64 x 4      loads
          88   asid                  u8 x 2
          90   padding

As champsim.py, which reads them; the two bytes of the ASID, as one number, are the
process: a SWITCH stands before the first record and wherever they change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from mmulab.mmu.trace import Chunk
from mmulab.workloads.formats import Options, champsim, records
from mmulab.workloads.streams import ByteStream

NAME = "cloudsuite"
SUMMARY = "ChampSim's 96-byte Cloudsuite records; the ASID is the process"
HOLDS = frozenset({"kind", "fetch", "process"})

BYTES = 96
LAYOUT = records.Layout(BYTES, np.dtype("<i8"), "a 96-byte Cloudsuite record", {}, champsim.COLUMNS)

#: See champsim.SHAPE.
SHAPE = (12, 3, 4, 7, 11)


def matches(head: bytes) -> bool:
    return champsim.plausible(head, SHAPE)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a Cloudsuite trace. Raises InputError naming the byte offset."""
    return records.read(stream, options, LAYOUT, champsim.parse, champsim.state(SHAPE))


def write(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Accesses as Cloudsuite records, the low 16 bits of the process as the ASID.

    Raises InputError for an access of address 0, which means an unused slot.
    """
    champsim.write_shape(file, chunks, SHAPE)
