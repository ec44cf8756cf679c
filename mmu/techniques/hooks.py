"""The seam: what software must do for a technique, and when.

    start           the machine starts
    stop            the machine is switched off: its tables go back
    touch           the guest kernel overwrites a guest page
    read            the guest kernel reads a guest page
    store           the guest kernel writes a gPTE
    table_freed     the guest kernel frees a gPT page
    invlpg          the guest kernel executes INVLPG
    load_cr3        the guest kernel loads CR3
    fault           the core stopped: #PF or EPT violation
    drop_mapping    the host page behind a gfn is about to change (a p2m change): nothing
                    may lead to it any more; the VMM flushes once, before the VM runs
    is_mapped       whether the guest has reached a page since it was last dropped
    was_accessed    whether it was used since last asked: test and clear

Each returns a status unless it cannot fail. A branch a technique, and nothing else.
"""

from __future__ import annotations

from mmulab.mmu.hardware.state import NESTED, SHADOW
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.status import EPT_VIOLATION, OK, PAGE_FAULT
from mmulab.mmu.techniques import native, nested
from mmulab.mmu.techniques.shadow import technique as shadow


@kernel
def start(machine):
    if machine.vm.record[0].technique == NESTED:
        return nested.start(machine)
    return OK


@kernel
def stop(machine):
    technique = machine.vm.record[0].technique
    if technique == NESTED:
        nested.stop(machine)
    elif technique == SHADOW:
        shadow.stop(machine)


@kernel
def touch(machine, gfn):
    technique = machine.vm.record[0].technique
    if technique == NESTED:
        return nested.touch(machine, gfn)
    if technique == SHADOW:
        return shadow.touch(machine, gfn)
    return OK


@kernel
def read(machine, gfn):
    technique = machine.vm.record[0].technique
    if technique == NESTED:
        return nested.read(machine, gfn)
    if technique == SHADOW:
        return shadow.read(machine, gfn)
    return OK


@kernel
def store(machine, table, index, entry):
    technique = machine.vm.record[0].technique
    machine.core.stats[0].pte_writes += 1
    if technique == NESTED:
        return nested.store(machine, table, index, entry)
    if technique == SHADOW:
        return shadow.store(machine, table, index, entry)
    native.store(machine, table, index, entry)
    return OK


@kernel
def table_freed(machine, gfn):
    if machine.vm.record[0].technique == SHADOW:
        shadow.table_freed(machine, gfn)


@kernel
def invlpg(machine, gva):
    machine.core.stats[0].invlpgs += 1
    if machine.vm.record[0].technique == SHADOW:
        return shadow.invlpg(machine, gva)
    native.invlpg(machine, gva)
    return OK


@kernel
def load_cr3(machine, process, keep):
    """keep: bit 63 of the new CR3, translations of its PCID stay valid."""
    technique = machine.vm.record[0].technique
    machine.core.stats[0].cr3_loads += 1
    if technique == SHADOW:
        return shadow.load_cr3(machine, process)
    if technique == NESTED:
        nested.load_cr3(machine, process, keep)
    else:
        native.load_cr3(machine, process, keep)
    return OK


@kernel
def fault(machine, status, gva, kind, user):
    """Mends what the VMM can: OK, PAGE_FAULT where it is the guest's, or another status."""
    if status == EPT_VIOLATION:
        return nested.fault(machine, kind)
    if machine.vm.record[0].technique == SHADOW:
        return shadow.fault(machine, machine.vm.record[0].current, gva, kind, user)
    return PAGE_FAULT


@kernel
def drop_mapping(machine, gfn):
    technique = machine.vm.record[0].technique
    if technique == NESTED:
        nested.drop_mapping(machine, gfn)
    elif technique == SHADOW:
        shadow.drop_mapping(machine, gfn)


@kernel
def is_mapped(machine, gfn):
    if machine.vm.record[0].technique == NESTED:
        return nested.is_mapped(machine, gfn)
    return shadow.is_mapped(machine, gfn)


@kernel
def was_accessed(machine, gfn):
    if machine.vm.record[0].technique == NESTED:
        return nested.was_accessed(machine, gfn)
    return shadow.was_accessed(machine, gfn)
