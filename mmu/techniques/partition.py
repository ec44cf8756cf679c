"""A partition: all of a VM's memory is one piece of the host's, for as long as the VM lives.

What firmware does that divides a machine among operating systems ("type 0"): IBM's LPARs, Oracle's
logical domains. Their hardware adds an origin to each address that the guest takes for a real one,
and compares it with a limit; the guest owns its page tables, CR3 and TLB, and no exit is owed to
memory. In turn nothing is given on demand: a partition whose memory is not there in one piece does
not start, and no page of it can be shared, ballooned or paged out.

IBM names the registers main-storage zone origin and limit; how the hardware uses them was not
read in the original (Borden, Hennessy and Rymarczyk, IBM Systems Journal 28, 1, 1989).
"""

from __future__ import annotations

from mmulab.mmu.hardware.walks.base_and_bound import WALK
from mmulab.mmu.hardware.walks.segments import PHYSICAL, set_segment
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import pages_in
from mmulab.mmu.memory.p2m import hfn_of
from mmulab.mmu.memory.runs import page_size_at, take_run
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL, NOT_CONTIGUOUS, OK
from mmulab.mmu.techniques.reference import Page, Reference, fail
from mmulab.mmu.techniques.technique import Technique


@kernel
def _back(machine, gfn, hfn, count):
    """Page of `count` frames at gfn lies at hfn from now on, pinned."""
    vm, host = machine.vm, machine.host
    for offset in range(count):
        host.frames.frame[hfn + offset].reverse = gfn + offset + 1
    frames.pin(host.frames, hfn)
    if vm.record[0].tracked:
        host.memory.contents[hfn : hfn + count] = 0
        host.memory.written[hfn : hfn + count] = 0


@kernel
def back_all(machine):
    """Backs all of a VM's memory with one run of the host's frames, pinned: its first frame, or
    NIL where there is none."""
    vm = machine.vm
    count = vm.p2m.size
    base = take_run(machine.host.frames, count, GUEST_PAGE, vm.record[0].id)
    if base == NIL:
        return NIL
    gfn = 0
    while gfn < count:
        size = page_size_at(gfn, count)
        for offset in range(pages_in(size)):
            vm.p2m[gfn + offset] = (base + gfn + offset + 1) << 2 | size
        _back(machine, gfn, base + gfn, pages_in(size))
        gfn += pages_in(size)
    vm.record[0].held += count
    return base


@kernel
def start(machine):
    """Takes the VM's memory from the host and loads base and bound."""
    base = back_all(machine)
    if base == NIL:
        return NOT_CONTIGUOUS
    set_segment(machine.vcpu, PHYSICAL, 0, machine.vm.p2m.size, base)
    return OK


@kernel
def stop(machine):
    """The memory may go back to the host."""
    count = machine.vm.p2m.size
    gfn = 0
    while gfn < count:
        frames.unpin(machine.host.frames, hfn_of(machine, gfn))
        gfn += pages_in(page_size_at(gfn, count))
    return OK


@kernel
def is_mapped(machine, gfn):
    """All of it is within the guest's reach, always."""
    return 1


class PartitionReference(Reference):
    """The guest's tables, a base added to each of their frames."""

    def translate(self, process: int, page: int) -> Page | None:
        found = super().translate(process, page)
        return found and found._replace(hfn=self.tables.hfn_of(found.hfn))

    def check(self) -> None:
        p2m = self.tables.vm.p2m >> 2
        if (p2m[1:] - p2m[:-1] != 1).any():
            fail(self.tables.where, "a partition lies in one piece", "its p2m does not")


TECHNIQUE = Technique(
    name="partition",
    summary="a partition: memory in one piece of the host's, the guest's walk and a base",
    source="IBM z/VM, CP Data Areas and Control Blocks, ZPMBK: zone origin and limit",
    module=__name__,
    walk=WALK,
    reference=PartitionReference,
    hooks={"start": start, "stop": stop, "is_mapped": is_mapped},
    assumptions=(
        "the addition and the comparison take no time",
        "the memory begins at a multiple of the largest page that it can hold, where IBM's begins "
        "at one of 1 MiB, so that a guest's large page is never cut",
        "processors are dedicated, too: the partition makes no exit for anything",
    ),
)
