"""On which vCPU a thread runs: the guest's scheduler, as far as it has one.

A thread goes where the fewest are placed when it first runs, ties by number, and stays there: Linux
places so at fork and exec (kernel/sched/fair.c, sched_balance_find_dst_cpu()); that it never moves
one is an assumption. A thread is known by the pid and tid of a trace's SWITCH events; where those
tell no tid, a process is one thread. The thread that a trace begins in is the first of its process
that it names.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.cpus import MAX_THREADS
from mmulab.mmu.memory.status import NIL


@kernel
def _slot_of(vm, pid, tid):
    """The slot of a thread, or NIL."""
    for slot in range(vm.record[0].threads):
        thread = vm.thread[slot]
        if thread.pid == pid and (thread.tid == tid or tid == 0):
            return slot
        if thread.pid == pid and thread.tid == 0:
            thread.tid = tid
            return slot
    return NIL


@kernel
def _least_loaded(vm):
    chosen = 0
    for number in range(vm.cpu.size):
        if vm.cpu[number].threads < vm.cpu[chosen].threads:
            chosen = number
    return chosen


@kernel
def vcpu_of(vm, pid, tid):
    """Number of the vCPU that a thread runs on; a new one is placed."""
    slot = _slot_of(vm, pid, tid)
    if slot != NIL:
        return vm.thread[slot].vcpu
    record = vm.record[0]
    slot = 0
    while slot < record.threads and vm.thread[slot].pid:
        slot += 1
    if slot == MAX_THREADS:
        return (pid + tid) % vm.cpu.size
    record.threads = max(record.threads, slot + 1)
    thread = vm.thread[slot]
    thread.pid = pid
    thread.tid = tid
    thread.vcpu = _least_loaded(vm)
    vm.cpu[thread.vcpu].threads += 1
    return thread.vcpu


@kernel
def leave(vm, pid):
    """A process has ended: its threads are no more."""
    for slot in range(vm.record[0].threads):
        thread = vm.thread[slot]
        if thread.pid == pid:
            thread.pid = 0
            here = vm.cpu[thread.vcpu]
            here.threads -= 1
            if here.threads == 0:
                here.idle = 1
