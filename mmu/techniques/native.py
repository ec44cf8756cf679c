"""Bare metal: the guest's page tables are the hardware's, a gfn is an hfn.

The yardstick. No VMM, no exits: each hook does what the processor does.
"""

from __future__ import annotations

from mmulab.mmu.hardware import core as hardware
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.techniques.technique import Technique

TECHNIQUE = Technique(
    name="native",
    summary="bare metal: the guest OS's own page tables, walked in one dimension",
    virtual=False,
    host_pages=False,
    guest_pcid=True,
)


@kernel
def store(machine, table, index, entry):
    guest_tables.store_entry(machine, table, index, entry)


@kernel
def invlpg(machine, gva):
    hardware.invlpg(machine.core, gva)


@kernel
def load_cr3(machine, process, keep):
    target = machine.vm.process[process]
    hardware.load_cr3(machine.core, target.cr3, target.asid, keep)
