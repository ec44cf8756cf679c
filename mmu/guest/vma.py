"""Virtual memory areas: what a process has mapped, as its trace tells.

A process's areas form a list sorted by address. A trace need not tell about all:
an access outside every area is to memory mapped before the trace began.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_VMAS


@kernel
def find(vm, process, gva):
    """Index of the area that holds gva, or NIL."""
    at = vm.process[process].vma - 1
    while at != NIL and vm.vma[at].end <= gva:
        at = vm.vma[at].next - 1
    if at != NIL and vm.vma[at].start <= gva:
        return at
    return NIL


@kernel
def overlaps(vm, process, start, end):
    """True where an area has a byte in [start, end)."""
    at = vm.process[process].vma - 1
    while at != NIL and vm.vma[at].end <= start:
        at = vm.vma[at].next - 1
    return at != NIL and vm.vma[at].start < end


@kernel
def _allocate(vm):
    record = vm.record[0]
    at = record.free_vma - 1
    if at != NIL:
        record.free_vma = vm.vma[at].next
        return at
    at = record.vmas_used
    if at >= vm.vma.size:
        return NIL
    record.vmas_used += 1
    return at


@kernel
def _release(vm, at):
    vm.vma[at].next = vm.record[0].free_vma
    vm.record[0].free_vma = at + 1


@kernel
def _link(vm, process, previous, at):
    """Puts area `at` behind `previous` (NIL: first)."""
    if previous == NIL:
        vm.vma[at].next = vm.process[process].vma
        vm.process[process].vma = at + 1
    else:
        vm.vma[at].next = vm.vma[previous].next
        vm.vma[previous].next = at + 1


@kernel
def _split(vm, process, at, where):
    """Cuts an area in two; the second begins at `where`. Returns it, or NIL when full."""
    second = _allocate(vm)
    if second == NIL:
        return NIL
    vm.vma[second].start = where
    vm.vma[second].end = vm.vma[at].end
    vm.vma[second].prot = vm.vma[at].prot
    vm.vma[second].size = vm.vma[at].size
    vm.vma[at].end = where
    _link(vm, process, at, second)
    return second


@kernel
def isolate(vm, process, start, end):
    """Cuts areas so that none crosses start or end. Returns OK or OUT_OF_VMAS."""
    for where in (start, end):
        at = find(vm, process, where)
        if at != NIL and vm.vma[at].start < where:
            if _split(vm, process, at, where) == NIL:
                return OUT_OF_VMAS
    return OK


@kernel
def remove(vm, process, start, end):
    """Takes [start, end) out of all areas. Returns OK or OUT_OF_VMAS."""
    status = isolate(vm, process, start, end)
    if status != OK:
        return status
    previous = NIL
    at = vm.process[process].vma - 1
    while at != NIL and vm.vma[at].start < end:
        following = vm.vma[at].next
        if vm.vma[at].start >= start:
            if previous == NIL:
                vm.process[process].vma = following
            else:
                vm.vma[previous].next = following
            _release(vm, at)
        else:
            previous = at
        at = following - 1
    return OK


@kernel
def add(vm, process, start, end, prot, size):
    """Adds an area where there is none. Returns OK or OUT_OF_VMAS.

    It grows the area before it where both are alike, as Linux merges mappings.
    """
    previous = NIL
    at = vm.process[process].vma - 1
    while at != NIL and vm.vma[at].start < start:
        previous = at
        at = vm.vma[at].next - 1
    if previous != NIL:
        before = vm.vma[previous]
        if before.end == start and before.prot == prot and before.size == size:
            before.end = end
            return OK
    fresh = _allocate(vm)
    if fresh == NIL:
        return OUT_OF_VMAS
    vm.vma[fresh].start = start
    vm.vma[fresh].end = end
    vm.vma[fresh].prot = prot
    vm.vma[fresh].size = size
    _link(vm, process, previous, fresh)
    return OK


@kernel
def protect(vm, process, start, end, prot):
    """Changes the protection of what is mapped in [start, end)."""
    status = isolate(vm, process, start, end)
    at = vm.process[process].vma - 1
    while at != NIL and vm.vma[at].start < end:
        if vm.vma[at].start >= start:
            vm.vma[at].prot = prot
        at = vm.vma[at].next - 1
    return status


@kernel
def copy(vm, parent, child):
    """Gives a child process its parent's areas. Returns OK or OUT_OF_VMAS."""
    at = vm.process[parent].vma - 1
    previous = NIL
    while at != NIL:
        fresh = _allocate(vm)
        if fresh == NIL:
            return OUT_OF_VMAS
        vm.vma[fresh].start = vm.vma[at].start
        vm.vma[fresh].end = vm.vma[at].end
        vm.vma[fresh].prot = vm.vma[at].prot
        vm.vma[fresh].size = vm.vma[at].size
        _link(vm, child, previous, fresh)
        previous = fresh
        at = vm.vma[at].next - 1
    return OK


@kernel
def clear(vm, process):
    at = vm.process[process].vma - 1
    while at != NIL:
        following = vm.vma[at].next - 1
        _release(vm, at)
        at = following
    vm.process[process].vma = 0
