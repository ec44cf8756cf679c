"""The memory of a guest whose tables hold the host's frames: all of it at the start, and a
hypercall where the guest asks for some again, or for some that lies together."""

from __future__ import annotations

from typing import Any, NamedTuple

from mmulab.mmu.hardware import contents
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import INDEX_BITS, pages_in
from mmulab.mmu.memory.p2m import hfn_of, is_backed
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_HOST_FRAMES
from mmulab.mmu.memory.vm import HUGE_1G
from mmulab.mmu.vmm.backing import place, release
from mmulab.mmu.vmm.calls import back


class MachineMemory(NamedTuple):
    """Kernels. start(machine): backs all memory. touch(machine, gfn): the guest kernel uses a
    page. make_contiguous(machine, gfn, size): a page of a size whose frames one leaf can map.
    Each returns a status."""

    start: Any
    touch: Any
    make_contiguous: Any


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
def _take_back(machine, gfn, count):
    for other in range(gfn, gfn + count):
        contents.look(machine, other)
    for other in range(gfn, gfn + count):
        if is_backed(machine, other):
            release(machine, other)


def make_machine_memory(ask: Any, exchanged: int) -> MachineMemory:
    """ask(machine): counts a hypercall. exchanged: counter of pages that were moved so that a
    large one lies together."""

    @kernel
    def start(machine):
        """In extents of 2 MiB (Xen, tools/libs/guest/xg_dom_x86.c, meminit_pv()), of 1 GiB for a
        guest with such pages, where the host has them."""
        record = machine.vm.record[0]
        record.host_size = 2 if record.huge == HUGE_1G else 1
        for gfn in range(machine.vm.p2m.size):
            status = back(machine, gfn)
            if status != OK:
                return status
        return OK

    @kernel
    def touch(machine, gfn):
        """What a balloon gave back must be asked for again."""
        if is_backed(machine, gfn):
            return OK
        ask(machine)
        return back(machine, gfn)

    @kernel
    def make_contiguous(machine, gfn, size):
        """Pages whose frames lie apart are exchanged for such as lie together."""
        count = pages_in(size)
        if _lies_together(machine, gfn, count):
            return OK
        host = machine.host.frames
        whole = frames.allocate(host, INDEX_BITS * size, GUEST_PAGE, machine.vm.record[0].id, gfn)
        if whole == NIL:
            return OUT_OF_HOST_FRAMES
        frames.release(host, whole)
        ask(machine)
        machine.vcpu.own[exchanged] += count
        _take_back(machine, gfn, count)
        place(machine, gfn, size)
        for other in range(gfn, gfn + count):
            contents.write(machine, other, machine.vm.contents[other])
        return OK

    return MachineMemory(start, touch, make_contiguous)
