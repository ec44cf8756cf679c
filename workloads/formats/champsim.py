"""ChampSim's instruction records: 64 bytes each, nothing else in the file.

    ip u64 | is_branch u8 | branch_taken u8 | destination registers 2 x u8 |
    source registers 4 x u8 | destination memory 2 x u64 | source memory 4 x u64

(ChampSim, inc/trace_instruction.h, input_instr.) Each gives a fetch at ip, then a load
of each source and a store of each destination that is not 0. The records have no sizes:
a fetch is read as 4 bytes, the mean length of an x86 instruction being about that (an
assumption), data as 8, so that either can straddle a page.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmu.errors import InputError
from mmu.jit import entry
from mmu.trace import FETCH, LOAD, NO_EVENTS, STORE, Chunk
from workloads.formats import Options
from workloads.formats.binary import check_canonical, plausible, records
from workloads.streams import ByteStream

NAME = "champsim"
SUMMARY = "ChampSim's 64-byte instruction records"

RECORD = np.dtype(
    [
        ("ip", "<i8"),
        ("is_branch", "u1"),
        ("branch_taken", "u1"),
        ("destination_registers", "u1", 2),
        ("source_registers", "u1", 4),
        ("destination_memory", "<i8", 2),
        ("source_memory", "<i8", 4),
    ]
)

FETCH_BYTES, DATA_BYTES = 4, 8


@entry
def unpack(words, width, stores, loads, address, kind):
    """Accesses of records that are `width` words each.

    stores, loads: (first word, count) of destination and source memory. Returns how many.
    """
    count = 0
    for first in range(0, words.size, width):
        address[count] = words[first]
        kind[count] = FETCH
        count += 1
        for each in range(loads[1]):
            at = words[first + loads[0] + each]
            if at:
                address[count] = at
                kind[count] = LOAD
                count += 1
        for each in range(stores[1]):
            at = words[first + stores[0] + each]
            if at:
                address[count] = at
                kind[count] = STORE
                count += 1
    return count


def to_chunk(
    stream: ByteStream, offset: int, block: np.ndarray, stores: tuple[int, int],
    loads: tuple[int, int], va_bits: int,
) -> Chunk:  # fmt: skip
    """The accesses of a block of records; stores and loads as in `unpack`."""
    most = len(block) * (1 + stores[1] + loads[1])
    address, kind = np.empty(most, np.int64), np.empty(most, np.uint8)
    words = block.view(np.int64)
    count = unpack(words, block.dtype.itemsize // 8, stores, loads, address, kind)
    address, kind = address[:count], kind[:count]
    check_canonical(stream, address, va_bits, offset)
    size = np.where(kind == FETCH, FETCH_BYTES, DATA_BYTES).astype(np.uint16)
    return Chunk(address, kind, size, NO_EVENTS)


def looks_right(head: bytes, dtype: np.dtype) -> bool:
    """True where a file's beginning reads as instructions: flags are flags, and most are
    close to the instruction before them, as code is."""
    seen = plausible(head, dtype)
    if seen is None or (seen["ip"] <= 0).any() or (seen["ip"] >> 56).any():
        return False
    flags = (seen["is_branch"] > 1) | (seen["branch_taken"] > seen["is_branch"])
    near = np.abs(np.diff(seen["ip"])) < 1 << 12
    return not flags.any() and near.sum() * 2 > len(near)


def matches(head: bytes) -> bool:
    return looks_right(head, RECORD)


def read(stream: ByteStream, options: Options) -> Iterator[Chunk]:
    """Chunks of a ChampSim trace. Raises InputError naming the byte offset."""
    for offset, block in records(stream, RECORD):
        if (block["is_branch"] > 1).any():
            at = offset + int(np.argmax(block["is_branch"] > 1)) * RECORD.itemsize
            raise InputError(
                f"{stream.name}: byte {at + 8:,}: is_branch is neither 0 nor 1; expected records "
                f"of {RECORD.itemsize} bytes"
            )
        yield to_chunk(stream, offset, block, (2, 2), (4, 4), options.va_bits)
