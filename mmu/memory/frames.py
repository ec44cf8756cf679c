"""The frame allocator: a binary buddy system (Knuth, TAOCP vol. 1, 2.5).

One serves the host, one each guest. Blocks of 2**order frames, order 0 (4 KiB)
to 18 (1 GiB), start at a multiple of their size. The record of a block's first
frame carries its order, references, pins, owner, kind and reverse map.

Two free buddies are always joined: an aligned range that is free lies in one block.
"""

from __future__ import annotations

import mmap

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.state import (
    FRAME_KINDS,
    FRAME_RECORD,
    FREE,
    MAX_ORDER,
    MERGED_PAGE,
    Frames,
)
from mmulab.mmu.memory.status import NIL

# Indices into Frames.counts.
TOTAL, IN_USE, LOW, HIGH, MIN = 0, 1, 2, 3, 4
OF_KIND = 5  # and on: in use by kind, as FRAME_KINDS numbers them

# Linux's watermarks are a few thousandths of memory (mm/page_alloc.c,
# watermark_scale_factor 10 of 10,000 between two marks); low is where reclaim
# starts, high where it stops. Below min nothing is begun that may need frames, so
# that what has begun can end; it is 0 where nothing could be reclaimed.
WATERMARK_STEP = 0.001


def _untouched(total: int) -> np.ndarray:
    """Zeroed records of frames. NumPy would ask for huge pages, each of which is zeroed where
    one record of it is written: those of free blocks lie far apart."""
    return np.frombuffer(mmap.mmap(-1, total * FRAME_RECORD.itemsize), FRAME_RECORD)


def make_frames(total: int) -> Frames:
    """A buddy allocator over frames 0 .. total - 1, all free.

    Its memory is untouched zeros, so a large address space costs nothing until
    it is used.
    """
    if not 0 < total < 1 << 31:
        raise InputError(f"memory of {total} frames: expected 1 to {2**31 - 1} frames of 4 KiB")
    frames = Frames(
        frame=_untouched(total),
        free=np.zeros(MAX_ORDER + 1, np.int64),
        counts=np.zeros(OF_KIND + len(FRAME_KINDS), np.int64),
    )
    step = int(total * WATERMARK_STEP)
    frames.counts[:OF_KIND] = total, 0, 2 * step, 3 * step, 0
    start = total
    blocks = []
    at = 0
    while at < start:
        order = MAX_ORDER
        while at % (1 << order) or at + (1 << order) > start:
            order -= 1
        blocks.append((at, order))
        at += 1 << order
    for first, order in reversed(blocks):  # so that low frames are handed out first
        head = int(frames.free[order])
        frames.frame[first]["order"] = order + 1
        frames.frame[first]["next"] = head
        if head:
            frames.frame[head - 1]["previous"] = first + 1
        frames.free[order] = first + 1
    return frames


@inlined
def available(frames):
    """Frames that are free."""
    return frames.counts[TOTAL] - frames.counts[IN_USE]


@kernel
def _push(frames, first, order):
    block = frames.frame[first]
    head = frames.free[order]
    block.order = order + 1
    block.kind = FREE
    block.references = 0
    block.previous = 0
    block.next = head
    if head:
        frames.frame[head - 1].previous = first + 1
    frames.free[order] = first + 1


@kernel
def _unlink(frames, first, order):
    block = frames.frame[first]
    if block.previous:
        frames.frame[block.previous - 1].next = block.next
    else:
        frames.free[order] = block.next
    if block.next:
        frames.frame[block.next - 1].previous = block.previous
    block.next = 0
    block.previous = 0
    block.order = 0


@kernel
def _grant(frames, first, order, kind, owner, reverse):
    """A block that is on no free list goes into use, with one reference."""
    block = frames.frame[first]
    block.order = order + 1
    block.kind = kind
    block.owner = owner
    block.references = 1
    block.reverse = reverse + 1
    frames.counts[IN_USE] += 1 << order
    frames.counts[OF_KIND + kind] += 1 << order


@kernel
def allocate(frames, order, kind, owner, reverse):
    """First frame of a block of 2**order frames, one reference; NIL where there is none."""
    have = order
    while have <= MAX_ORDER and frames.free[have] == 0:
        have += 1
    if have > MAX_ORDER:
        return NIL
    first = frames.free[have] - 1
    _unlink(frames, first, have)
    while have > order:
        have -= 1
        _push(frames, first + (1 << have), have)
    _grant(frames, first, order, kind, owner, reverse)
    return first


@kernel
def take(frames, first, order, kind, owner, reverse):
    """Allocates the block of 2**order frames that begins at a named frame, as `allocate` does
    any. False, and nothing changes, where a part of it is in use or there is no such block."""
    if order < 0 or order > MAX_ORDER or first < 0 or first & ((1 << order) - 1):
        return False
    if first + (1 << order) > frames.counts[TOTAL]:
        return False
    at = head_of(frames, first)
    have = int(frames.frame[at].order) - 1
    if frames.frame[at].kind != FREE or have < order:
        return False
    _unlink(frames, at, have)
    while have > order:
        have -= 1
        middle = at + (1 << have)
        if first < middle:
            _push(frames, middle, have)
        else:
            _push(frames, at, have)
            at = middle
    _grant(frames, first, order, kind, owner, reverse)
    return True


@kernel
def head_of(frames, frame):
    """First frame of the block that a frame lies in: frames within a block have order 0."""
    head = frame
    bit = 1
    while frames.frame[head].order == 0:
        head &= ~bit
        bit <<= 1
    return head


@kernel
def release(frames, first):
    """Drops one reference to a block; frees it with the last, unless it is pinned. Returns
    the references left."""
    block = frames.frame[first]
    block.references -= 1
    if block.references == 0 and block.pins == 0:
        _free(frames, first)
    return block.references


@kernel
def _free(frames, first):
    block = frames.frame[first]
    order = int(block.order) - 1  # in plain Python, 1 << int8 would be an int8
    frames.counts[IN_USE] -= 1 << order
    frames.counts[OF_KIND + block.kind] -= 1 << order
    block.order = 0
    block.kind = FREE
    block.reverse = 0
    total = frames.counts[TOTAL]
    while order < MAX_ORDER:
        buddy = first ^ (1 << order)
        if buddy + (1 << order) > total:
            break
        other = frames.frame[buddy]
        if other.kind != FREE or other.order != order + 1:
            break
        _unlink(frames, buddy, order)
        first = min(first, buddy)
        order += 1
    _push(frames, first, order)


# --- Pins -------------------------------------------------------------------------


@kernel
def pin(frames, frame):
    """A device may reach the block of a frame by its address from now on: the block is not
    paged out, merged, moved, given to a balloon or split, and not free before the last pin
    is gone (Linux, Documentation/core-api/pin_user_pages.rst).

    False, and nothing changes, where the block is free or shared: what is shared moves at
    the next store, so that who wants to pin it has to have it copied first.
    """
    block = frames.frame[head_of(frames, frame)]
    if block.kind == FREE or block.kind == MERGED_PAGE or block.references > 1:
        return False
    block.pins += 1
    return True


@kernel
def unpin(frames, frame):
    """Drops one pin of the block of a frame; frees a block that has no reference left with
    the last. Returns the pins left."""
    first = head_of(frames, frame)
    block = frames.frame[first]
    block.pins -= 1
    if block.pins == 0 and block.references == 0:
        _free(frames, first)
    return block.pins


@kernel
def is_pinned(frames, frame):
    """True where the block of a frame is pinned."""
    return frames.frame[head_of(frames, frame)].pins > 0


@kernel
def split(frames, first, order):
    """Turns a block in use, of one reference and no pin, into blocks of 2**order frames."""
    block = frames.frame[first]
    count = 1 << (int(block.order) - 1)
    for offset in range(0, count, 1 << order):
        piece = frames.frame[first + offset]
        piece.order = order + 1
        piece.kind = block.kind
        piece.owner = block.owner
        piece.references = 1


@kernel
def change_kind(frames, first, kind):
    """A block in use is used for something else from now on."""
    block = frames.frame[first]
    count = 1 << (int(block.order) - 1)
    frames.counts[OF_KIND + block.kind] -= count
    frames.counts[OF_KIND + kind] += count
    block.kind = kind
