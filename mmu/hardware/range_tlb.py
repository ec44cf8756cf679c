"""The range TLB beside the last TLB (Karakostas et al., ISCA 2015): ranges of pages, of any length,
each translated by an addition; fully associative, least recently used first.

An entry holds a range of the guest's and what the host's pages below it are moved by, tagged by
context. It is filled from the range table of the process that runs, which its software keeps in
memory and a register points to; here `VCPU.range` stands for that table.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import PAGE_SHIFT
from mmulab.mmu.memory.status import NIL

NODE = 128  # ranges of a node of the B-tree: 4 KiB, 32 bytes each


@inlined
def search(core, vcpu, gva):
    """The entry that holds an address, or NIL."""
    page = gva >> PAGE_SHIFT
    context = vcpu.regs[0].context
    for number in range(core.range_tlb.size):
        entry = core.range_tlb[number]
        if entry.stamp and entry.start <= page and page < entry.end and entry.context == context:
            return number
    return NIL


@inlined
def touch(core, number):
    core.record[0].range_clock += 1
    core.range_tlb[number].stamp = core.record[0].range_clock


@kernel
def in_table(vcpu, gva):
    """The range of the process's table that holds an address, or NIL."""
    page = gva >> PAGE_SHIFT
    low, high = 0, vcpu.regs[0].ranges
    while low < high:
        middle = (low + high) >> 1
        if vcpu.range[middle].end <= page:
            low = middle + 1
        else:
            high = middle
    if low < vcpu.regs[0].ranges and vcpu.range[low].start <= page:
        return low
    return NIL


@kernel
def depth(ranges):
    """Nodes from the root of a B-tree of full nodes to a leaf."""
    levels, holds = 0, 0
    while holds < ranges:
        holds = holds * (NODE + 1) + NODE
        levels += 1
    return levels


@kernel
def fill(core, vcpu, number, below):
    """Takes range `number` of the process's table into the place of the least recently used."""
    oldest = 0
    for other in range(core.range_tlb.size):
        if core.range_tlb[other].stamp < core.range_tlb[oldest].stamp:
            oldest = other
    entry, found = core.range_tlb[oldest], vcpu.range[number]
    entry.context = vcpu.regs[0].context
    entry.start, entry.end, entry.offset = found.start, found.end, found.offset
    entry.below = below
    touch(core, oldest)


@kernel
def drop_page(core, vcpu, gva):
    """Drops the range that holds an address."""
    if core.record[0].range_clock:
        number = search(core, vcpu, gva)
        if number != NIL:
            core.range_tlb[number].stamp = 0


@kernel
def drop_context(core, vcpu):
    """Drops all ranges of the current context."""
    if core.record[0].range_clock:
        for number in range(core.range_tlb.size):
            if core.range_tlb[number].context == vcpu.regs[0].context:
                core.range_tlb[number].stamp = 0


@kernel
def drop_all(core):
    """Drops all ranges: of a VPID, too, since entries do not say whose they are."""
    if core.record[0].range_clock:
        for number in range(core.range_tlb.size):
            core.range_tlb[number].stamp = 0
