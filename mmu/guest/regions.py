"""Which regions of a process a policy is for: 2 MiB, aligned, inside one mapping."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import ENTRIES, INDEX_BITS, PAGE_SHIFT, A, P
from mmulab.mmu.memory.guest_tables import load_entry, lookup
from mmulab.mmu.memory.huge import ASKED, EVERYWHERE, INGENS, WAITING
from mmulab.mmu.memory.status import NIL

SHIFT = PAGE_SHIFT + INDEX_BITS
SPAN = 1 << SHIFT


@inlined
def is_eligible(vm, area):
    """True where the policy is for a mapping: see `page size asked for` in `memory.vm.VMA`."""
    this = vm.vma[area]
    if this.prot == 0 or this.start < 0:
        return False
    enabled = vm.huge[0].enabled
    return (enabled == EVERYWHERE and this.size == 0) or (enabled >= ASKED and this.size == 2)


@inlined
def first_in(vm, area):
    """The first region of a mapping: its address."""
    return (vm.vma[area].start + SPAN - 1) & ~(SPAN - 1)


@inlined
def end_of(vm, area):
    """Where the last region of a mapping ends."""
    return vm.vma[area].end & ~(SPAN - 1)


@kernel
def next_region(vm, process, gva):
    """(region, its mapping) from gva on, of one that the policy is for; NIL where there is none."""
    area = vm.process[process].vma - 1 if vm.process[process].alive else NIL
    while area != NIL:
        at = max(gva, first_in(vm, area))
        if at < end_of(vm, area) and is_eligible(vm, area):
            return at, area
        area = vm.vma[area].next - 1
    return NIL, NIL


@kernel
def table_of(machine, process, gva):
    """The table of level 1 of a region; NIL where it has none, or is one page."""
    _, level, table = lookup(machine, machine.vm.process[process].cr3, gva)
    return table if level == 1 else NIL


@kernel
def used_of(machine, table):
    """Pages of a region's table that are there and have been used: A is set."""
    used = 0
    for index in range(ENTRIES):
        entry = load_entry(machine, table, index)
        used += int(entry & P != 0 and entry & A != 0)
    return used


@kernel
def note_fill(machine, process, gva, area):
    """A page of 4 KiB of a mapping had its first touch. Under Ingens, where its region is now
    used enough, that waits for promotion (mm/memory.c of its kernel, do_anonymous_page())."""
    vm = machine.vm
    huge = vm.huge[0]
    if huge.policy != INGENS or area == NIL or not is_eligible(vm, area):
        return
    start = gva & ~(SPAN - 1)
    if start < vm.vma[area].start or start + SPAN > vm.vma[area].end or huge.waiting == WAITING:
        return
    table = table_of(machine, process, gva)
    if table == NIL or vm.used[table] != huge.least:
        return
    this = vm.promotable[(huge.first + huge.waiting) % WAITING]
    this.process = process
    this.gva = start
    huge.waiting += 1
