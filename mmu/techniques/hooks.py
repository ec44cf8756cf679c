"""The seam: what software must do for a technique, and when.

    start           the machine starts
    touch           the guest kernel writes to a guest page
    store           the guest kernel writes a gPTE
    table_freed     the guest kernel frees a gPT page
    invlpg          the guest kernel executes INVLPG
    load_cr3        the guest kernel loads CR3
    fault           the core stopped: #PF or EPT violation
    drop_backing    the VMM takes a host page away from the guest (a p2m change)

Each returns a status unless it cannot fail. A branch a technique, and nothing else.
"""

from __future__ import annotations

from mmu.jit import kernel
from mmu.state import EPT_VIOLATION, NESTED, OK, PAGE_FAULT, SHADOW
from mmu.techniques import native, nested, shadow


@kernel
def start(machine):
    if machine.vm.record[0].technique == NESTED:
        return nested.start(machine)
    return OK


@kernel
def touch(machine, gfn):
    technique = machine.vm.record[0].technique
    if technique == NESTED:
        return nested.touch(machine, gfn)
    if technique == SHADOW:
        return shadow.touch(machine, gfn)
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
        return nested.fault(machine)
    if machine.vm.record[0].technique == SHADOW:
        return shadow.fault(machine, machine.vm.record[0].current, gva, kind, user)
    return PAGE_FAULT


@kernel
def drop_backing(machine, gfn):
    technique = machine.vm.record[0].technique
    if technique == NESTED:
        nested.drop_backing(machine, gfn)
    elif technique == SHADOW:
        shadow.drop_backing(machine, gfn)
