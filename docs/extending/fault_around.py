"""Nested paging whose VMM maps the neighbours of a page, too, when it mends an EPT violation.

Linux does so for pages of files (mm/memory.c, do_fault_around, 16 pages) and, at a VMM's wish,
for a guest's memory (KVM_PRE_FAULT_MEMORY, Documentation/virt/kvm/api.rst). One exit does the
work of many, for host memory that the guest may never use.
"""

import numpy as np

from mmulab.mmu.hardware.walks.two_dimensional import WALK
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory.p2m import is_paged_out
from mmulab.mmu.memory.status import OK
from mmulab.mmu.memory.watermarks import frames_at_hand
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.reference import fail
from mmulab.mmu.techniques.technique import Counter, Technique
from mmulab.mmu.vmm.calls import back

MAPPED_AROUND = 0  # index of the counter


class State(nested.NestedState):
    around: np.ndarray  # [1]: pages of a block that is mapped together

    # Nested's fields first: its kernels find them where they look.
    FIELDS = {**nested.NestedState.FIELDS, "around": ArrayField(np.int64)}


_state = as_struct(State)


@kernel
def _map_around(machine, gfn, exits, status):
    """Maps the rest of gfn's block if the VMM has just mended an EPT violation there. exits:
    violations before. Returns the status of mending: neighbours are mapped as far as it goes."""
    if status != OK or machine.vcpu.exits[nested.EPT_VIOLATIONS] == exits:
        return status
    around = _state(machine.vm.private).around[0]
    first = gfn // around * around
    for other in range(first, min(first + around, machine.vm.p2m.size)):
        if is_paged_out(machine, other) or nested.is_mapped(machine, other):
            continue
        if frames_at_hand(machine, 0) != OK or back(machine, other) != OK:
            break
        if nested.map_page(machine, other) != OK:
            break
        machine.vcpu.own[MAPPED_AROUND] += 1
    return OK


@kernel
def touch(machine, gfn):
    exits = machine.vcpu.exits[nested.EPT_VIOLATIONS]
    return _map_around(machine, gfn, exits, nested.touch(machine, gfn))


@kernel
def read(machine, gfn):
    exits = machine.vcpu.exits[nested.EPT_VIOLATIONS]
    return _map_around(machine, gfn, exits, nested.read(machine, gfn))


@kernel
def fault(machine, status, gva, kind, user):
    exits = machine.vcpu.exits[nested.EPT_VIOLATIONS]
    gfn = machine.vcpu.regs[0].fault_gpa >> 12
    mended = nested.fault(machine, status, gva, kind, user)
    return _map_around(machine, gfn, exits, mended)


class AroundReference(nested.NestedReference):
    """What a walk gives is what it gives under nested paging."""

    def check(self):
        for entry in self.nested_entries():
            gfn = entry.address >> 12
            if entry.is_leaf and self.tables.hfn_of(gfn) != entry.frame:
                fail(self.tables.where, "the nested table maps what backs a page", f"gfn {gfn:#x}")


TECHNIQUE = Technique(
    name="fault_around",
    summary="nested paging whose VMM maps the neighbours of a page, too",
    source="Linux, mm/memory.c, do_fault_around; KVM_PRE_FAULT_MEMORY",
    module=__name__,
    walk=WALK,
    reference=AroundReference,
    hooks={**nested.TECHNIQUE.hooks, "touch": touch, "read": read, "fault": fault},
    parameters=(
        Parameter("around", "pages of a block mapped together", low=1, high=512, default=16),
        HOST_PAGE_SIZE,
    ),
    exits=nested.TECHNIQUE.exits,
    counters=(
        Counter(
            "mapped_around",
            "pages mapped for a neighbour's sake",
            Cited(
                872,
                "assumption: of an EPT violation's 2,000, what is not the exit's 1,128. From half, "
                "with tables at hand, to thrice, where locks are contended",
                436,
                2616,
            ),
            category="exit_fault",
        ),
    ),
    state=lambda sizes, values: State(
        root=np.full(1, -1, np.int64), around=np.full(1, values["around"], np.int64)
    ),
    assumptions=("neighbours that the guest has never used, or has given back, are backed, too",),
)
