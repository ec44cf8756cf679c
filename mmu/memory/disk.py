"""Disks by blocks of a page: the host's swap device, and the disk of each guest.

Blocks are handed out next-fit, so that pages that leave together lie together, as
Linux's swap allocator means them to (mm/swapfile.c); transfers that go on where the
last one ended are counted apart, because they cost no seek and no request of their own.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.state import DISK_RECORD, Disk
from mmulab.mmu.memory.status import NIL

#: Tags from here on are of pages of files; see `mmu.hardware.contents`.
FILE_TAGS = 1 << 62


def make_disk(blocks: int) -> Disk:
    """An empty disk; one without blocks holds none, and every allocation fails."""
    record = np.zeros(1, DISK_RECORD)
    record[0]["last"] = NIL
    return Disk(
        record=record,
        contents=np.zeros(blocks, np.int64),
        references=np.zeros(blocks, np.int32),
    )


@kernel
def allocate(disk):
    """A free block with one reference, or NIL."""
    record = disk.record[0]
    blocks = disk.references.size
    if record.used == blocks:
        return NIL
    at = record.hand
    while True:
        if at >= blocks:
            at = 0
        if disk.references[at] == 0:
            break
        at += 1
    disk.references[at] = 1
    record.used += 1
    record.hand = at + 1
    return at


@kernel
def release(disk, block):
    """Drops one reference to a block."""
    disk.references[block] -= 1
    if disk.references[block] == 0:
        disk.record[0].used -= 1


@inlined
def _transfer(disk, block):
    record = disk.record[0]
    record.sequential += int(block == record.last + 1)
    record.last = block


@kernel
def read(disk, block):
    """Reads a block: the tag of what it holds."""
    disk.record[0].reads += 1
    _transfer(disk, block)
    return disk.contents[block]


@kernel
def write(disk, block, tag):
    disk.record[0].writes += 1
    _transfer(disk, block)
    disk.contents[block] = tag


@inlined
def is_file_block(disk, block):
    """True where a block belongs to a file: it is never written by paging."""
    return disk.contents[block] >= FILE_TAGS
