"""Contents of page-table pages, by host frame. Only frames that hold tables have any."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import ENTRIES, INDEX_BITS, PAGE_SHIFT
from mmulab.mmu.memory.state import Memory

#: Tables that a machine can hold at most, unless its memory is smaller: 1 GiB of
#: page tables, enough for 512 GiB of 4 KiB pages mapped densely. An assumption;
#: the array is backed by the operating system only where it is touched.
MAX_TABLES = 1 << 18

#: Contents of a closed table: present in neither format, and easy to recognise.
JUNK = 0x5A5A5A5A5A5A5A58


def make_memory(frames: int, tables: int = MAX_TABLES, tracked: bool = False) -> Memory:
    """Contents for the tables of a host of so many frames; for other pages if tracked.

    Table 0 is always empty: it is what frames that hold no table are read as.
    """
    tables = min(tables, frames)
    return Memory(
        entry=np.zeros((1 + tables) * ENTRIES, np.int64),
        table=np.zeros(frames, np.int32),
        spare=np.zeros(tables + 2, np.int64),
        contents=np.zeros(frames if tracked else 1, np.int64),
        written=np.zeros(frames if tracked else 1, np.uint8),
        owner=np.zeros(frames, np.int32),
    )


@kernel
def open_table(memory, frame):
    """Gives a frame contents: an empty table. False where there is no more room."""
    spare = memory.spare
    if spare[1]:
        table = spare[1 + spare[1]]
        spare[1] -= 1
    else:
        table = spare[0] + 1
        if (table + 1) * ENTRIES > memory.entry.size:
            return False
        spare[0] = table
    memory.entry[table * ENTRIES : (table + 1) * ENTRIES] = 0
    memory.table[frame] = table
    return True


@kernel
def copy_table(memory, source, frame):
    """Gives a frame a copy of the table in another. False where there is no more room."""
    if not open_table(memory, frame):
        return False
    old = memory.table[source] * ENTRIES
    new = memory.table[frame] * ENTRIES
    for index in range(ENTRIES):
        memory.entry[new + index] = memory.entry[old + index]
    return True


@kernel
def close_table(memory, frame):
    """A frame no longer holds a table, if it did: it is read as an empty one, and the entries
    become junk for those that kept their place (xv6 fills freed frames for the same reason)."""
    table = memory.table[frame]
    if table == 0:
        return
    memory.entry[table * ENTRIES : (table + 1) * ENTRIES] = JUNK
    memory.table[frame] = 0
    memory.spare[1] += 1
    memory.spare[1 + memory.spare[1]] = table


@inlined
def slot_of(memory, hpa):
    """Index into Memory.entry of the entry at a host-physical address, of a frame that there is.

    Unsigned, so that no code is made for negative indices.
    """
    table = np.int64(memory.table[np.uint64(hpa >> PAGE_SHIFT)])
    return np.uint64((table << INDEX_BITS) | ((hpa >> 3) & (ENTRIES - 1)))


@inlined
def load(memory, hpa):
    """The table entry at a host-physical address."""
    return memory.entry[slot_of(memory, hpa)]


@inlined
def store(memory, hpa, entry):
    memory.entry[slot_of(memory, hpa)] = entry


def entries_in(memory: Memory, frame: int) -> np.ndarray | None:
    """The entries of the table in a frame, int64[512]: a view; None where it holds no table."""
    table = int(memory.table[frame])
    return memory.entry[table * ENTRIES : (table + 1) * ENTRIES] if table else None
