"""The guest's memory as the VMM gives it: all at once at the start, and by XENMEM hypercalls."""

from __future__ import annotations

from mmulab.mmu.hardware import contents
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import INDEX_BITS, pages_in
from mmulab.mmu.memory.p2m import hfn_of, is_backed
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_HOST_FRAMES
from mmulab.mmu.memory.vm import HUGE_1G
from mmulab.mmu.techniques.paravirt.state import EXCHANGED, MEMORY_OP
from mmulab.mmu.vmm.backing import place, release
from mmulab.mmu.vmm.calls import back
from mmulab.mmu.vmm.exits import trap


@kernel
def start(machine):
    """Backs all memory (Xen, tools/libs/guest/xg_dom_x86.c, meminit_pv()), in extents of 2 MiB,
    of 1 GiB for a guest with such pages, where the host has them."""
    record = machine.vm.record[0]
    record.host_size = 2 if record.huge == HUGE_1G else 1
    for gfn in range(machine.vm.p2m.size):
        status = back(machine, gfn)
        if status != OK:
            return status
    return OK


@kernel
def touch(machine, gfn):
    """The guest kernel uses a page: what a balloon gave back must be asked for again
    (XENMEM_populate_physmap)."""
    if is_backed(machine, gfn):
        return OK
    trap(machine, MEMORY_OP)
    return back(machine, gfn)


@kernel
def _lies_together(machine, gfn, count):
    """True where one large leaf can map the pages from gfn on."""
    first = hfn_of(machine, gfn)
    if first & (count - 1):
        return False
    for offset in range(1, count):
        if hfn_of(machine, gfn + offset) != first + offset:
            return False
    return True


@kernel
def make_contiguous(machine, gfn, size):
    """A page of a size whose machine frames one leaf can map: XENMEM_exchange, where they lie
    apart (Linux, arch/x86/xen/mmu_pv.c, xen_create_contiguous_region()). Returns a status."""
    count = pages_in(size)
    if _lies_together(machine, gfn, count):
        return OK
    host = machine.host.frames
    whole = frames.allocate(host, INDEX_BITS * size, GUEST_PAGE, machine.vm.record[0].id, gfn)
    if whole == NIL:
        return OUT_OF_HOST_FRAMES
    frames.release(host, whole)
    trap(machine, MEMORY_OP)
    machine.vcpu.own[EXCHANGED] += count
    for other in range(gfn, gfn + count):
        contents.look(machine, other)
    for other in range(gfn, gfn + count):
        if is_backed(machine, other):
            release(machine, other)
    place(machine, gfn, size)
    for other in range(gfn, gfn + count):
        contents.write(machine, other, machine.vm.contents[other])
    return OK
