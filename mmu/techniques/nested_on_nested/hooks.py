"""What L1 and L0 do, and when, by mode: with EPT as `ept` has it; else as shadow paging or PVM, of
which L1's tables lie in L1's memory, which EPT01 maps."""

from __future__ import annotations

from mmulab.mmu.hardware import instructions
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.entries import PS, P, frame_of, index_of
from mmulab.mmu.memory.p2m import hfn_of
from mmulab.mmu.memory.status import EPT_VIOLATION, OK
from mmulab.mmu.memory.tables import load
from mmulab.mmu.techniques import nested, pvm
from mmulab.mmu.techniques.nested_on_nested import ept
from mmulab.mmu.techniques.nested_on_nested.state import (
    EPT,
    PVM,
    charge,
    of_l1,
    record_of,
)
from mmulab.mmu.techniques.pvm import state_of
from mmulab.mmu.techniques.shadow import hooks as shadow

_nested_accessed = nested.HOOKS["was_accessed"]


@kernel
def start(machine):
    """Makes the roots of EPT01 and, with EPT, of EPT12 and EPT02. Returns a status."""
    record = record_of(machine)
    status, record.ept01 = nested.new_table(machine)
    root = record.ept01
    if status == OK and record.mode == EPT:
        status, record.ept12 = nested.new_table(machine)
        if status == OK:
            status, root = nested.new_table(machine)
    machine.vcpu.regs[0].root = root
    return status


@kernel
def stop(machine):
    """Frees every table."""
    shadow.stop(machine)
    return nested.stop(machine)


@kernel
def cover(machine, process, gva):
    """What a walk of the shadow table for gva will read, and the page, are L1's memory: EPT01 has
    them. Returns a status."""
    page = state_of(machine).root[process]
    if not page:
        return OK
    frame = state_of(machine).page[page].hfn
    level = machine.vm.record[0].levels
    while True:
        status = ept.take(machine, frame)
        if status != OK or level == 0:
            return status
        entry = load(machine.host.memory, (frame << 12) | (index_of(gva, level) << 3))
        if not entry & P:
            return OK
        frame = frame_of(entry)
        level = 0 if entry & PS else level - 1


@kernel
def _have(machine, gfn):
    """The page that backs a gfn is L1's memory."""
    return ept.take(machine, hfn_of(machine, gfn))


@kernel
def touch(machine, gfn):
    if record_of(machine).mode == EPT:
        return ept.touch(machine, gfn)
    before = of_l1(machine)
    status = shadow.touch(machine, gfn)
    charge(machine, before)
    return status if status != OK else _have(machine, gfn)


@kernel
def read(machine, gfn):
    if record_of(machine).mode == EPT:
        return ept.read(machine, gfn)
    before = of_l1(machine)
    status = shadow.read(machine, gfn)
    charge(machine, before)
    return status if status != OK else _have(machine, gfn)


@kernel
def new_root(machine, process, cr3):
    return shadow.new_root(machine, process, cr3)


@kernel
def store(machine, table, index, entry):
    if record_of(machine).mode == EPT:
        return ept.store(machine, table, index, entry)
    before = of_l1(machine)
    status = shadow.store(machine, table, index, entry)
    charge(machine, before)
    return status


@kernel
def table_freed(machine, gfn):
    before = of_l1(machine)
    status = shadow.table_freed(machine, gfn)
    charge(machine, before)
    return status


@kernel
def invlpg(machine, gva):
    mode = record_of(machine).mode
    if mode == EPT:
        return instructions.invlpg(machine, gva)
    before = of_l1(machine)
    status = pvm.invlpg(machine, gva) if mode == PVM else shadow.invlpg(machine, gva)
    charge(machine, before)
    process = machine.vm.record[0].current
    return status if status != OK else cover(machine, process, gva)


@kernel
def load_cr3(machine, process, keep):
    mode = record_of(machine).mode
    if mode == EPT:
        target = machine.vm.process[process]
        return instructions.load_cr3(machine, target.cr3, target.asid, keep)
    before = of_l1(machine)
    if mode == PVM:
        status = pvm.load_cr3(machine, process, keep)
    else:
        status = shadow.load_cr3(machine, process, keep)
    charge(machine, before)
    if status != OK:
        return status
    return ept.take(machine, state_of(machine).page[state_of(machine).root[process]].hfn)


@kernel
def fault(machine, status, gva, kind, user):
    mode = record_of(machine).mode
    if mode == EPT:
        return ept.fault(machine, status, kind)
    if status == EPT_VIOLATION:
        return ept.take(machine, machine.vcpu.regs[0].fault_gpa >> 12)
    before = of_l1(machine)
    if mode == PVM:
        status = pvm.fault(machine, status, gva, kind, user)
    else:
        status = shadow.fault(machine, status, gva, kind, user)
    charge(machine, before)
    if status != OK:
        return status
    return cover(machine, machine.vm.record[0].current, gva)


@kernel
def kernel_enter(machine):
    return pvm.kernel_enter(machine) if record_of(machine).mode == PVM else OK


@kernel
def kernel_leave(machine):
    if record_of(machine).mode != PVM:
        return OK
    before = of_l1(machine)
    gva = state_of(machine).pvm[0].gva
    status = pvm.kernel_leave(machine)
    if of_l1(machine) == before:
        return status
    charge(machine, before)
    return status if status != OK else cover(machine, machine.vm.record[0].current, gva)


@kernel
def drop_mapping(machine, gfn):
    if record_of(machine).mode == EPT:
        return ept.drop_mapping(machine, gfn)
    return shadow.drop_mapping(machine, gfn)


@kernel
def is_mapped(machine, gfn):
    if record_of(machine).mode == EPT:
        return nested.is_mapped(machine, gfn)
    return shadow.is_mapped(machine, gfn)


@kernel
def was_accessed(machine, gfn):
    if record_of(machine).mode == EPT:
        return _nested_accessed(machine, gfn)
    return shadow.was_accessed(machine, gfn)
