"""Coalescing: whether one TLB entry can stand for an aligned group of pages.

A walk reads a line of table entries. Where all entries of an aligned group of pages map
neighbouring frames with the same flags, one TLB entry translates them all: hardware finds that out
by itself (CoLT: Pham, Vaidyanathan, Jaleel and Bhattacharjee, MICRO 2012, read in its abstract;
AMD's cores since Zen, for four pages), or the operating system says so (Arm's contiguous bit,
RISC-V's Svnapot). Here it is found by comparing. The same flags means the same D, and only entries
with A are taken: a group must not hide from software what an access would have set. CoLT takes any
run of pages within a group; here a group is whole. Arm, RISC-V and AMD want frames aligned as the
pages are; here, as in CoLT, they need not be.

A `Walk` that can tell has a kernel coalesces(core, vcpu, memory, gva) -> bool: whether the page of
the walk that has just ended, of 4 KiB, is of such a group. Others have `never`.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import ENTRIES, EPT_A, PAGE_SHIFT, A, frame_of


@inlined
def never(core, vcpu, memory, gva):
    return False


@inlined
def _is_run(memory, first, count, accessed):
    """Whether so many entries from a slot on map neighbouring frames alike."""
    entry = memory.entry[first]
    if entry & accessed != accessed:
        return False
    for number in range(1, count):
        if memory.entry[first + number] != entry + (number << PAGE_SHIFT):
            return False
    return True


@inlined
def in_one_dimension(core, vcpu, memory, gva):
    record = core.record[0]
    count = 1 << record.coalescing
    return _is_run(memory, record.guest_leaf & ~(count - 1), count, A)


@inlined
def in_two_dimensions(core, vcpu, memory, gva):
    """Of both: guest frames that are neighbours must be so in the host, and lie in one of its
    large pages, or tables."""
    record = core.record[0]
    count = 1 << record.coalescing
    first = record.guest_leaf & ~(count - 1)
    if not _is_run(memory, first, count, A):
        return False
    below = frame_of(memory.entry[first]) & (ENTRIES - 1)
    if below + count > ENTRIES:
        return False
    accessed = EPT_A if vcpu.regs[0].root_ad else 0
    slot = (record.nested_leaf & ~(ENTRIES - 1)) + below
    return record.nested_level > 1 or _is_run(memory, slot, count, accessed)
