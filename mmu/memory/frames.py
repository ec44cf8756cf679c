"""The frame allocator: a binary buddy system (Knuth, TAOCP vol. 1, 2.5).

One serves the host, one each guest. Blocks of 2**order frames, order 0 (4 KiB)
to 18 (1 GiB), start at a multiple of their size. The record of a block's first
frame carries its order, reference count, owner, kind and reverse map.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.state import FRAME_KINDS, FRAME_RECORD, FREE, MAX_ORDER, Frames
from mmulab.mmu.memory.status import NIL

# Indices into Frames.counts.
TOTAL, IN_USE, LOW, HIGH, MIN = 0, 1, 2, 3, 4
OF_KIND = 5  # and on: in use by kind, as FRAME_KINDS numbers them

# Linux's watermarks are a few thousandths of memory (mm/page_alloc.c,
# watermark_scale_factor 10 of 10,000 between two marks); low is where reclaim
# starts, high where it stops. Below min nothing is begun that may need frames, so
# that what has begun can end; it is 0 where nothing could be reclaimed.
WATERMARK_STEP = 0.001


def make_frames(total: int) -> Frames:
    """A buddy allocator over frames 0 .. total - 1, all free.

    Its memory is untouched zeros, so a large address space costs nothing until
    it is used.
    """
    if not 0 < total < 1 << 31:
        raise InputError(f"memory of {total} frames: expected 1 to {2**31 - 1} frames of 4 KiB")
    frames = Frames(
        frame=np.zeros(total, FRAME_RECORD),
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
    block = frames.frame[first]
    block.order = order + 1
    block.kind = kind
    block.owner = owner
    block.references = 1
    block.reverse = reverse + 1
    frames.counts[IN_USE] += 1 << order
    frames.counts[OF_KIND + kind] += 1 << order
    return first


@kernel
def release(frames, first):
    """Drops one reference to a block; frees it with the last. Returns what is left."""
    block = frames.frame[first]
    block.references -= 1
    if block.references > 0:
        return block.references
    order = block.order - 1
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
    return 0


@kernel
def split(frames, first, order):
    """Turns a block in use, of one reference, into blocks of 2**order frames."""
    block = frames.frame[first]
    count = 1 << (block.order - 1)
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
    count = 1 << (block.order - 1)
    frames.counts[OF_KIND + block.kind] -= count
    frames.counts[OF_KIND + kind] += count
    block.kind = kind
