"""HawkEye's recovery of bloat: pages of zeros are taken out of large pages while memory is short.

It begins above `high` per cent of memory in use and goes on down to `low` (bloat_recovery/remove.c
of its authors' code: below 15 % free, up to 30 %). A large page of `min_zeros` pages of zeros or
more is split, and those are unmapped, as there: the next touch is a first one. The paper maps them
to one page of zeros, copied on write. What pages hold must be known: it is where VMs share a host.
"""

from __future__ import annotations

from mmulab.mmu.guest import paging, shootdown
from mmulab.mmu.guest.regions import table_of
from mmulab.mmu.hardware import contents
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import ENTRIES, P, frame_of, level_shift
from mmulab.mmu.memory.guest_tables import load_entry, next_leaf
from mmulab.mmu.memory.status import OK
from mmulab.mmu.techniques import seam


@kernel
def is_short(machine):
    """True from when memory is short until enough is free."""
    vm = machine.vm
    huge = vm.huge[0]
    if not vm.record[0].tracked or huge.high == 0:
        return False
    used = 100 * (vm.frames.counts[frames.TOTAL] - frames.available(vm.frames))
    part = huge.low if huge.recovering else huge.high
    huge.recovering = int(used > part * vm.frames.counts[frames.TOTAL])
    return huge.recovering != 0


@kernel
def _zeros_in(machine, gfn):
    """(status, pages of zeros of a large page)."""
    zeros = 0
    for page in range(gfn, gfn + ENTRIES):
        status = seam.read(machine, page)
        if status != OK:
            return status, 0
        zeros += int(contents.look(machine, page) == 0)
    return OK, zeros


@kernel
def _take_out(machine, process, gva):
    """Splits a large page, and unmaps its pages of zeros. Returns a status."""
    vm = machine.vm
    cr3 = vm.process[process].cr3
    status = seam.batch_begin(machine)
    if status == OK:
        status = paging.split_leaf(machine, cr3, gva)
    if status != OK:
        return status
    table = table_of(machine, process, gva)
    for index in range(ENTRIES):
        gfn = frame_of(load_entry(machine, table, index))
        if contents.look(machine, gfn) == 0:
            status = paging.set_entry(machine, table, index, 0)
            if status != OK:
                return status
            paging.free_page(machine, gfn)
            machine.vcpu.stats[0].thp_recovered += 1
    if vm.used[table] == 0:
        status = paging.free_empty_tables(machine, cr3, gva)
    if status == OK:
        status = shootdown.flush_range(machine, process, gva, gva + (1 << level_shift(2)))
    return status if status != OK else seam.batch_end(machine)


@kernel
def recover(machine):
    """Goes through large pages until memory is no longer short. Returns a status."""
    vm = machine.vm
    end = 1 << (level_shift(vm.record[0].levels + 1) - 1)
    for process in range(vm.record[0].processes_used):
        gva = 0
        while vm.process[process].alive and is_short(machine):
            cr3 = vm.process[process].cr3
            gva, entry, level, _ = next_leaf(machine, cr3, gva, end)
            if level == 0:
                break
            if level == 2 and entry & P and vm.frames.frame[frame_of(entry)].references == 1:
                status, zeros = _zeros_in(machine, frame_of(entry))
                if status == OK and zeros >= vm.huge[0].min_zeros:
                    status = _take_out(machine, process, gva)
                if status != OK:
                    return status
            gva += 1 << level_shift(level)
    return OK
