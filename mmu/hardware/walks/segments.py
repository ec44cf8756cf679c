"""Segments: a range of frames that is translated by an addition, without a table.

Registers hold where it begins and ends, and what is added (`REGS.segment_*`), one set for linear
addresses, one for guest-physical ones. Nothing is looked up and nothing cached: no reference.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined

LINEAR, PHYSICAL = 0, 1  # of the registers


@inlined
def is_inside(vcpu, which, frame):
    regs = vcpu.regs[0]
    return regs.segment_start[which] <= frame and frame < regs.segment_end[which]


@inlined
def moved(vcpu, which, frame):
    """Where a frame inside a segment lies."""
    return frame + vcpu.regs[0].segment_offset[which]


@inlined
def set_segment(vcpu, which, start, end, offset):
    """Loads the registers; frames [start, end). Where end is not above start there is none."""
    regs = vcpu.regs[0]
    regs.segment_start[which] = start
    regs.segment_end[which] = end
    regs.segment_offset[which] = offset
