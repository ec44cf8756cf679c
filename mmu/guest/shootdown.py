"""What the guest kernel does when translations change: flushes, here and on its other vCPUs.

As Linux (arch/x86/mm/tlb.c, flush_tlb_mm_range() and switch_mm_irqs_off()):

    the process runs elsewhere, too     an IPI to each of those vCPUs, which flush the pages, or,
                                        where they are many, the address space
    it is loaded where nothing runs     a lazy TLB: no IPI, unless page tables were freed; the vCPU
                                        flushes before it goes on
    it ran there before                 no IPI: the vCPU flushes when it loads the process again,
                                        which Linux tells by generations, `PROCESS.stale` here

One unmap, protect or fork sends its IPIs together, once (mmu_gather), and so does a scan that pages
out (arch_tlbbatch_flush()), for which others flush everything. Kernel addresses are flushed
everywhere. What a vCPU is told is posted, and carried out (`deliver`) before any other vCPU goes
on: the one that sends waits for it.

Left out: that a large unmap flushes each 10,000 pages; concurrent flushes that one flush answers
(the generations of tlb.c); vCPUs that the scheduler moves threads between.
"""

from __future__ import annotations

from mmulab.mmu.hardware import core as hardware
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry, kernel
from mmulab.mmu.memory.cpus import BY_HYPERCALL, BY_IPI
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.techniques import seam

# --- Flushes --------------------------------------------------------------------


@kernel
def flush_page(machine, process, gva):
    """Invalidates one page of a process, at once or where the process runs next."""
    vm = machine.vm
    if vm.cpu.size > 1:
        _tell_others(machine, process, gva, gva, 0)
    if vm.record[0].current == process or gva < 0:
        return seam.invlpg(machine, gva)
    vm.process[process].stale |= 1 << machine.vcpu.regs[0].number
    return OK


@kernel
def flush_range(machine, process, start, end):
    """Invalidates so many pages of a process that all of its translations go, at once or where
    it runs next."""
    vm = machine.vm
    here = 1 << machine.vcpu.regs[0].number
    if vm.cpu.size > 1:
        _tell_others(machine, process, start, end, 1)
    if vm.record[0].current == process:
        return seam.flush_range(machine, process, start, end, here)
    vm.process[process].stale |= here
    return OK


# --- Telling other vCPUs --------------------------------------------------------


@kernel
def begin(machine):
    """A change begins whose shootdowns are sent together, at its `end`."""
    record = machine.vm.record[0]
    if record.gathering == 0:
        record.freed_tables = 0
    record.gathering += 1


@kernel
def end(machine):
    record = machine.vm.record[0]
    record.gathering -= 1
    if record.gathering == 0 and machine.vm.cpu.size > 1:
        _send(machine)


@kernel
def _tell_others(machine, process, gva, end, whole):
    """Posts a flush to the vCPUs that run the process; others with translations of it flush
    before they run it again."""
    vm = machine.vm
    record = vm.record[0]
    told = 0
    for number in range(vm.cpu.size):
        other = vm.cpu[number]
        bit = 1 << number
        if number == machine.vcpu.regs[0].number:
            continue
        runs_it = other.process == process or gva < 0
        if other.process != NIL and runs_it and (not other.idle or gva < 0):
            told |= bit
            continue
        vm.process[process].stale |= bit
        if vm.process[process].ran_on & bit:
            record.skipped |= bit
        if other.process == process:
            record.lazy |= bit
    record.targets |= told
    if told:
        _post(vm, process, gva, end, whole, told)
    if record.gathering == 0:
        _send(machine)


@kernel
def _post(vm, process, gva, end, whole, targets):
    """What does not fit makes them flush everything."""
    record = vm.record[0]
    if record.posts == vm.post.size:
        for number in range(vm.cpu.size):
            vm.cpu[number].owes |= targets >> number & 1
        return
    post = vm.post[record.posts]
    post.process = process
    post.whole = whole
    post.gva = gva
    post.end = end
    post.targets = targets
    record.posts += 1


@kernel
def _send(machine):
    """Tells the vCPUs that something has been posted to, and counts how."""
    vm = machine.vm
    record = vm.record[0]
    mine = vm.cpu[machine.vcpu.regs[0].number]
    targets = record.targets | (record.lazy if record.freed_tables else 0)
    skipped = record.skipped & ~targets
    record.targets = 0
    record.skipped = 0
    record.lazy = 0
    record.freed_tables = 0
    how = record.remote_flush
    if targets:
        mine.shootdowns += 1
        mine.flush_hypercalls += int(how == BY_HYPERCALL)
    for number in range(vm.cpu.size):
        mine.ipis_skipped += skipped >> number & 1
        if not targets >> number & 1:
            continue
        other = vm.cpu[number]
        if other.off and how != BY_IPI:
            mine.flushes_left += 1
        elif how == BY_HYPERCALL:
            mine.kicks_sent += 1
            other.kicks_received += 1
        else:
            mine.ipis_sent += 1
            other.ipis_received += 1
            if other.off:
                mine.waited_for |= 1 << number


# --- On the other vCPUs ---------------------------------------------------------


@kernel
def _last_whole(vm, bit):
    """The last flush of an address space that vCPUs have been told of: pages before it need none
    of their own."""
    for at in range(vm.record[0].posts - 1, -1, -1):
        if vm.post[at].whole and vm.post[at].targets & bit:
            return at
    return NIL


@entry
def deliver(machine: Machine):
    """A vCPU drops what it has been told to. Returns a status."""
    vm = machine.vm
    number = machine.vcpu.regs[0].number
    here = vm.cpu[number]
    bit = 1 << number
    last = _last_whole(vm, bit)
    if here.owes:
        hardware.flush_vpid(machine.core, machine.vcpu)
        here.owes = 0
    running = vm.record[0].current
    vm.record[0].current = here.process
    status = OK
    for at in range(vm.record[0].posts):
        post = vm.post[at]
        if status != OK or not post.targets & bit:
            continue
        post.targets &= ~bit
        if at == last:
            status = seam.flush_range(machine, post.process, post.gva, post.end, bit)
        elif at > last or post.gva < 0:
            status = seam.invlpg(machine, post.gva)
    vm.record[0].current = running
    return status


@kernel
def leave(machine, process):
    """A process is about to end: no vCPU has its address space loaded any more."""
    vm = machine.vm
    for at in range(vm.record[0].posts):
        if vm.post[at].process == process:
            vm.post[at].targets = 0
    for number in range(vm.cpu.size):
        other = vm.cpu[number]
        if number != machine.vcpu.regs[0].number and other.process == process:
            other.process = NIL
            other.owes = 1
