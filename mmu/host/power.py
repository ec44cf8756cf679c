"""The end of a VM: everything that it has of the host goes back."""

from __future__ import annotations

from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import pages_in
from mmulab.mmu.memory.p2m import hfn_of, host_size_of, is_backed
from mmulab.mmu.techniques import seam
from mmulab.mmu.vmm import backing, exits


@entry
def power_off(machine: Machine):
    """Frees a VM's tables, its pages and its blocks of the swap device."""
    seam.stop(machine)
    vm = machine.vm
    gfn = 0
    while gfn < vm.p2m.size:
        count = 1
        if vm.p2m[gfn]:
            if is_backed(machine, gfn):
                count = pages_in(host_size_of(machine, gfn))
                if vm.record[0].hugetlb:
                    frames.unpin(machine.host.frames, hfn_of(machine, gfn))
            backing.release(machine, gfn)
        gfn += count
    vm.record[0].ballooned = 0
    exits.flush_vm(machine)
