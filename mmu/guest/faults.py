"""The guest OS's page-fault handler: demand paging and copy-on-write."""

from __future__ import annotations

from mmulab.mmu.guest import paging, ranges, shootdown, vma, zeroed
from mmulab.mmu.guest.regions import note_fill
from mmulab.mmu.hardware.lines import note_pages
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.entries import (
    COW,
    FRAME,
    PAGE_SHIFT,
    RW,
    D,
    P,
    frame_of,
    index_of,
    level_shift,
    pages_in,
)
from mmulab.mmu.memory.guest_tables import lookup
from mmulab.mmu.memory.status import GUEST_PAGED_OUT, NIL, OK
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import FETCH, PROT_EXEC, PROT_READ, PROT_WRITE, STORE

# Memory that no event describes may be anything a program was started with.
UNDESCRIBED = PROT_READ | PROT_WRITE | PROT_EXEC


@kernel
def protection(machine, process, gva, kind):
    """Protection that the faulting page gets: its area's.

    Where the trace's own mappings forbid what the trace then does (the change was
    not in the trace), the access is granted for its page, and counted.
    """
    area = vma.find(machine.vm, process, gva)
    prot = UNDESCRIBED if area == NIL else machine.vm.vma[area].prot
    need = PROT_WRITE if kind == STORE else (PROT_EXEC if kind == FETCH else PROT_READ)
    if not prot & need:
        machine.vcpu.stats[0].granted += 1
        prot |= need | PROT_READ
    return prot, area


@kernel
def _break_cow(machine, process, gva, entry, level, table):
    """A store to a shared page: the writer gets a copy, or the page if it is the last."""
    vm = machine.vm
    machine.vcpu.stats[0].cow_breaks += 1
    gfn = frame_of(entry)
    if vm.frames.frame[gfn].references > 1:
        status, copy = paging.copy_page(machine, gfn, level - 1)
        if status != OK:
            return status
        note_pages(machine.core, machine.vcpu, gva, level - 1)
        paging.free_page(machine, gfn)
        gfn = copy
    flags = entry & ~(COW | FRAME) | RW | D
    changed = (gfn << PAGE_SHIFT) | flags
    status = paging.set_entry(machine, table, index_of(gva, level), changed)
    return status if status != OK else shootdown.flush_page(machine, process, gva)


@kernel
def _demand_fill(machine, process, gva, prot, area):
    """First touch: a zeroed page."""
    machine.vcpu.stats[0].demand_fills += 1
    size = paging.page_size_for(machine, process, gva, area)
    status, gfn, size = paging.new_page(machine, size, process, gva)
    if status != OK:
        return status
    machine.vcpu.stats[0].faults[size] += 1
    if not zeroed.take(machine, pages_in(size)):
        machine.vcpu.stats[0].pages_zeroed += pages_in(size)
        note_pages(machine.core, machine.vcpu, gva, size)
    start = gva & ~((pages_in(size) << PAGE_SHIFT) - 1)
    entry = (gfn << PAGE_SHIFT) | paging.leaf_flags(gva, prot)
    status = paging.map_leaf(machine, machine.vm.process[process].cr3, start, size, entry)
    if status == OK and size == 0:
        note_fill(machine, process, gva, area)
    return status


@kernel
def page_fault(machine, process, gva, kind):
    """Mends a #PF of a process. Returns a status; GUEST_PAGED_OUT leaves it to `swap`."""
    status = paging.guest_frames_at_hand(machine, 0)
    if status != OK:
        return status
    status = seam.kernel_enter(machine)
    if status == OK:
        status = _mend(machine, process, gva, kind)
    left = seam.kernel_leave(machine)
    return status if status != OK else left


@kernel
def _mend(machine, process, gva, kind):
    machine.vcpu.stats[0].guest_faults += 1
    prot, area = protection(machine, process, gva, kind)
    entry, level, table = lookup(machine, machine.vm.process[process].cr3, gva)
    if not entry & P:
        if entry:
            return GUEST_PAGED_OUT
        return _demand_fill(machine, process, gva, prot, area)
    if kind == STORE and entry & COW:
        return _break_cow(machine, process, gva, entry, level, table)
    start = gva & ~((1 << level_shift(level)) - 1)
    return ranges.protect(machine, process, start, start + (1 << level_shift(level)), prot)
