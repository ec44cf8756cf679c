"""Frames that lines of hashed tables lie in: the host's, or the guest's, one piece a way."""

from __future__ import annotations

from mmulab.mmu.hardware import contents
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.hashed_lines import LINES_SHIFT
from mmulab.mmu.memory.p2m import hfn_of
from mmulab.mmu.memory.state import GPT_PAGE, NPT_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_GUEST_FRAMES, OUT_OF_HOST_FRAMES, OUT_OF_TABLES
from mmulab.mmu.techniques import seam
from mmulab.mmu.techniques.elastic_cuckoo.state import HOST


@inlined
def host_frame(machine, owner, frame):
    """hfn of a frame of an owner's tables."""
    return frame if owner == HOST else hfn_of(machine, frame)


@kernel
def free_frames(machine, owner, first, lines):
    """Gives back the frames of so many lines, of which some may have no contents yet."""
    count = lines >> LINES_SHIFT
    for frame in range(first, first + count):
        hfn = host_frame(machine, owner, frame)
        if hfn != NIL:
            memory.close_table(machine.host.memory, hfn)
        if owner == HOST:
            frames.release(machine.host.frames, frame)
        else:
            frames.release(machine.vm.frames, frame)
    if owner == HOST:
        machine.vm.record[0].host_tables -= count


@kernel
def _take(allocator, count, kind, vm):
    """First of so many frames, a power of two, one reference each; NIL where there are none."""
    order = 0
    while 1 << order < count:
        order += 1
    if frames.available(allocator) < allocator.counts[frames.MIN] + count:
        return NIL
    first = frames.allocate(allocator, order, kind, vm, NIL)
    if first != NIL:
        frames.split(allocator, first, 0)
    return first


@kernel
def _fill(machine, owner, frame):
    """Gives a frame empty lines. Returns a status."""
    if owner != HOST:
        status = seam.touch(machine, frame)
        if status != OK:
            return status
        contents.write(machine, frame, 0)
    hfn = host_frame(machine, owner, frame)
    return OK if memory.open_table(machine.host.memory, hfn) else OUT_OF_TABLES


@kernel
def new_frames(machine, owner, lines):
    """Empty lines: (status, first frame)."""
    vm = machine.vm.record[0].id
    count = lines >> LINES_SHIFT
    if owner == HOST:
        first = _take(machine.host.frames, count, NPT_PAGE, vm)
    else:
        first = _take(machine.vm.frames, count, GPT_PAGE, vm)
    if first == NIL:
        return OUT_OF_HOST_FRAMES if owner == HOST else OUT_OF_GUEST_FRAMES, NIL
    if owner == HOST:
        machine.vm.record[0].host_tables += count
    status = OK
    for frame in range(first, first + count):
        if status == OK:
            status = _fill(machine, owner, frame)
    if status != OK:
        free_frames(machine, owner, first, lines)
    return status, first
