"""Translation pass-through (Bergman et al., USENIX ATC 2023): the guest's own tables hold the
host's frames and are walked in one dimension; each frame has a tag that says whose it is, which
hardware compares. So the VMM need not look at what the guest writes: no exit for a gPTE, INVLPG or
CR3, and no table is validated or write-protected.

The paper was read in its abstract alone: it takes the tags of AMD's processors (the owner in the
reverse map table of Secure Nested Paging) and an enlightened Linux guest under KVM. What the guest
does to learn its frames is taken from Xen's direct paging, which it shares: a table of its own from
gfn to hfn, hypercalls for memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmulab.mmu.hardware import instructions
from mmulab.mmu.hardware.walks.owned import WALK
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory.entries import INDEX_BITS, PS, P, frame_of
from mmulab.mmu.memory.p2m import hfn_of, is_backed
from mmulab.mmu.memory.status import EPT_VIOLATION, FOREIGN_FRAME, OK
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques.costs import HOST_ALLOCATION
from mmulab.mmu.techniques.machine_memory import make_machine_memory
from mmulab.mmu.techniques.reference import Entry, Reference, fail
from mmulab.mmu.techniques.technique import Counter, Exit, Technique
from mmulab.mmu.vmm.exits import vm_exit

MEMORY_OP, EXCHANGED = 0, 0  # indices of the exit and of the counter


@kernel
def _ask(machine):
    vm_exit(machine, MEMORY_OP)


start, touch, _make_contiguous = make_machine_memory(_ask, EXCHANGED)


@kernel
def is_mapped(machine, gfn):
    """All that is the guest's is within its reach."""
    return int(is_backed(machine, gfn))


@kernel
def store(machine, table, index, entry):
    """The guest writes its entry, and nobody looks at it. What it maps it has asked for before."""
    if entry & P:
        status = touch(machine, frame_of(entry))
        if status == OK and entry & PS:
            status = _make_contiguous(machine, frame_of(entry), _size_of(machine, frame_of(entry)))
        if status != OK:
            return status
    guest_tables.store_entry(machine, table, index, entry)
    return OK


@kernel
def _size_of(machine, gfn):
    """Size of a large page that begins at gfn: that of its block."""
    return (int(machine.vm.frames.frame[gfn].order) - 1) // INDEX_BITS


@kernel
def load_cr3(machine, process, keep):
    target = machine.vm.process[process]
    return instructions.load_cr3(machine, hfn_of(machine, target.cr3), target.asid, keep)


@kernel
def fault(machine, status, gva, kind, user):
    """A frame that is not the guest's own: its VM is stopped. All else is the guest's."""
    return FOREIGN_FRAME if status == EPT_VIOLATION else status


class TptReference(Reference):
    """The guest's tables, whose frames are the host's."""

    def entries(self, process: int) -> Iterator[Entry]:
        return self.tables.machine_entries(int(self.tables.vm.process[process]["cr3"]))

    def locate(self, frame: int) -> int:
        return frame

    def check(self) -> None:
        owner, number = self.tables.memory.owner, int(self.tables.record["id"])
        backed = {(int(entry) >> 2) - 1 for entry in self.tables.vm.p2m if entry > 0}
        mine = set((owner == number).nonzero()[0].tolist())
        for frame in backed ^ mine:
            fail(self.tables.where, "frames are tagged as they are given", f"frame {frame:#x}")


TECHNIQUE = Technique(
    name="tpt",
    summary="translation pass-through: the guest's tables hold the host's frames, tagged by owner",
    source="Bergman et al., Translation Pass-Through, USENIX ATC 2023 (abstract); AMD APM vol. 2, "
    "15.36",
    module=__name__,
    walk=WALK,
    reference=TptReference,
    hooks={
        "start": start,
        "touch": touch,
        "read": touch,
        "store": store,
        "load_cr3": load_cr3,
        "fault": fault,
        "is_mapped": is_mapped,
    },
    exits=(Exit("memory_op", "memory_op hypercalls", HOST_ALLOCATION),),
    counters=(
        Counter("exchanged_pages", "pages moved so that a large page lies together"),
        Counter(
            "tag_checks",
            "walks at whose end the owner of the page is compared",
            Cited(
                14,
                "assumption: one entry of 16 bytes of the reverse map table, which lies in memory, "
                "from the L2 cache. Low: kept with the walker's own caches. High: from memory",
                1,
                200,
            ),
            category="guest_walk",
            of="walks",
        ),
    ),
    assumptions=(
        "owners of tables are compared without a cost: a few frames, which the walker keeps",
        "the guest's memory is there from the start, in pieces of 2 MiB where the host has them",
        "a guest that maps a frame of others is ended; nothing tells it",
        "the translation of gfns to hfns in the guest's kernel takes no time",
    ),
    machine_frames=True,
    fixed="the guest's tables hold the host's frames, which nobody can change behind its back",
)
