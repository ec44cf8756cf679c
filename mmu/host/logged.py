"""Logging the pages that a VM stores to, round by round (`vmm.dirty_log`).

Large host pages are cut to 4 KiB when logging begins, and none are made while it goes on (Linux
KVM, kvm.eager_page_split, on by default: arch/x86/kvm/mmu/mmu.c).
"""

from __future__ import annotations

from mmulab.mmu.hardware.pml import PML_ENTRIES
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host.reclaim import isolate
from mmulab.mmu.kernels.compiling import entry, kernel
from mmulab.mmu.memory.p2m import host_size_of, is_backed
from mmulab.mmu.techniques import seam
from mmulab.mmu.vmm import dirty_log, exits


@kernel
def _arm(machine, gfn):
    """The next store to a page is seen."""
    if machine.vm.record[0].logging == dirty_log.WRITE_PROTECTION:
        seam.protect(machine, gfn)
    else:
        seam.test_dirty(machine, gfn)


@entry
def begin(machine: Machine, mode):
    """Logging begins, with no page dirty. Returns large pages that were cut."""
    vm = machine.vm
    cut = 0
    vm.record[0].logging = mode
    vm.dirty[:] = 0
    machine.vcpu.regs[0].pml = int(mode == dirty_log.PML)
    machine.vcpu.regs[0].pml_index = PML_ENTRIES - 1
    for gfn in range(vm.p2m.size):
        if is_backed(machine, gfn):
            if host_size_of(machine, gfn):
                isolate(machine, gfn)
                cut += 1
            _arm(machine, gfn)
    exits.flush_vm(machine)
    return cut


@entry
def collect(machine: Machine, gfns):
    """The pages stored to since it was last asked go to `gfns`, ascending; the log is empty then.
    Returns (pages, leaves of the nested table that were looked at)."""
    vm = machine.vm
    looked = 0
    count = 0
    dirty_log.empty_pml(machine)
    for gfn in range(vm.p2m.size):
        if vm.record[0].logging == dirty_log.D_BITS and is_backed(machine, gfn):
            looked += 1
            if seam.test_dirty(machine, gfn):
                vm.dirty[gfn] = 1
        if vm.dirty[gfn]:
            vm.dirty[gfn] = 0
            if is_backed(machine, gfn):
                _arm(machine, gfn)
            gfns[count] = gfn
            count += 1
    exits.flush_vm(machine)
    return count, looked


@entry
def end(machine: Machine):
    """Nothing is logged any more; what is protected is let go at its next store."""
    machine.vm.record[0].logging = dirty_log.OFF
    machine.vm.dirty[:] = 0
    machine.vcpu.regs[0].pml = 0
    exits.flush_vm(machine)
