"""The guest's own paging: which pages leave, where they go, and how they come back.

Modelled on Linux: a clock over the A bits of the page tables, in batches of
SWAP_CLUSTER_MAX (mm/vmscan.c); a page that is back unchanged keeps its block, so that it
can leave again without a write (the swap cache); clearing an A bit flushes nothing by
itself (arch/x86/mm/pgtable.c, ptep_clear_flush_young). The scan goes by address, as
Linux's did before it had reverse maps. A gPTE that is paged out is

    63                                  12 11              0
    +-------------------------------------+-----------------+
    | block + 1                           | 0, P clear      |
    +-------------------------------------+-----------------+

Pages that processes share copy-on-write stay: an assumption, that saves a reverse map.
"""

from __future__ import annotations

from mmulab.mmu.guest import faults, paging, shootdown
from mmulab.mmu.guest import process as processes
from mmulab.mmu.hardware import contents
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry, inlined, kernel
from mmulab.mmu.memory import disk, frames
from mmulab.mmu.memory.entries import PAGE_SHIFT, A, P, frame_of, index_of, level_shift
from mmulab.mmu.memory.guest_tables import lookup, next_leaf
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_DISK, OUT_OF_GUEST_FRAMES
from mmulab.mmu.memory.watermarks import frames_at_hand
from mmulab.mmu.techniques import seam

BATCH = 32  # Linux include/linux/swap.h, SWAP_CLUSTER_MAX


@inlined
def entry_of(block):
    return (block + 1) << PAGE_SHIFT


@inlined
def block_of(entry):
    return (entry >> PAGE_SHIFT) - 1


@kernel
def _save(machine, gfn):
    """Writes a page to a block of its own: (status, block)."""
    vm = machine.vm
    status = seam.dma_read(machine, gfn)
    if status != OK:
        return status, NIL
    block = vm.block[gfn] - 1
    if block != NIL and (disk.is_file_block(vm.disk, block) or vm.disk.references[block] > 1):
        disk.release(vm.disk, block)
        block = NIL
        vm.block[gfn] = 0
    if block == NIL:
        block = disk.allocate(vm.disk)
        if block == NIL:
            return OUT_OF_DISK, NIL
        vm.block[gfn] = block + 1
    disk.write(vm.disk, block, vm.contents[gfn])
    machine.vcpu.stats[0].guest_swap_outs += 1
    return OK, block


@kernel
def _page_out(machine, process, gva, gfn, table):
    """Pages out one page of 4 KiB. Returns a status."""
    vm = machine.vm
    tag = contents.look(machine, gfn)
    block = vm.block[gfn] - 1
    if block != NIL and vm.disk.contents[block] == tag:
        machine.vcpu.stats[0].guest_drops += 1
    else:
        status, block = _save(machine, gfn)
        if status != OK:
            return status
    status = paging.set_entry(machine, table, index_of(gva, 1), entry_of(block))
    if status == OK:
        status = shootdown.flush_page(machine, process, gva)
    vm.block[gfn] = 0  # the gPTE has its reference now
    frames.release(vm.frames, gfn)
    return status


@kernel
def page_in(machine, process, gva, entry, prot):
    """Brings a page of 4 KiB back and maps it. Returns a status."""
    vm = machine.vm
    block = block_of(entry)
    gfn = frames.allocate(vm.frames, 0, GUEST_PAGE, vm.record[0].id, NIL)
    if gfn == NIL:
        return OUT_OF_GUEST_FRAMES
    status = seam.dma_write(machine, gfn)
    if status != OK:
        frames.release(vm.frames, gfn)
        return status
    contents.write(machine, gfn, disk.read(vm.disk, block))
    machine.vcpu.stats[0].guest_swap_ins += 1
    vm.block[gfn] = block + 1
    leaf = (gfn << PAGE_SHIFT) | paging.leaf_flags(gva, prot)
    return paging.map_leaf(machine, vm.process[process].cr3, gva, 0, leaf)


@kernel
def _scan_one(machine, process, gva, entry, level, table):
    """What the clock does at a leaf: (status, whether a page left, where it goes on)."""
    following = gva + (1 << level_shift(level))
    if not entry & P or machine.vm.frames.frame[frame_of(entry)].references > 1:
        return OK, False, following
    if entry & A:
        status = paging.set_entry(machine, table, index_of(gva, level), entry & ~A)
        return status, False, following
    if level > 1:  # a large page leaves in pieces
        status = paging.split_leaf(machine, machine.vm.process[process].cr3, gva)
        if status == OK:
            status = shootdown.flush_page(machine, process, gva)
        return status, False, gva
    return _page_out(machine, process, gva, frame_of(entry), table), True, following


@kernel
def _scan_process(machine, process, want):
    """The clock over one process, from the hand on: (status, pages that left)."""
    record = machine.vm.record[0]
    end = 1 << (level_shift(record.levels + 1) - 1)
    cr3 = machine.vm.process[process].cr3
    gva = record.hand_gva
    freed = 0
    status = OK
    shootdown.begin(machine)
    while freed < want and status == OK:
        gva, entry, level, table = next_leaf(machine, cr3, gva, end)
        if level == 0:
            gva = 0
            break
        status, left, gva = _scan_one(machine, process, gva, entry, level, table)
        freed += int(left)
    record.hand_gva = gva
    if status == OK:
        # Cleared A bits count only once the TLB has forgotten them.
        status = shootdown.flush_range(machine, process, 0, end)
    shootdown.end(machine)
    return status, freed


@kernel
def shrink(machine, want):
    """Pages out until `want` frames are free, or each page has been looked at three times:
    its A bit cleared, a large page cut, its pieces out. Returns OK, or why it could not."""
    vm = machine.vm
    record = vm.record[0]
    turns = 3 * record.processes_used + 3
    status = OK
    while turns and status == OK:
        short = want - frames.available(vm.frames)
        if short <= 0:
            return OK
        process = record.hand_process
        if process >= record.processes_used:
            process = 0
        if vm.process[process].alive:
            status, _ = _scan_process(machine, process, max(short, BATCH))
        if record.hand_gva == 0:
            process += 1
            turns -= 1
        record.hand_process = process
    if status == OK and frames.available(vm.frames) < want:
        return OUT_OF_GUEST_FRAMES
    return status


@entry
def make_room(machine: Machine):
    """Pages out up to the high watermark, or what the guest is about to need. Returns OK, or
    why it could not; whatever it is, it can be called again."""
    vm = machine.vm
    need = vm.record[0].guest_need
    status = shrink(machine, max(need, vm.frames.counts[frames.HIGH]))
    return OK if frames.available(vm.frames) >= need else status


@entry
def bring_in(machine: Machine, pid, gva, kind):
    """Mends the fault of a process on a page that the guest has paged out. Returns a status."""
    process = processes.find(machine.vm, pid)
    status = frames_at_hand(machine, 0)
    if status == OK:
        status = paging.guest_frames_at_hand(machine, 0)
    if status != OK:
        return status
    entry, _, _ = lookup(machine, machine.vm.process[process].cr3, gva)
    if entry == 0 or entry & P:
        return OK
    prot, _ = faults.protection(machine, process, gva, kind)
    return page_in(machine, process, gva, entry, prot)
