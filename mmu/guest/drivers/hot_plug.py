"""The driver of hot-plugged memory: blocks of 2 MiB that a VM gets or gives up while it runs.

As virtio-mem (Hildenbrand and Schulz, virtio-mem: Paravirtualized Memory Hot(Un)Plug, VEE 2021;
Virtio 1.2, 5.15), whose blocks are of 2 MiB where the host may use large pages: unplugged from the
top, plugged from the bottom. Linux's driver makes a block free by moving what lies in it elsewhere;
nothing moves pages here, so that only blocks go that nobody uses.
"""

from __future__ import annotations

from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import INDEX_BITS
from mmulab.mmu.memory.state import BALLOON_PAGE
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.techniques import seam

ORDER = INDEX_BITS
BLOCK = 1 << ORDER  #: frames of a block


@entry
def unplug(machine: Machine, count):
    """Gives up to `count` blocks to the VMM; returns how many. Those frames are the balloon's, in
    whole blocks, as its own pages never are. The guest keeps what it needs at least free."""
    vm = machine.vm
    given = 0
    first = (vm.frames.counts[frames.TOTAL] // BLOCK - 1) * BLOCK
    while first >= 0 and given < count:
        if frames.available(vm.frames) - BLOCK < vm.frames.counts[frames.HIGH]:
            break
        if frames.take(vm.frames, first, ORDER, BALLOON_PAGE, vm.record[0].id, NIL):
            for gfn in range(first, first + BLOCK):
                seam.balloon_give(machine, gfn)
            given += 1
        first -= BLOCK
    seam.balloon_done(machine)
    return given


@entry
def plug(machine: Machine, count):
    """Takes up to `count` blocks back into the guest's allocator; returns how many."""
    vm = machine.vm
    taken = 0
    first = 0
    while first + BLOCK <= vm.frames.counts[frames.TOTAL] and taken < count:
        block = vm.frames.frame[first]
        if block.kind == BALLOON_PAGE and block.order == ORDER + 1:
            frames.release(vm.frames, first)
            taken += 1
        first += BLOCK
    return taken
