"""Reading and writing the guest's page tables from software, wherever the host has put them.

Software means gfns by the frames of gPTEs. Where the tables hold machine frames, as a Xen PV
guest's do, an entry that is present is translated on its way in and out, as Linux does in
arch/x86/xen/mmu_pv.c, pte_pfn_to_mfn() and pte_mfn_to_pfn().
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import (
    BESIDE,
    FRAME,
    PAGE_SHIFT,
    PS,
    P,
    frame_of,
    index_of,
    level_shift,
)
from mmulab.mmu.memory.p2m import gfn_of, hfn_of
from mmulab.mmu.memory.state import GPT_PAGE
from mmulab.mmu.memory.tables import load, store


@inlined
def is_table(machine, gfn):
    """True where the guest has a page table in the frame."""
    return machine.vm.frames.frame[gfn].kind == GPT_PAGE


@kernel
def entry_address(machine, gfn, index):
    """HPA of an entry of a gPT page."""
    return (hfn_of(machine, gfn) << 12) | (index << 3)


@kernel
def load_entry(machine, gfn, index):
    entry = load(machine.host.memory, entry_address(machine, gfn, index)) & ~BESIDE
    if entry & P and machine.vm.record[0].machine_frames:
        entry = entry & ~FRAME | gfn_of(machine, frame_of(entry)) << PAGE_SHIFT
    return entry


@kernel
def store_entry(machine, gfn, index, entry):
    """Writes a gPTE as it is, with no technique told: for A and D bits set by a VMM. Of tables
    that hold machine frames, what it maps must be backed."""
    if entry & P and machine.vm.record[0].machine_frames:
        entry = entry & ~FRAME | hfn_of(machine, frame_of(entry)) << PAGE_SHIFT
    store(machine.host.memory, entry_address(machine, gfn, index), entry)


@kernel
def lookup(machine, cr3, gva):
    """(entry, level, gfn of its table): the leaf of gva, or the entry that is not present."""
    level = machine.vm.record[0].levels
    table = cr3
    while True:
        entry = load_entry(machine, table, index_of(gva, level))
        if not entry & P or level == 1 or entry & PS:
            return entry, level, table
        table = frame_of(entry)
        level -= 1


@kernel
def next_leaf(machine, cr3, gva, end):
    """(gva, entry, level, table) of the first leaf in use that maps any of [gva, end): present,
    or paged out by the guest.

    Level 0 where there is none. Subtrees that are not present are stepped over.
    """
    while gva < end:
        entry, level, table = lookup(machine, cr3, gva)
        span = 1 << level_shift(level)
        if entry:
            return gva & ~(span - 1), entry, level, table
        gva = (gva & ~(span - 1)) + span
    return gva, 0, 0, 0
