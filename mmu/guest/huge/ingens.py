"""Ingens: first touches get 4 KiB, and a region becomes one page once 90 % of it is used.

Source: Kwon et al., Coordinated and Efficient Huge Page Management with Ingens, OSDI 2016, read in
its abstract; its kernel (github.com/ut-osa/ingens, Linux 4.3) in the original: at a first touch
that fills a region to the threshold, `threshold` * 512 // 100 pages, the region waits for
Promote-kth, which is khugepaged: it takes those that wait first (mm/memory.c,
do_anonymous_page(); mm/huge_memory.c, osa_khugepaged_schedule_mm_slot()) and looks for others then,
with the same threshold.

With `fair` it looks for others in the process of the highest metric, need / (huge pages * penalty)
(osa/hugepage_scan.c, osa_compute_fairness_metric(); need: what is resident, in regions). The
penalty for idle huge pages is the paper's, f + tau (1 - f) of a part f that is idle, as it is
remembered: that kernel counts idle pages and has tau, and does not use it. Scan-kth clears A bits
of huge pages every `sample_sleep_millisecs` to see which are idle; of other pages not, since
nothing here asks.
"""

from __future__ import annotations

from mmulab.mmu.guest import paging, shootdown
from mmulab.mmu.guest.huge import linux, threads
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.entries import A, P, index_of, level_shift
from mmulab.mmu.memory.guest_tables import next_leaf
from mmulab.mmu.memory.huge import SAMPLE, SCAN, WAITING
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.techniques import seam


@kernel
def _sample_process(machine, process, end):
    """Counts a process's pages, and which huge ones are idle; clears their A bits."""
    this = machine.vm.process[process]
    gva = huge = idle = small = 0
    while True:
        gva, entry, level, table = next_leaf(machine, this.cr3, gva, end)
        if level == 0:
            break
        machine.vcpu.stats[0].thp_scanned += 1
        if level == 1:
            small += int(entry & P != 0)
        else:
            huge += 1
            idle += int(entry & A == 0)
            if entry & A:
                status = paging.set_entry(machine, table, index_of(gva, level), entry & ~A)
                if status != OK:
                    return status
        gva += 1 << level_shift(level)
    this.huge_pages = huge
    this.idle_pages = idle
    this.resident = small // 512 + huge
    return shootdown.flush_range(machine, process, 0, end) if huge else OK


@kernel
def sample(machine):
    """Scan-kth's round. Returns a status."""
    vm = machine.vm
    end = 1 << (level_shift(vm.record[0].levels + 1) - 1)
    for process in range(vm.record[0].processes_used):
        if vm.process[process].alive:
            status = _sample_process(machine, process, end)
            if status != OK:
                return status
    return OK


@kernel
def metric(vm, process):
    """What a process's next huge page is worth beside others'."""
    this = vm.process[process]
    huge = max(1, this.huge_pages)
    idle = 100 * this.idle_pages // huge
    penalty = max(1, idle + vm.huge[0].tau * (100 - idle) // 100)
    return 1_000_000 * this.resident // (huge * penalty)


@kernel
def _choose(machine):
    """Sets where the scan goes on: at a region that waits, or in the process that is due."""
    vm = machine.vm
    huge = vm.huge[0]
    if huge.waiting:
        this = vm.promotable[huge.first]
        huge.first = (huge.first + 1) % WAITING
        huge.waiting -= 1
        huge.process = this.process
        huge.address = this.gva
    elif huge.fair:
        best = NIL
        for process in range(vm.record[0].processes_used):
            if vm.process[process].alive and metric(vm, process):
                if best == NIL or metric(vm, process) > metric(vm, best):
                    best = process
        if best != NIL:
            huge.process = best
            huge.address = vm.process[best].scan


@kernel
def scan(machine):
    """One batch, and others as long as regions wait: (status, ticks that the thread sleeps)."""
    vm = machine.vm
    huge = vm.huge[0]
    status = OK
    while huge.progress < huge.pages_to_scan or huge.waiting:
        if huge.progress >= huge.pages_to_scan:
            huge.progress = 0
            huge.heads = 0
        _choose(machine)
        if not linux.goes_round(machine):
            break
        process, address = huge.process, huge.address
        status, became = linux.scan_process(machine)
        if status != OK:
            _wait_again(vm, process, address)
            return status, 0
        vm.process[process].scan = huge.address if huge.process == process else 0
        if became == linux.NO_BLOCK:
            if huge.failed:
                break
            huge.failed = 1
            return OK, huge.alloc_sleep
    huge.progress = 0
    huge.heads = 0
    huge.failed = 0
    return OK, huge.period[SCAN]


@kernel
def _wait_again(vm, process, gva):
    """A region that could not be looked at for want of host frames is the next again."""
    huge = vm.huge[0]
    if huge.waiting < WAITING:
        huge.first = (huge.first + WAITING - 1) % WAITING
        huge.waiting += 1
        vm.promotable[huge.first].process = process
        vm.promotable[huge.first].gva = gva


@kernel
def wake(machine):
    """The guest's timer has rung. Returns a status; where it is not OK, it rings again."""
    status = threads.rouse(machine)
    if status == OK:
        status = seam.kernel_enter(machine)
    if status == OK and threads.is_awake(machine, SAMPLE):
        status = sample(machine)
        if status == OK:
            threads.rest(machine, SAMPLE, machine.vm.huge[0].period[SAMPLE])
    if status == OK and threads.is_awake(machine, SCAN):
        status, ticks = scan(machine)
        if status == OK:
            threads.rest(machine, SCAN, ticks)
    return threads.leave(machine, status)


#: Writes the guest's timer into `VM.ops`.
link = seam.SERVICE_SECTION.linker(__name__, {"guest_timer": wake})
