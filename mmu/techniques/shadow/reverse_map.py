"""The reverse map of shadow paging: from a gfn to the leaf sPTEs that map it.

A list for each gfn, of the leaves that begin there: those of a large page stand under its first
gfn only (Linux KVM: rmap, Documentation/virt/kvm/x86/mmu.rst). In the other direction, an sPT
frame's own `reverse` tells its shadow page.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import PAGE_SHIFT, RW, A, pages_in
from mmulab.mmu.memory.status import OK, OUT_OF_STATE
from mmulab.mmu.techniques.shadow.state import state_of


@kernel
def page_of(machine, hfn):
    """Shadow page that lies in a host frame."""
    return machine.host.frames.frame[hfn].reverse - 1


@kernel
def add(machine, gfn, spte):
    """A leaf sPTE, by its address, now maps what begins at gfn. Returns a status."""
    state = state_of(machine)
    record = state.record[0]
    node = record.free_node
    if node:
        record.free_node = state.reverse[node].next
    else:
        node = record.nodes_used
        if node >= state.reverse.size:
            return OUT_OF_STATE
        record.nodes_used += 1
    state.reverse[node].spte = spte
    state.reverse[node].next = state.reverse_head[gfn]
    state.reverse_head[gfn] = node
    return OK


@kernel
def _free(machine, node):
    record = state_of(machine).record[0]
    state_of(machine).reverse[node].next = record.free_node
    record.free_node = node


@kernel
def remove(machine, gfn, spte):
    """The leaf sPTE maps it no more."""
    state = state_of(machine)
    node = state.reverse_head[gfn]
    previous = 0
    while state.reverse[node].spte != spte:
        previous = node
        node = state.reverse[node].next
    if previous:
        state.reverse[previous].next = state.reverse[node].next
    else:
        state.reverse_head[gfn] = state.reverse[node].next
    _free(machine, node)


@kernel
def drop_mappings(machine, gfn):
    """Clears every leaf sPTE that begins at gfn. The caller flushes the TLB."""
    state = state_of(machine)
    while state.reverse_head[gfn]:
        node = state.reverse_head[gfn]
        memory.store(machine.host.memory, state.reverse[node].spte, 0)
        state.reverse_head[gfn] = state.reverse[node].next
        _free(machine, node)


@kernel
def clear_accessed(machine, gfn):
    """Clears the A bits of the leaf sPTEs that begin at gfn; True where one was set."""
    state = state_of(machine)
    found = False
    node = state.reverse_head[gfn]
    while node:
        spte = state.reverse[node].spte
        entry = memory.load(machine.host.memory, spte)
        if entry & A:
            memory.store(machine.host.memory, spte, entry & ~A)
            found = True
        node = state.reverse[node].next
    return found


@inlined
def _reaches(machine, node, size):
    """True where a leaf of a list maps pages of a size, or larger ones."""
    state = state_of(machine)
    return state.page[page_of(machine, state.reverse[node].spte >> PAGE_SHIFT)].level > size


@kernel
def is_mapped(machine, gfn):
    """True where a leaf sPTE maps gfn, if only as part of a large page."""
    state = state_of(machine)
    for size in range(3):
        node = state.reverse_head[gfn & ~(pages_in(size) - 1)]
        while node:
            if _reaches(machine, node, size):
                return True
            node = state.reverse[node].next
    return False


@kernel
def write_protect(machine, gfn):
    """Nothing maps a gfn writable any more. True where something did: the caller flushes."""
    state = state_of(machine)
    found = False
    for size in range(3):
        node = state.reverse_head[gfn & ~(pages_in(size) - 1)]
        while node:
            spte = state.reverse[node].spte
            entry = memory.load(machine.host.memory, spte)
            if entry & RW and _reaches(machine, node, size):
                memory.store(machine.host.memory, spte, entry & ~RW)
                found = True
            node = state.reverse[node].next
    return found
