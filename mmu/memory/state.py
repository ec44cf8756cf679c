"""State of the host's memory: frames, what they hold, disks."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.structs import ArrayField, Struct

# --- Frames ---------------------------------------------------------------------
MAX_ORDER = 18  # 1 GiB of 4 KiB frames

# What a frame is used for.
FREE, GUEST_PAGE, GPT_PAGE, SPT_PAGE, NPT_PAGE, MERGED_PAGE, BALLOON_PAGE = 0, 1, 2, 3, 4, 5, 6
FRAME_KINDS = ("free", "guest page", "gPT", "sPT", "nPT", "merged page", "balloon")

#: One frame of an address space, 32 bytes. All zero: never touched.
#:
#: reverse, the reverse map, says what a host frame is used for:
#:
#:     guest page      the gfn that it backs, + 1; for every frame of a large host page
#:     merged page     the first node of its chain of sharers in Host.sharers; 0: none
#:     sPT             its shadow page, + 1
#:     all others      0
FRAME_RECORD = np.dtype(
    [
        ("next", np.int32),  # free list links, frame + 1; 0: none
        ("previous", np.int32),
        ("references", np.int32),
        ("owner", np.int32),  # number of a VM; 0: nobody, or several share it
        ("reverse", np.int64),
        ("pins", np.int32),
        ("order", np.int8),  # of the block that begins here, + 1; 0: none does
        ("kind", np.int8),
    ],
    align=True,
)


class Frames(Struct):
    """A buddy allocator over one physical address space."""

    frame: np.ndarray  # [frames]
    free: np.ndarray  # [MAX_ORDER + 1]: first free block by order, + 1
    counts: np.ndarray  # total, in use, watermarks, in use by kind: see mmu.memory.tables.frames

    FIELDS = {
        "frame": ArrayField(FRAME_RECORD),
        "free": ArrayField(np.int64),
        "counts": ArrayField(np.int64),
    }


class Memory(Struct):
    """What host frames hold: entries, where they hold page tables; else a tag.

    Tags are followed only where REGS.tracking says so (`mmu.hardware.contents`).
    """

    entry: np.ndarray  # [(1 + tables) * 512]
    table: np.ndarray  # [host frames]: which table a frame holds; 0: none
    spare: np.ndarray  # [tables + 2]: count in use, count of spares, spares
    contents: np.ndarray  # [host frames]: tag of what a frame holds
    written: np.ndarray  # [host frames]: 1: stored to since its tag was last looked at
    #: [host frames]: the VM that a frame is assigned to, which hardware compares; 0: none
    owner: np.ndarray

    FIELDS = {
        "entry": ArrayField(np.int64),
        "table": ArrayField(np.int32),
        "spare": ArrayField(np.int64),
        "contents": ArrayField(np.int64),
        "written": ArrayField(np.uint8),
        "owner": ArrayField(np.int32),
    }


#: Scalars of a disk, in blocks of 4 KiB.
DISK_RECORD = np.dtype(
    [
        ("used", np.int64),
        ("hand", np.int64),  # where the search for a free block goes on
        ("reads", np.int64),
        ("writes", np.int64),
        ("sequential", np.int64),  # reads and writes of the block after the last one
        ("last", np.int64),  # last block read or written
        # What the host's storage has accounted for, of the three:
        ("timed_reads", np.int64),
        ("timed_writes", np.int64),
        ("timed_sequential", np.int64),
    ]
)


class Disk(Struct):
    """A disk by blocks of a page: the host's swap device, or a guest's own disk."""

    record: np.ndarray  # [1]
    contents: np.ndarray  # [blocks]: tag of what a block holds
    references: np.ndarray  # [blocks]: 0: free

    FIELDS = {
        "record": ArrayField(DISK_RECORD),
        "contents": ArrayField(np.int64),
        "references": ArrayField(np.int32),
    }


#: A sharer of a host frame: a guest frame of a VM. A link is a node; 0: none.
SHARER = np.dtype(
    [
        ("vm", np.int32),  # the VM's number; 0: a free node
        ("gfn", np.int32),
        ("next", np.int32),  # of the chain, or of the free list
        ("previous", np.int32),
    ]
)
#: Scalars of the pool of sharers.
SHARERS_RECORD = np.dtype(
    [
        ("free", np.int64),  # first node of the free list; 0: none
        ("used", np.int64),  # nodes that are or were in a chain: 1 .. used
        ("refused", np.int64),  # times that a page was not shared for want of a node
    ]
)


class Sharers(Struct):
    """Chains of those that share a host frame, whatever shares it: see `mmu.memory.sharers`."""

    record: np.ndarray  # [1]
    node: np.ndarray  # [1 + sharers]: node 0 is not used

    FIELDS = {
        "record": ArrayField(SHARERS_RECORD),
        "node": ArrayField(SHARER),
    }


class Host(Struct):
    frames: Frames
    memory: Memory
    swap: Disk
    images: Disk  # saved memory of VMs: suspended to disk, snapshots
    remote: Disk  # pages that are still on the host that their VM has come from
    sharers: Sharers

    FIELDS = {
        "frames": Frames,
        "memory": Memory,
        "swap": Disk,
        "images": Disk,
        "remote": Disk,
        "sharers": Sharers,
    }
