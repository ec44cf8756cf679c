"""Runs: frames that lie one after another, more than one block of the allocator may hold."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import INDEX_BITS, pages_in
from mmulab.mmu.memory.status import NIL


@kernel
def page_size_at(position, count):
    """Largest page size of the pages that a run of `count` frames is taken in, at a position."""
    size = 2
    while position & (pages_in(size) - 1) or position + pages_in(size) > count:
        size -= 1
    return size


@kernel
def _take_at(allocator, first, count, kind, owner):
    """True where the run that begins at a frame was free, and is taken."""
    at = 0
    while at < count:
        size = page_size_at(at, count)
        if not frames.take(allocator, first + at, INDEX_BITS * size, kind, owner, first + at):
            break
        at += pages_in(size)
    if at == count:
        return True
    taken = at
    at = 0
    while at < taken:
        frames.release(allocator, first + at)
        at += pages_in(page_size_at(at, count))
    return False


@kernel
def take_run(allocator, count, kind, owner):
    """Takes the highest free run of `count` frames, in blocks of the sizes of `page_size_at`.

    It begins at a multiple of the largest of them. Returns its first frame; NIL, and nothing
    changes, where there is none. Reverse maps are left to the caller.
    """
    step = pages_in(page_size_at(0, count))
    first = (allocator.frame.size - count) & ~(step - 1)
    while first >= 0:
        if _take_at(allocator, first, count, kind, owner):
            return first
        first -= step
    return NIL


@kernel
def take_small_run(allocator, count, kind, owner):
    """`take_run` in blocks of one frame each, whose reverse maps are empty."""
    first = take_run(allocator, count, kind, owner)
    if first == NIL:
        return NIL
    at = 0
    while at < count:
        size = page_size_at(at, count)
        if size:
            frames.split(allocator, first + at, 0)
        at += pages_in(size)
    for frame in range(first, first + count):
        allocator.frame[frame].reverse = 0
    return first


@kernel
def give_back(allocator, kept, first, end):
    """Frees those of frames [first, end) that are set aside; returns how many. kept: by frame, 1
    where it is."""
    freed = 0
    for frame in range(first, end):
        if kept[frame]:
            kept[frame] = 0
            frames.release(allocator, frame)
            freed += 1
    return freed


@kernel
def take_kept(allocator, kept, first, size, kind, owner):
    """Takes the page of a size that begins at a frame of a run that was set aside: its frames are
    all kept for it, or all free again. Returns (whether it is, frames that are set aside no more).
    kept: as in `give_back`."""
    end, freed = first + pages_in(size), 0
    if kept[first:end].sum() == pages_in(size):
        freed = give_back(allocator, kept, first, end)
    return frames.take(allocator, first, INDEX_BITS * size, kind, owner, NIL), freed
