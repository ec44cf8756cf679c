"""Page-modification logging: the processor's own list of pages that it has set a D bit for.

A buffer of 512 guest-physical addresses in memory, filled from its end. Where it is full, the
processor exits before it sets one more D bit (Intel SDM vol. 3C, 29.3.6).
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.entries import PAGE_SHIFT

PML_ENTRIES = 512


@kernel
def log_store(vcpu, gpa):
    """The D bit of a page is about to be set. False where the buffer has no room: it is not."""
    regs = vcpu.regs[0]
    if not regs.pml:
        return True
    if regs.pml_index < 0:
        return False
    vcpu.pml[regs.pml_index] = gpa >> PAGE_SHIFT << PAGE_SHIFT
    regs.pml_index -= 1
    return True
