"""What the guest kernel does to ranges of pages: unmap, protect, share."""

from __future__ import annotations

from mmulab.mmu.guest import shootdown
from mmulab.mmu.guest.paging import (
    free_empty_tables,
    free_page,
    leaf_flags,
    map_leaf,
    set_entry,
    split_leaf,
)
from mmulab.mmu.guest.shootdown import flush_page, flush_range
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import disk
from mmulab.mmu.memory.entries import (
    COW,
    PAGE_SHIFT,
    PS,
    RW,
    US,
    D,
    P,
    frame_of,
    index_of,
    level_shift,
)
from mmulab.mmu.memory.guest_tables import lookup, next_leaf
from mmulab.mmu.memory.status import OK
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import PROT_WRITE

# Linux flushes the whole TLB rather than page by page above this many pages
# (arch/x86/mm/tlb.c, tlb_single_page_flush_ceiling).
FLUSH_CEILING = 33


@kernel
def is_many(machine, process, start, end):
    """True where a change of every page in the range is worth one flush of everything."""
    cr3 = machine.vm.process[process].cr3
    gva = start
    for _ in range(FLUSH_CEILING + 1):
        gva, _entry, level, _table = next_leaf(machine, cr3, gva, end)
        if level == 0:
            return False
        gva += 1 << level_shift(level)
    return start >= 0


@kernel
def split_edges(machine, process, start, end):
    """Splits large leaves that cross start or end, so that the range is whole leaves."""
    cr3 = machine.vm.process[process].cr3
    for edge in (start, end):
        while True:
            entry, level, _ = lookup(machine, cr3, edge)
            if not entry & P or edge & ((1 << level_shift(level)) - 1) == 0:
                break
            status = split_leaf(machine, cr3, edge)
            if status == OK:
                status = flush_page(machine, process, edge)
            if status != OK:
                return status
    return OK


@kernel
def unmap(machine, process, start, end):
    """Removes every page of [start, end), frees frames and empty tables, flushes."""
    shootdown.begin(machine)
    status = seam.batch_begin(machine)
    if status == OK:
        status = _unmap(machine, process, start, end)
    shootdown.end(machine)
    return status if status != OK else seam.batch_end(machine)


@kernel
def _unmap(machine, process, start, end):
    vm = machine.vm
    cr3 = vm.process[process].cr3
    status = split_edges(machine, process, start, end)
    if status != OK:
        return status
    many = is_many(machine, process, start, end)
    gva = start
    while True:
        gva, entry, level, table = next_leaf(machine, cr3, gva, end)
        if level == 0:
            return flush_range(machine, process, start, end) if many else OK
        status = set_entry(machine, table, index_of(gva, level), 0)
        if status == OK and vm.used[table] == 0:
            status = free_empty_tables(machine, cr3, gva)
        if status == OK and not many:
            status = flush_page(machine, process, gva)
        if status != OK:
            return status
        if entry & P:
            free_page(machine, frame_of(entry))
        else:
            disk.release(vm.disk, (entry >> PAGE_SHIFT) - 1)
        gva += 1 << level_shift(level)


@kernel
def protect(machine, process, start, end, prot):
    """Gives every page of [start, end) a protection, and flushes.

    A page that is shared copy-on-write stays read-only until it is written.
    """
    shootdown.begin(machine)
    status = seam.batch_begin(machine)
    if status == OK:
        status = _protect(machine, process, start, end, prot)
    shootdown.end(machine)
    return status if status != OK else seam.batch_end(machine)


@kernel
def _protect(machine, process, start, end, prot):
    cr3 = machine.vm.process[process].cr3
    status = split_edges(machine, process, start, end)
    if status != OK:
        return status
    many = is_many(machine, process, start, end)
    gva = start
    while True:
        gva, entry, level, table = next_leaf(machine, cr3, gva, end)
        if level == 0:
            return flush_range(machine, process, start, end) if many else OK
        if not entry & P:  # paged out: it gets its protection when it comes back
            gva += 1 << level_shift(level)
            continue
        flags = leaf_flags(gva, prot) | entry & (D | PS | COW)
        if machine.vm.frames.frame[frame_of(entry)].references > 1:
            flags = (flags & ~RW) | COW
        elif prot & PROT_WRITE:
            flags &= ~COW
        if prot == 0:
            flags &= ~US
        changed = (frame_of(entry) << PAGE_SHIFT) | flags
        if changed != entry:
            status = set_entry(machine, table, index_of(gva, level), changed)
            if status == OK and not many:
                status = flush_page(machine, process, gva)
            if status != OK:
                return status
        gva += 1 << level_shift(level)


@kernel
def share(machine, parent, child):
    """fork: maps every page of the parent into the child, both copy-on-write."""
    shootdown.begin(machine)
    status = seam.batch_begin(machine)
    if status == OK:
        status = _share(machine, parent, child)
    shootdown.end(machine)
    return status if status != OK else seam.batch_end(machine)


@kernel
def _share(machine, parent, child):
    vm = machine.vm
    source = vm.process[parent].cr3
    gva = 0
    end = 1 << (level_shift(vm.record[0].levels + 1) - 1)
    while True:
        gva, entry, level, table = next_leaf(machine, source, gva, end)
        if level == 0:
            return flush_range(machine, parent, 0, end)
        if entry & RW:
            entry = (entry & ~RW) | COW
            status = set_entry(machine, table, index_of(gva, level), entry)
            if status != OK:
                return status
        if entry & P:
            vm.frames.frame[frame_of(entry)].references += 1
        else:
            vm.disk.references[(entry >> PAGE_SHIFT) - 1] += 1
        status = map_leaf(machine, vm.process[child].cr3, gva, level - 1, entry)
        if status != OK:
            return status
        gva += 1 << level_shift(level)
