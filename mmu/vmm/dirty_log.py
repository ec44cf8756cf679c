"""Which pages a guest has stored to: what a VMM logs, page by page, from one round to the next.

    write protection   nothing is writable; the first store to a page exits and is let through
    D bits             the D bits of the nested table are cleared, and read by a scan of its leaves
    PML                the processor writes the address of each page whose D bit it sets to a buffer
                       of 512, and exits before it would write one more (Intel SDM vol. 3C, 29.3.6)

`VM.dirty` has what is known; under D bits, the table knows more. Hardware's writes to guest page
tables are stores to their pages (SDM 29.3.5), and so is what a VMM or a device writes for it.
"""

from __future__ import annotations

from mmulab.mmu.hardware.pml import PML_ENTRIES
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import PAGE_SHIFT

OFF, WRITE_PROTECTION, D_BITS, PML = 0, 1, 2, 3
LOGS = ("off", "write-protection", "d-bits", "pml")


@inlined
def is_protected(machine, gfn):
    """True where a store to the page must exit, to be logged."""
    vm = machine.vm
    return vm.record[0].logging == WRITE_PROTECTION and not vm.dirty[gfn]


@kernel
def note(machine, gfn):
    """Software has stored to a page, or is about to let the guest do so."""
    if machine.vm.record[0].logging:
        machine.vm.dirty[gfn] = 1


@kernel
def empty_pml(machine):
    """Moves the addresses in the processor's log to `VM.dirty`."""
    regs = machine.vcpu.regs[0]
    if regs.pml:
        for index in range(regs.pml_index + 1, PML_ENTRIES):
            machine.vm.dirty[machine.vcpu.pml[index] >> PAGE_SHIFT] = 1
        regs.pml_index = PML_ENTRIES - 1
