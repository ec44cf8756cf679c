"""HawkEye: regions are promoted by how many of their pages are used, the most first.

Source: Panwar, Bansal and Gopinath, HawkEye: Efficient Fine-grained OS Support for Huge Pages,
ASPLOS 2019, read in its abstract and in summaries; its kernel (github.com/apanwariisc/HawkEye) in
the original. In a sample A bits are cleared and looked at some time later (mm/ohp.c,
kbinmanager_do_scan()); a region's weight is a moving average of its pages in use, 0.6 of the last
sample (update_get_kaddr_index()), and from the fourth sample on it lies in a bucket by that
(ohp_adjust_mm_bins()). Ten buckets of 50 pages, the front of the list for a region that comes from
a lower one and the back for others, are the paper's; that kernel has a bucket a power of two.
khugepaged promotes from the highest bucket that any process has a region in, process after process
(HawkEye-G).

First touches get 2 MiB, from frames that hold zeros already as far as there are such (`zeroed`).
While memory is short, `recovery` gives pages of zeros back, and nothing is promoted.
"""

from __future__ import annotations

from mmulab.mmu.guest import paging, regions, shootdown, zeroed
from mmulab.mmu.guest.huge import linux, recovery, region, threads
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import ENTRIES, A, P, level_shift
from mmulab.mmu.memory.guest_tables import load_entry
from mmulab.mmu.memory.huge import SAMPLE, SCAN, ZERO
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.techniques import seam

BUCKETS = 10
_PAGES = 50  # of a bucket; the last has those up to 512


@kernel
def _clear_region(machine, table):
    """Clears the A bits of a region. Returns a status."""
    for index in range(ENTRIES):
        entry = load_entry(machine, table, index)
        if entry & P and entry & A:
            status = paging.set_entry(machine, table, index, entry & ~A)
            if status != OK:
                return status
    return OK


@kernel
def clear(machine):
    """A sample begins: pages that are used from now on can be told. Returns a status."""
    vm = machine.vm
    end = 1 << (level_shift(vm.record[0].levels + 1) - 1)
    for process in range(vm.record[0].processes_used):
        gva, _ = regions.next_region(vm, process, 0)
        any_table = False
        while gva != NIL:
            table = regions.table_of(machine, process, gva)
            if table != NIL:
                any_table = True
                status = _clear_region(machine, table)
                if status != OK:
                    return status
                machine.vcpu.stats[0].thp_scanned += ENTRIES
            gva, _ = regions.next_region(vm, process, gva + regions.SPAN)
        if any_table:  # cleared bits count only once the TLB has forgotten them
            status = shootdown.flush_range(machine, process, 0, end)
            if status != OK:
                return status
    return OK


@kernel
def _place(machine, table, used):
    """A region's weight, and its place, after a sample."""
    huge, this = machine.vm.huge[0], machine.vm.region[table]
    this.weight = (4 * this.weight + 6 * used) // 10
    if huge.samples < huge.warm_up:
        return
    bucket = 1 + min(this.weight // _PAGES, BUCKETS - 1)
    if bucket > this.bucket and this.bucket:
        huge.head -= 1
        this.place = huge.head
    elif bucket != this.bucket:
        huge.tail += 1
        this.place = huge.tail
    this.bucket = bucket


@kernel
def look(machine):
    """A sample ends."""
    vm = machine.vm
    for process in range(vm.record[0].processes_used):
        gva, _ = regions.next_region(vm, process, 0)
        while gva != NIL:
            table = regions.table_of(machine, process, gva)
            if table != NIL:
                _place(machine, table, regions.used_of(machine, table))
                machine.vcpu.stats[0].thp_scanned += ENTRIES
            gva, _ = regions.next_region(vm, process, gva + regions.SPAN)
    vm.huge[0].samples += 1


@inlined
def _turn_of(vm, process):
    """How many processes come before it, after the one that had the last promotion."""
    count = vm.record[0].processes_used
    return (process - vm.huge[0].last - 1 + count) % count


@kernel
def _best(machine):
    """(process, region, mapping, table) that is promoted next; NIL where none is in a bucket."""
    vm = machine.vm
    best = region_ = area_ = table_ = NIL
    for process in range(vm.record[0].processes_used):
        gva, area = regions.next_region(vm, process, 0)
        while gva != NIL:
            table = regions.table_of(machine, process, gva)
            if table != NIL and vm.region[table].bucket:
                this = vm.region[table]
                other = vm.region[max(0, table_)]
                if best == NIL or this.bucket > other.bucket:
                    better = True
                elif this.bucket < other.bucket:
                    better = False
                elif process != best:
                    better = _turn_of(vm, process) < _turn_of(vm, best)
                else:
                    better = this.place < other.place
                if better:
                    best, region_, area_, table_ = process, gva, area, table
            gva, area = regions.next_region(vm, process, gva + regions.SPAN)
    return best, region_, area_, table_


@kernel
def scan(machine):
    """A batch of promotions: (status, ticks that the thread sleeps then)."""
    vm = machine.vm
    huge = vm.huge[0]
    while huge.progress < huge.pages_to_scan:
        process, gva, area, table = _best(machine)
        if process == NIL:
            break
        flags = paging.leaf_flags(gva, vm.vma[area].prot)
        if not linux.is_worth_it(machine, table, flags, True):
            vm.region[table].bucket = 0
            continue
        status, promoted = region.promote(machine, process, gva, area)
        if status != OK:
            return status, 0
        if not promoted:
            huge.progress = 0
            return OK, huge.alloc_sleep
        huge.last = process
        huge.progress += ENTRIES
    huge.progress = 0
    return OK, huge.period[SCAN]


@kernel
def _sample(machine):
    """Begins or ends a sample: (status, ticks that the thread sleeps then)."""
    huge = machine.vm.huge[0]
    if huge.sampling:
        look(machine)
        huge.sampling = 0
        return OK, max(1, huge.period[SAMPLE] - huge.sample)
    status = clear(machine)
    huge.sampling = int(status == OK)
    return status, huge.sample


@kernel
def wake(machine):
    """The guest's timer has rung. Returns a status; where it is not OK, it rings again."""
    status = threads.rouse(machine)
    if status == OK:
        status = seam.kernel_enter(machine)
    if status == OK and threads.is_awake(machine, ZERO):
        zeroed.make(machine)
        threads.rest(machine, ZERO, machine.vm.huge[0].period[ZERO])
    if status == OK and threads.is_awake(machine, SAMPLE):
        status, ticks = _sample(machine)
        if status == OK:
            threads.rest(machine, SAMPLE, ticks)
    if status == OK and threads.is_awake(machine, SCAN):
        ticks = machine.vm.huge[0].period[SCAN]
        if recovery.is_short(machine):
            status = recovery.recover(machine)
        else:
            status, ticks = scan(machine)
        if status == OK:
            threads.rest(machine, SCAN, ticks)
    return threads.leave(machine, status)


#: Writes the guest's timer into `VM.ops`.
link = seam.SERVICE_SECTION.linker(__name__, {"guest_timer": wake})
