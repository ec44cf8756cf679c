"""Linux's transparent huge pages: khugepaged looks for regions that are worth a promotion.

Each batch looks at `pages_to_scan` pages, 512 a region, and goes on where the last one ended: one
process after another, their mappings by address. A region is promoted unless it has more than
max_ptes_none empty gPTEs, more than max_ptes_swap pages paged out or more than max_ptes_shared
shared; where none of its pages is writable or none young, or where pages would have to come back
and fewer than half are young, it is passed over. Where no block of 2 MiB is free the thread sleeps
for alloc_sleep_millisecs, the second time until its next batch (Linux 6.11, mm/khugepaged.c,
hpage_collapse_scan_pmd(), khugepaged_scan_mm_slot(), khugepaged_do_scan()).
"""

from __future__ import annotations

from mmulab.mmu.guest import paging, regions
from mmulab.mmu.guest.huge import region, threads
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.entries import ENTRIES
from mmulab.mmu.memory.huge import SCAN
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.techniques import seam

#: What became of a region that was looked at.
PASSED_OVER, PROMOTED, NO_BLOCK = 0, 1, 2


@kernel
def is_worth_it(machine, table, flags, unused):
    """Whether khugepaged promotes what a table maps; counts why not. unused: whether it does where
    no page is young, too."""
    huge, stats = machine.vm.huge[0], machine.vcpu.stats[0]
    none, swapped, shared, young, writable, alike = region.survey(machine, table, flags)
    if swapped > huge.max_swap:
        stats.thp_scan_exceed_swap_pte += 1
    elif none > huge.max_none:
        stats.thp_scan_exceed_none_pte += 1
    elif shared > huge.max_shared:
        stats.thp_scan_exceed_share_pte += 1
    elif not writable or not alike:
        stats.thp_scan_read_only += 1
    elif not (young or unused) or (swapped and young < ENTRIES // 2):
        stats.thp_scan_unreferenced += 1
    else:
        return True
    return False


@kernel
def _look_at(machine, process, gva, area):
    """One region: (status, what became of it)."""
    table = regions.table_of(machine, process, gva)
    if table == NIL:
        return OK, PASSED_OVER
    flags = paging.leaf_flags(gva, machine.vm.vma[area].prot)
    if not is_worth_it(machine, table, flags, False):
        machine.vcpu.stats[0].thp_scanned += ENTRIES
        return OK, PASSED_OVER
    status, promoted = region.promote(machine, process, gva, area)
    if status == OK:
        machine.vcpu.stats[0].thp_scanned += ENTRIES
    return status, PROMOTED if promoted else NO_BLOCK


@kernel
def scan_process(machine):
    """From where the scan is to the end of its process, or of the batch: (status, what became of
    the last region). It stops at each promotion, and at the end of the batch."""
    vm = machine.vm
    huge = vm.huge[0]
    huge.progress += 1
    area = vm.process[huge.process].vma - 1 if vm.process[huge.process].alive else NIL
    while area != NIL:
        end = regions.end_of(vm, area)
        first = regions.first_in(vm, area)
        if not regions.is_eligible(vm, area) or first >= end or huge.address >= end:
            huge.progress += int(huge.address < end)
            area = vm.vma[area].next - 1
            continue
        huge.address = max(huge.address, first)
        while huge.address < end:
            status, became = _look_at(machine, huge.process, huge.address, area)
            if status != OK:
                return status, became
            huge.address += regions.SPAN
            huge.progress += ENTRIES
            if became != PASSED_OVER or huge.progress >= huge.pages_to_scan:
                return OK, became
        area = vm.vma[area].next - 1
    huge.process += 1
    huge.address = 0
    return OK, PASSED_OVER


@kernel
def goes_round(machine):
    """Begins again at the first process behind the last one; False where that would be the second
    time in a batch."""
    huge = machine.vm.huge[0]
    if huge.process >= machine.vm.record[0].processes_used:
        huge.process = 0
        huge.address = 0
        machine.vcpu.stats[0].thp_full_scans += 1
    huge.heads += int(huge.process == 0 and huge.address == 0)
    return huge.heads < 2


@kernel
def scan(machine):
    """One batch: (status, ticks that the thread sleeps then)."""
    huge = machine.vm.huge[0]
    while huge.progress < huge.pages_to_scan:
        if not goes_round(machine):
            break
        status, became = scan_process(machine)
        if status != OK:
            return status, 0
        if became == NO_BLOCK and huge.progress < huge.pages_to_scan:
            if huge.failed:
                break
            huge.failed = 1
            return OK, huge.alloc_sleep
    huge.progress = 0
    huge.heads = 0
    huge.failed = 0
    return OK, huge.period[SCAN]


@kernel
def wake(machine):
    """The guest's timer has rung. Returns a status; where it is not OK, it rings again."""
    status = threads.rouse(machine)
    if status == OK:
        status = seam.kernel_enter(machine)
    if status == OK and threads.is_awake(machine, SCAN):
        status, ticks = scan(machine)
        if status == OK:
            threads.rest(machine, SCAN, ticks)
    return threads.leave(machine, status)


#: Writes the guest's timer into `VM.ops`.
link = seam.SERVICE_SECTION.linker(__name__, {"guest_timer": wake})
