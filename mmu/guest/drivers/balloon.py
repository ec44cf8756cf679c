"""The balloon driver: guest frames that the guest gives to the VMM, and takes back.

It allocates as any driver does: free frames first, then what the guest's own paging
frees (Waldspurger, OSDI 2002, section 3.1). Which pages leave is the guest's choice.
"""

from __future__ import annotations

from mmulab.mmu.guest import swap
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.state import BALLOON_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_GUEST_FRAMES
from mmulab.mmu.techniques import seam


@entry
def inflate(machine: Machine, count):
    """Gives up to `count` frames to the VMM: (status, frames given). The status says why
    there were not more: OUT_OF_GUEST_FRAMES or OUT_OF_DISK, the guest has no more to give;
    OUT_OF_HOST_FRAMES, paging them out needs host frames first."""
    vm = machine.vm
    record = vm.record[0]
    given = 0
    status = OK
    while given < count:
        keep = vm.frames.counts[frames.MIN]
        if frames.available(vm.frames) <= keep:
            batch = min(count - given, vm.frames.counts[frames.HIGH])
            status = swap.shrink(machine, keep + max(batch, swap.BATCH))
            if frames.available(vm.frames) <= keep:
                break
        gfn = frames.allocate(vm.frames, 0, BALLOON_PAGE, record.id, NIL)
        if gfn == NIL:
            status = OUT_OF_GUEST_FRAMES
            break
        seam.balloon_give(machine, gfn)
        vm.balloon[record.ballooned] = gfn
        record.ballooned += 1
        given += 1
        status = OK
    seam.balloon_done(machine)
    return status, given


@entry
def deflate(machine: Machine, count):
    """Takes up to `count` frames back into the guest's allocator; returns how many."""
    vm = machine.vm
    record = vm.record[0]
    count = min(count, record.ballooned)
    for _ in range(count):
        record.ballooned -= 1
        frames.release(vm.frames, vm.balloon[record.ballooned])
    return count
