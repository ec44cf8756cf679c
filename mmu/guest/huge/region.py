"""A region: 2 MiB of a process's addresses, aligned; what it holds, and its promotion.

A promotion is Linux's collapse (mm/khugepaged.c, collapse_huge_page()): what is paged out comes
back, the region's entry of level 2 is cleared and the TLB flushed, 512 pages are copied or zeroed
into a new block, old frames and the table of level 1 go back, and the new leaf is written, young,
dirty and with the rights of its mapping. Two departures: the table is freed, where Linux keeps it
for a split to come; and copies take no room in this core's caches, as those of a thread that runs
elsewhere do not.
"""

from __future__ import annotations

from mmulab.mmu.guest import paging, shootdown, swap
from mmulab.mmu.guest.regions import SPAN, table_of
from mmulab.mmu.hardware import contents
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import (
    ENTRIES,
    INDEX_BITS,
    PAGE_SHIFT,
    PS,
    RW,
    US,
    XD,
    A,
    D,
    P,
    frame_of,
    index_of,
)
from mmulab.mmu.memory.guest_tables import load_entry
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.memory.watermarks import frames_at_hand
from mmulab.mmu.techniques import seam

#: What promotion may take besides: pages that come back, and tables on the way to them.
_SPARE = 64


@kernel
def survey(machine, table, flags):
    """What a region's table holds: gPTEs that are empty, paged out, shared, young, and writable;
    and 1 where all have the rights of their mapping, whose leaves have `flags`."""
    none = swapped = shared = young = writable = 0
    alike = 1
    for index in range(ENTRIES):
        entry = load_entry(machine, table, index)
        if entry == 0:
            none += 1
        elif not entry & P:
            swapped += 1
        else:
            shared += int(machine.vm.frames.frame[frame_of(entry)].references > 1)
            young += int(entry & A != 0)
            writable += int(entry & RW != 0)
            if (entry ^ flags) & (US | XD) or entry & RW & ~flags:
                alike = 0
    return none, swapped, shared, young, writable, alike


@kernel
def _bring_in(machine, process, gva, table, prot):
    """What is paged out of a region comes back."""
    for index in range(ENTRIES):
        entry = load_entry(machine, table, index)
        if entry and not entry & P:
            status = swap.page_in(machine, process, gva + (index << PAGE_SHIFT), entry, prot)
            if status != OK:
                return status
    return OK


@kernel
def _fill(machine, table, block):
    """Copies a region's pages to a block, and zeroes the others. Returns a status."""
    for index in range(ENTRIES):
        entry = load_entry(machine, table, index)
        status = seam.touch(machine, block + index)
        if status == OK and entry:
            status = seam.read(machine, frame_of(entry))
        if status != OK:
            return status
    stats = machine.vcpu.stats[0]
    for index in range(ENTRIES):
        entry = load_entry(machine, table, index)
        tag = 0
        if entry:
            tag = contents.look(machine, frame_of(entry))
            stats.pages_copied += 1
        else:
            stats.pages_zeroed += 1
            stats.thp_filled += 1
        contents.write(machine, block + index, tag)
    return OK


@kernel
def _replace(machine, process, gva, table, leaf):
    """A leaf of level 2 in place of a table. Returns a status."""
    above = machine.vm.process[process].cr3
    level = machine.vm.record[0].levels
    while level > 2:
        above = frame_of(load_entry(machine, above, index_of(gva, level)))
        level -= 1
    status = paging.set_entry(machine, above, index_of(gva, 2), 0)
    if status == OK:
        status = shootdown.flush_range(machine, process, gva, gva + SPAN)
    for index in range(ENTRIES):
        entry = load_entry(machine, table, index)
        if status == OK and entry:
            status = paging.set_entry(machine, table, index, 0)
            paging.free_page(machine, frame_of(entry))
    if status != OK:
        return status
    paging.free_table(machine, table)
    return paging.set_entry(machine, above, index_of(gva, 2), leaf)


@kernel
def promote(machine, process, gva, area):
    """Makes one page of a region: (status, whether it is). False where no block is free."""
    vm = machine.vm
    stats = machine.vcpu.stats[0]
    table = table_of(machine, process, gva)
    prot = vm.vma[area].prot
    status = frames_at_hand(machine, 2 * ENTRIES)
    if status != OK:
        return status, False
    keep = vm.frames.counts[frames.MIN] + _SPARE
    if frames.available(vm.frames) < keep + 2 * ENTRIES:
        stats.thp_collapse_alloc_failed += 1
        return OK, False
    block = frames.allocate(vm.frames, INDEX_BITS, GUEST_PAGE, vm.record[0].id, NIL)
    if block == NIL:
        stats.thp_collapse_alloc_failed += 1
        return OK, False
    status = _bring_in(machine, process, gva, table, prot)
    if status == OK:
        status = _fill(machine, table, block)
    if status != OK:
        frames.release(vm.frames, block)
        return status, False
    leaf = block << PAGE_SHIFT | paging.leaf_flags(gva, prot) | D | PS
    status = seam.batch_begin(machine)
    if status == OK:
        status = _replace(machine, process, gva, table, leaf)
    if status == OK:
        status = seam.batch_end(machine)
    stats.thp_collapse_alloc += 1
    return status, True
