"""Areas of a guest whose tables were dumped from a machine: where they lie side by side already.

Each run of last-level tables that map addresses one after another from frames one after another is
an area; the 16 longest have registers. With pvDMT the host frame is known of those that the dump
has in one piece there, too.
"""

from __future__ import annotations

from mmulab.mmu.hardware.state import MAX_TEAS
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.entries import INDEX_BITS, PAGE_SHIFT, level_shift
from mmulab.mmu.memory.guest_tables import next_leaf
from mmulab.mmu.memory.status import OK
from mmulab.mmu.techniques.dmt.areas import areas_changed, back
from mmulab.mmu.techniques.dmt.state import FALLBACKS, SLOTS, TEAS, state

_SHIFT = PAGE_SHIFT + INDEX_BITS  # log2 of the bytes that a last-level table maps


@kernel
def _run(machine, cr3, gva, end):
    """The next run of last-level tables: (address after it, first table, tables, gfn)."""
    gva, _, level, base = next_leaf(machine, cr3, gva, end)
    first = gva >> _SHIFT
    count = 0
    while level == 1 and gva >> _SHIFT == first + count:
        count += 1
        gva, _, level, table = next_leaf(machine, cr3, (first + count) << _SHIFT, end)
        if table != base + count:
            break
    return (first + count) << _SHIFT if count or level == 0 else gva + 1, first, count, base


@kernel
def _smallest(machine, slot):
    """Of the areas from a slot on, one that there is not, or the smallest."""
    found = slot
    for number in range(slot, slot + MAX_TEAS):
        if state(machine.vm.private).tea[number].count < state(machine.vm.private).tea[found].count:
            found = number
    return found


@kernel
def adopted(machine):
    """Makes areas of the tables of the process that runs."""
    private = state(machine.vm.private)
    process = machine.vm.record[0].current
    cr3 = machine.vm.process[process].cr3
    slot = process * SLOTS
    gva, end = 0, 1 << level_shift(machine.vm.record[0].levels + 1) - 1
    tables = 0
    while gva < end:
        gva, first, count, base = _run(machine, cr3, gva, end)
        tables += count
        tea = private.tea[_smallest(machine, slot)]
        if count > tea.count:
            tea.level = 1
            tea.start = first
            tea.count = count
            tea.base = base
        if count == 0:
            break
    for number in range(slot, slot + MAX_TEAS):
        tea = private.tea[number]
        if tea.level:
            for gfn in range(tea.base, tea.base + tea.count):
                machine.vm.frames.frame[gfn].references += 1
                private.of[gfn] = number + 1
            tea.used = tea.count
            tea.loaded = 1
            tea.host = back(machine, tea.base, tea.count)
            tables -= tea.count
            machine.vcpu.own[TEAS] += 1
    machine.vcpu.own[FALLBACKS] += tables
    areas_changed(machine, process)
    return OK
