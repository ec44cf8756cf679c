"""Watermarks: when an allocator is too short of frames for anything to begin."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.state import Frames
from mmulab.mmu.memory.status import OK, OUT_OF_HOST_FRAMES

UNLIMITED = 1 << 60


@kernel
def room_below_limit(machine):
    """Frames by which the VM's private memory may still grow; as many as can be without a limit."""
    record = machine.vm.record[0]
    if record.limit == 0:
        return UNLIMITED
    return record.limit - (record.held - record.merged)


@kernel
def frames_at_hand(machine, need):
    """OUT_OF_HOST_FRAMES where the host, or the VM below its limit, is too short of frames for
    anything to begin that may take them: it could not end. The VMM frees some, and it begins
    again."""
    host = machine.host.frames
    if host.counts[frames.MIN] == 0:
        return OK  # nothing could be freed
    need = max(need, host.counts[frames.MIN])
    machine.vm.record[0].need = need
    if frames.available(host) < need:
        return OUT_OF_HOST_FRAMES
    margin = min(need, machine.vm.record[0].limit >> 3)  # as of a small host, below
    return OK if room_below_limit(machine) >= margin else OUT_OF_HOST_FRAMES


def set_watermarks(allocator: Frames, spare: int) -> None:
    """Marks that leave room for what must not fail once it has begun."""
    counts = allocator.counts
    counts[frames.MIN] = min(spare, int(counts[frames.TOTAL]) // 8)
    counts[frames.LOW] = max(int(counts[frames.LOW]), 2 * int(counts[frames.MIN]))
    counts[frames.HIGH] = max(int(counts[frames.HIGH]), 3 * int(counts[frames.MIN]))
