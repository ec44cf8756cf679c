"""The reverse map of shadow paging: from a gfn to the leaf sPTEs that map it.

A list for each gfn, of the leaves that begin there: those of a large page stand under its first
gfn only (Linux KVM: rmap, Documentation/virt/kvm/x86/mmu.rst). In the other direction, an sPT
frame's own `reverse` tells its shadow page.
"""

from __future__ import annotations

from mmulab.mmu.hardware import core as hardware
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import PAGE_SHIFT, RW, A, pages_in
from mmulab.mmu.memory.status import OK, OUT_OF_STATE


@kernel
def page_of(machine, hfn):
    """Shadow page that lies in a host frame."""
    return machine.host.frames.frame[hfn].reverse - 1


@kernel
def add(machine, gfn, spte):
    """A leaf sPTE, by its address, now maps what begins at gfn. Returns a status."""
    vm = machine.vm
    record = vm.record[0]
    node = record.free_reverse
    if node:
        record.free_reverse = vm.reverse[node].next
    else:
        node = record.reverses_used
        if node >= vm.reverse.size:
            return OUT_OF_STATE
        record.reverses_used += 1
    vm.reverse[node].spte = spte
    vm.reverse[node].next = vm.reverse_head[gfn]
    vm.reverse_head[gfn] = node
    return OK


@kernel
def _free(machine, node):
    record = machine.vm.record[0]
    machine.vm.reverse[node].next = record.free_reverse
    record.free_reverse = node


@kernel
def remove(machine, gfn, spte):
    """The leaf sPTE maps it no more."""
    vm = machine.vm
    node = vm.reverse_head[gfn]
    previous = 0
    while vm.reverse[node].spte != spte:
        previous = node
        node = vm.reverse[node].next
    if previous:
        vm.reverse[previous].next = vm.reverse[node].next
    else:
        vm.reverse_head[gfn] = vm.reverse[node].next
    _free(machine, node)


@kernel
def drop_mappings(machine, gfn):
    """Clears every leaf sPTE that begins at gfn. The caller flushes the TLB."""
    vm = machine.vm
    while vm.reverse_head[gfn]:
        node = vm.reverse_head[gfn]
        memory.store(machine.host.memory, vm.reverse[node].spte, 0)
        vm.reverse_head[gfn] = vm.reverse[node].next
        _free(machine, node)


@kernel
def clear_accessed(machine, gfn):
    """Clears the A bits of the leaf sPTEs that begin at gfn; True where one was set."""
    vm = machine.vm
    found = False
    node = vm.reverse_head[gfn]
    while node:
        spte = vm.reverse[node].spte
        entry = memory.load(machine.host.memory, spte)
        if entry & A:
            memory.store(machine.host.memory, spte, entry & ~A)
            found = True
        node = vm.reverse[node].next
    return found


@inlined
def _reaches(machine, node, size):
    """True where a leaf of a list maps pages of a size, or larger ones."""
    vm = machine.vm
    return vm.shadow[page_of(machine, vm.reverse[node].spte >> PAGE_SHIFT)].level > size


@kernel
def is_mapped(machine, gfn):
    """True where a leaf sPTE maps gfn, if only as part of a large page."""
    vm = machine.vm
    for size in range(3):
        node = vm.reverse_head[gfn & ~(pages_in(size) - 1)]
        while node:
            if _reaches(machine, node, size):
                return True
            node = vm.reverse[node].next
    return False


@kernel
def write_protect(machine, gfn):
    """A gfn has become a shadowed gPT page: nothing may map it writable."""
    vm = machine.vm
    found = False
    for size in range(3):
        node = vm.reverse_head[gfn & ~(pages_in(size) - 1)]
        while node:
            spte = vm.reverse[node].spte
            entry = memory.load(machine.host.memory, spte)
            if entry & RW and _reaches(machine, node, size):
                memory.store(machine.host.memory, spte, entry & ~RW)
                found = True
            node = vm.reverse[node].next
    if found:
        hardware.flush_asid(machine.core)
