"""Hardware nested paging (EPT/NPT): the guest owns its tables, the VMM a second set.

A TLB miss walks in two dimensions. The guest changes its tables, CR3 and TLB
without a VM exit; the VMM hears only of gpas that the nested table lacks.
"""

from __future__ import annotations

from mmu import frames, memory
from mmu.bits import (
    EPT_A,
    EPT_D,
    EPT_LARGE,
    EPT_RWX,
    EPT_WB,
    frame_of,
    index_of,
    pages_in,
)
from mmu.hardware import core as hardware
from mmu.jit import kernel
from mmu.state import (
    EXIT_EPT_VIOLATION,
    NIL,
    NPT_PAGE,
    OK,
    OUT_OF_HOST_FRAMES,
    OUT_OF_TABLES,
)
from mmu.techniques.model import Technique
from mmu.vmm import guest_tables
from mmu.vmm.backing import back, flush_vm, hfn_of, host_size_of, unback, vm_exit

TECHNIQUE = Technique(
    name="nested",
    summary="hardware nested paging (EPT/NPT), walked in two dimensions",
    virtual=True,
    host_pages=True,
    guest_pcid=True,
)


@kernel
def _new_table(machine):
    """An empty nPT page: (status, hfn)."""
    hfn = frames.allocate(machine.host.frames, 0, NPT_PAGE, machine.vm.record[0].id, NIL)
    if hfn == NIL:
        return OUT_OF_HOST_FRAMES, hfn
    if not memory.open_table(machine.host.memory, hfn):
        frames.release(machine.host.frames, hfn)
        return OUT_OF_TABLES, hfn
    return OK, hfn


@kernel
def start(machine):
    """Makes the nPT's top-level table and turns EPT on."""
    status, hfn = _new_table(machine)
    if status == OK:
        machine.core.regs[0].eptp = hfn
        machine.vm.record[0].npt_root = hfn
    return status


@kernel
def leaf_address(machine, gfn):
    """HPA of the EPT entry that ends the walk of a gfn, and its level."""
    level = machine.core.regs[0].ept_levels
    table = machine.vm.record[0].npt_root
    while True:
        hpa = (table << 12) | (index_of(gfn << 12, level) << 3)
        entry = memory.load(machine.host.memory, hpa)
        if not entry & EPT_RWX or level == 1 or entry & EPT_LARGE:
            return hpa, level
        table = frame_of(entry)
        level -= 1


@kernel
def _map(machine, gfn):
    """Maps the host page that backs gfn into the nPT. Returns a status."""
    size = host_size_of(machine, gfn)
    first = gfn & ~(pages_in(size) - 1)
    hpa, level = leaf_address(machine, first)
    while level > size + 1:
        status, hfn = _new_table(machine)
        if status != OK:
            return status
        memory.store(machine.host.memory, hpa, (hfn << 12) | EPT_RWX)
        hpa, level = leaf_address(machine, first)
    large = EPT_LARGE if level > 1 else 0
    entry = (hfn_of(machine, first) << 12) | EPT_RWX | EPT_WB | large
    memory.store(machine.host.memory, hpa, entry)
    return OK


@kernel
def _violation(machine, gfn):
    vm_exit(machine, EXIT_EPT_VIOLATION)
    status = back(machine, gfn)
    return status if status != OK else _map(machine, gfn)


@kernel
def touch(machine, gfn):
    """The guest kernel writes to a page: an EPT violation where it is not mapped yet."""
    if machine.vm.p2m[gfn] == 0:
        status = _violation(machine, gfn)
        if status != OK:
            return status
    if machine.core.regs[0].ept_ad:
        hpa, level = leaf_address(machine, gfn)
        entry = memory.load(machine.host.memory, hpa)
        memory.store(machine.host.memory, hpa, entry | EPT_A | EPT_D)
    return OK


@kernel
def fault(machine):
    """EPT violation: back the page and map it."""
    return _violation(machine, machine.core.regs[0].fault_gpa >> 12)


@kernel
def store(machine, table, index, entry):
    guest_tables.store_entry(machine, table, index, entry)
    return touch(machine, table)


@kernel
def load_cr3(machine, process, keep):
    """Without an exit: CR3 holds a gfn, the processor locates it through the EPT."""
    target = machine.vm.process[process]
    hardware.load_cr3(machine.core, target.cr3, target.asid, keep)


@kernel
def drop_backing(machine, gfn):
    """The VMM takes a host page away: its leaf goes, and every translation with it."""
    hpa, level = leaf_address(machine, gfn)
    memory.store(machine.host.memory, hpa, 0)
    flush_vm(machine)
    unback(machine, gfn)
