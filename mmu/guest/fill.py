"""What pages hold, as a trace tells: the CONTENT events."""

from __future__ import annotations

from mmulab.mmu.guest.faults import page_fault
from mmulab.mmu.hardware import contents, tlb
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import disk
from mmulab.mmu.memory.entries import COW, PAGE_BYTES, PAGE_SHIFT, P, frame_of, pages_in
from mmulab.mmu.memory.guest_tables import lookup
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.memory.watermarks import frames_at_hand
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import LOAD, STORE


@kernel
def _fill_page(machine, process, gva, tag):
    """One page of `fill`; it begins again where it could not be done."""
    vm = machine.vm
    status = frames_at_hand(machine, 0)
    if status != OK:
        return status
    cr3 = vm.process[process].cr3
    entry, _, _ = lookup(machine, cr3, gva)
    if not entry & P:
        status = page_fault(machine, process, gva, LOAD)
    elif entry & COW:
        status = page_fault(machine, process, gva, STORE)
    if status != OK:
        return status
    entry, level, _ = lookup(machine, cr3, gva)
    gfn = frame_of(entry) + ((gva >> PAGE_SHIFT) & (pages_in(level - 1) - 1))
    status = seam.touch(machine, gfn)
    if status != OK:
        return status
    contents.write(machine, gfn, max(tag, 0))
    if tag >= disk.FILE_TAGS and level == 1:
        _remember_file(vm, gfn, tag)
    return OK


@kernel
def _remember_file(vm, gfn, tag):
    """A page of a file was read from the guest's disk, and can be dropped while unchanged."""
    if vm.block[gfn]:
        disk.release(vm.disk, vm.block[gfn] - 1)
        vm.block[gfn] = 0
    block = disk.allocate(vm.disk)
    if block != NIL:
        vm.disk.contents[block] = tag
        disk.read(vm.disk, block)
        vm.block[gfn] = block + 1


@kernel
def fill(machine, process, start, length, tag):
    """The pages of [start, start + length) of a process now hold what a tag stands for.

    Returns a status. Where it stops, `VM.filled` says how far it has got, and it goes on from
    there when it is called again; GUEST_PAGED_OUT: that page must be brought in first.
    """
    record = machine.vm.record[0]
    gva = (start & ~(PAGE_BYTES - 1)) + record.filled
    status = OK
    while gva < start + length:
        status = _fill_page(machine, process, gva, tag)
        if status != OK:
            break
        gva += PAGE_BYTES
        record.filled += PAGE_BYTES
    if status == OK:
        record.filled = 0
    tlb.forget_predictions(machine.core)  # the next store to a page is its first again
    return status
