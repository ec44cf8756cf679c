"""Processes of the guest OS: their life and their system calls, as a trace's events."""

from __future__ import annotations

from mmulab.mmu.guest import paging, placement, ranges, reservations, shootdown, vma
from mmulab.mmu.guest.fill import fill
from mmulab.mmu.hardware import instructions
from mmulab.mmu.hardware.lines import enter_space
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.entries import PAGE_SHIFT, P, level_shift
from mmulab.mmu.memory.guest_tables import load_entry
from mmulab.mmu.memory.status import (
    NIL,
    NO_SUCH_PROCESS,
    OK,
    OTHER_VCPU,
    OUT_OF_PROCESSES,
    POSTS_DUE,
)
from mmulab.mmu.memory.vm import EVERYWHERE
from mmulab.mmu.memory.watermarks import frames_at_hand
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import (
    BRK,
    CONTENT,
    EXEC,
    EXIT,
    FORK,
    MMAP,
    MPROTECT,
    MUNMAP,
    PROT_READ,
    PROT_WRITE,
    SWITCH,
)

# Kinds of event that no trace has.
BOOT = -1  # starts a machine
FLUSH = -2  # drops every cached translation, as if the core had just been switched on

PAGE_MASK = (1 << PAGE_SHIFT) - 1
MOST_POSTS = 128  # of one event: a page each up to `ranges.FLUSH_CEILING`, and split edges
SPARE_TABLES = 32  # what is made besides copies: a root, and the tables of a VMM


@kernel
def find(vm, pid):
    """Index of a live process, or NIL."""
    for process in range(vm.record[0].processes_used):
        if vm.process[process].alive and vm.process[process].pid == pid:
            return process
    return NIL


@kernel
def create(machine, pid):
    """A process with an empty address space: (status, index).

    Its ASID is its index + 1, so that no live processes share one.
    """
    vm = machine.vm
    record = vm.record[0]
    process = 0
    while process < record.processes_used and vm.process[process].alive:
        process += 1
    if process == vm.process.size:
        return OUT_OF_PROCESSES, NIL
    status, cr3 = paging.new_table(machine, record.levels, 0, NIL)
    if status != OK:
        return status, NIL
    fresh = vm.process[process]
    fresh.pid = pid
    fresh.alive = 1
    fresh.cr3 = cr3
    fresh.asid = process + 1 if record.pcid else 0
    fresh.stale = EVERYWHERE  # a process before it may have had the ASID
    fresh.ran_on = 0
    fresh.vma = 0
    fresh.brk_base = 0
    fresh.brk = 0
    fresh.scan = 0
    fresh.huge_pages = 0
    fresh.idle_pages = 0
    fresh.resident = 0
    if process == record.processes_used:
        record.processes_used += 1
    status = seam.new_root(machine, process, cr3)
    if status == OK and record.kernel_half:
        status = _copy_kernel_half(machine, process)
    return status, process


@kernel
def _copy_kernel_half(machine, process):
    vm = machine.vm
    for other in range(vm.record[0].processes_used):
        if other != process and vm.process[other].alive:
            for index in range(256, 512):
                entry = load_entry(machine, vm.process[other].cr3, index)
                if entry & P:
                    status = paging.set_entry(machine, vm.process[process].cr3, index, entry)
                    if status != OK:
                        return status
            return OK
    return OK


@kernel
def switch(machine, process):
    """Runs a process. Its PCID's translations are kept unless they are stale."""
    target = machine.vm.process[process]
    number = machine.vcpu.regs[0].number
    here = 1 << number
    keep = machine.vm.record[0].pcid and not target.stale & here
    machine.vm.record[0].current = process
    machine.vm.cpu[number].process = process
    target.stale &= ~here
    target.ran_on |= here
    enter_space(machine.vcpu, machine.vm.record[0].id, target.pid)
    return seam.load_cr3(machine, process, keep != 0)


@kernel
def _empty(machine, process):
    """Removes all user memory of a process."""
    vma.clear(machine.vm, process)
    end = 1 << (level_shift(machine.vm.record[0].levels + 1) - 1)
    reservations.release(machine, process, 0, end)
    status = seam.mapping_removed(machine, process, 0, end)
    return status if status != OK else ranges.unmap(machine, process, 0, end)


@kernel
def _fork(machine, parent, pid):
    if find(machine.vm, pid) != NIL:
        return OK  # the child is known already
    status, child = create(machine, pid)
    if status == OK:
        machine.vm.process[child].brk_base = machine.vm.process[parent].brk_base
        machine.vm.process[child].brk = machine.vm.process[parent].brk
        status = vma.copy(machine.vm, parent, child)
        end = 1 << (level_shift(machine.vm.record[0].levels + 1) - 1)
        if status == OK:
            status = seam.mapping_made(machine, child, 0, end)
        if status == OK:
            status = ranges.share(machine, parent, child)
    return status if status != OK else seam.pin(machine, child, machine.vm.process[child].cr3)


@kernel
def _exit(machine, process):
    """Ends a process. The one that runs goes on in another's address space, if there is one."""
    vm = machine.vm
    if vm.record[0].current == process:
        status = OK
        for other in range(vm.record[0].processes_used):
            if other != process and vm.process[other].alive:
                status = switch(machine, other)
                break
        if status != OK:
            return status
    status = _empty(machine, process)
    if vm.record[0].current != process and status == OK:
        if vm.cpu.size > 1:
            shootdown.leave(machine, process)
            placement.leave(vm, vm.process[process].pid)
        vm.process[process].alive = 0
        paging.free_table(machine, vm.process[process].cr3)
    return status


@kernel
def _brk(machine, process, end):
    """Moves the end of the heap; the first call of a process only says where it is."""
    vm = machine.vm
    this = vm.process[process]
    end = (end + PAGE_MASK) & ~PAGE_MASK
    old = this.brk
    if old == 0 or end < this.brk_base:
        this.brk_base = end
        this.brk = end
        return OK
    this.brk = end
    if end > old:
        return _add(machine, process, old, end, PROT_READ | PROT_WRITE, 0)
    return _munmap(machine, process, end, old)


@kernel
def _add(machine, process, start, end, prot, size):
    status = vma.add(machine.vm, process, start, end, prot, size)
    return status if status != OK else seam.mapping_made(machine, process, start, end)


@kernel
def _munmap(machine, process, start, end):
    status = vma.remove(machine.vm, process, start, end)
    if status == OK:
        reservations.release(machine, process, start, end)
        status = seam.mapping_removed(machine, process, start, end)
    return status if status != OK else ranges.unmap(machine, process, start, end)


@kernel
def _mmap(machine, process, start, end, value):
    status = _munmap(machine, process, start, end)
    if status != OK:
        return status
    return _add(machine, process, start, end, value & 7, (value >> 8) & 3)


@kernel
def _boot(machine, pid):
    """Starts the technique and the first process."""
    status = seam.start(machine)
    if machine.vm.cpu.size > 1:
        placement.vcpu_of(machine.vm, pid, 0)
        machine.vm.cpu[0].idle = 0
    if status == OK:
        status, first = create(machine, pid)
        if status == OK:
            status = seam.pin(machine, first, machine.vm.process[first].cr3)
        if status == OK:
            status = switch(machine, first)
    return status


@kernel
def _make_room(machine, kind):
    """An event that has begun must be able to end: enough frames first, of the host and of
    the guest. A fork copies every table."""
    tables = machine.vm.record[0].tables + SPARE_TABLES if kind == FORK else 0
    shared = machine.vm.record[0].shared_tables  # each is copied when it is written to
    status = frames_at_hand(machine, 2 * tables + (shared + SPARE_TABLES if shared else 0))
    return status if status != OK else paging.guest_frames_at_hand(machine, tables)


@kernel
def _on_its_vcpu(machine, kind, pid, tid):
    """OK where an event can happen on this vCPU now: a thread runs on its own, and what others
    have been told leaves room for what this will tell them."""
    vm = machine.vm
    if vm.record[0].posts + MOST_POSTS > vm.post.size:
        return POSTS_DUE
    number = machine.vcpu.regs[0].number
    if kind == SWITCH:
        vcpu = placement.vcpu_of(vm, pid, tid)
        if vcpu != number:
            vm.record[0].next_vcpu = vcpu
            return OTHER_VCPU
        vm.cpu[number].idle = 0
    return OK


@kernel
def _is_stale(machine, process):
    """Whether flushes were left to a process's return to this vCPU."""
    return machine.vm.process[process].stale >> machine.vcpu.regs[0].number & 1


@kernel
def handle(machine, kind, pid, start, length, value):
    """Carries out one event of a trace. Returns a status.

    SWITCH to a pid that is not known creates it: a trace may begin in its middle. KERNEL is
    no more than the entry and the way back. OTHER_VCPU, POSTS_DUE: it is to be handled again.
    """
    if kind == BOOT:
        return _boot(machine, pid)
    status = OK
    if machine.vm.cpu.size > 1:
        status = _on_its_vcpu(machine, kind, pid, value)
    if status == OK:
        status = _make_room(machine, kind)
    if status != OK:
        return status
    if kind == FLUSH:
        return instructions.flush_all(machine)
    process = find(machine.vm, pid)
    if kind == CONTENT:
        if process == NIL:
            return NO_SUCH_PROCESS
        tracked = machine.vm.record[0].tracked
        return fill(machine, process, start, length, value) if tracked else OK
    status = seam.kernel_enter(machine)
    if status == OK:
        status = _system_call(machine, kind, process, pid, start, length, value)
    left = seam.kernel_leave(machine)
    return status if status != OK else left


@kernel
def _system_call(machine, kind, process, pid, address, length, value):
    vm = machine.vm
    start = address & ~PAGE_MASK
    end = (address + length + PAGE_MASK) & ~PAGE_MASK
    status = OK
    if kind == SWITCH:
        if process == NIL:
            status, process = create(machine, pid)
        if status == OK and (process != vm.record[0].current or _is_stale(machine, process)):
            status = switch(machine, process)
    elif process == NIL:
        return NO_SUCH_PROCESS
    elif kind == MMAP:
        status = _mmap(machine, process, start, end, value)
    elif kind == MUNMAP:
        status = _munmap(machine, process, start, end)
    elif kind == MPROTECT:
        status = vma.protect(vm, process, start, end, value & 7)
        if status == OK:
            status = ranges.protect(machine, process, start, end, value & 7)
    elif kind == BRK:
        status = _brk(machine, process, address)
    elif kind == FORK:
        status = _fork(machine, process, value)
    elif kind == EXEC:
        status = _empty(machine, process)
        vm.process[process].brk_base = 0  # the new program's first BRK sets its own
        vm.process[process].brk = 0
    elif kind == EXIT:
        status = _exit(machine, process)
    return status
