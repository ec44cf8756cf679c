"""The guest's memory as Xen gives it: all at once at the start, and by XENMEM hypercalls
(XENMEM_populate_physmap; XENMEM_exchange, as Linux asks for it in arch/x86/xen/mmu_pv.c,
xen_create_contiguous_region())."""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.techniques.machine_memory import make_machine_memory
from mmulab.mmu.techniques.paravirt.state import EXCHANGED, MEMORY_OP
from mmulab.mmu.vmm.exits import trap


@kernel
def _ask(machine):
    trap(machine, MEMORY_OP)


start, touch, make_contiguous = make_machine_memory(_ask, EXCHANGED)
