"""Xen PV from the guest kernel's side: each hook is what Linux does there (arch/x86/xen/mmu_pv.c).

What is queued in lazy MMU mode is carried out at once here, and counted when the buffer goes:
nobody looks in between, since the guest's own reads see what it wrote, and its user does not run.
"""

from __future__ import annotations

from mmulab.mmu.hardware import instructions
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory.entries import ENTRIES, PAGE_BYTES, PAGE_SHIFT, PS, P, frame_of, level_shift
from mmulab.mmu.memory.p2m import hfn_of
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.techniques.paravirt import memory, multicalls, types
from mmulab.mmu.techniques.paravirt.multicalls import (
    EXTENDED,
    EXTENDED_BYTES,
    UPDATE,
    UPDATE_BYTES,
    VA_MAPPING,
)
from mmulab.mmu.techniques.paravirt.state import (
    BY_VA,
    CR3_LOAD,
    EMULATED,
    EMULATED_WRITE,
    FLUSH,
    FLUSHED_INSIDE,
    IRET,
    KERNEL_ENTRY,
    MMU_UPDATE,
    TABLE,
    UPDATE_VA_MAPPING,
    VALIDATED,
    state_of,
)
from mmulab.mmu.vmm.exits import trap

PAGE_MASK = PAGE_BYTES - 1

start = memory.start
touch = memory.touch
read = memory.touch


# --- Tables -----------------------------------------------------------------------


@kernel
def _announce(machine, gfn, level):
    """A gPT page is read-only from now on; of the lowest level it is pinned, too (Linux,
    xen_pin_page(), xen_alloc_ptpage())."""
    state_of(machine).known[gfn] = 1
    multicalls.add(machine, VA_MAPPING, 0, TABLE)
    if level == 1:
        multicalls.extend(machine, EXTENDED, EXTENDED_BYTES, TABLE)
        types.pin(machine, gfn, level)


@kernel
def _retire(machine, gfn, level):
    """A gPT page is an ordinary page again (xen_unpin_page(), xen_release_ptpage())."""
    if level == 1:
        multicalls.extend(machine, EXTENDED, EXTENDED_BYTES, TABLE)
        types.unpin(machine, gfn)
    multicalls.add(machine, VA_MAPPING, 0, TABLE)
    state_of(machine).known[gfn] = 0


@kernel
def _push(machine, depth, gfn, level):
    step = state_of(machine).walk[depth]
    step.gfn = gfn
    step.level = level
    step.index = 0


@kernel
def _each_table(machine, root, pinning):
    """Announces, or retires, the tables of a process from the bottom up. Those of the kernel
    half are every process's: they stay known."""
    state = state_of(machine)
    depth = 0
    _push(machine, depth, root, machine.vm.record[0].levels)
    while depth >= 0:
        step = state.walk[depth]
        if step.level == 1 or step.index == ENTRIES:
            if pinning:
                _announce(machine, step.gfn, step.level)
            else:
                _retire(machine, step.gfn, step.level)
            depth -= 1
            continue
        entry = guest_tables.load_entry(machine, step.gfn, step.index)
        step.index += 1
        if entry & P and not entry & PS:
            child = frame_of(entry)
            if state.known[child] != pinning and state.gva[child] >= 0:
                depth += 1
                _push(machine, depth, child, step.level - 1)


@kernel
def table_allocated(machine, gfn, level, gva):
    """A table of a process that runs is known to Xen before it is linked; those of one that is
    being made become so together."""
    state = state_of(machine)
    state.level[gfn] = level
    state.gva[gfn] = gva
    if not state.record[0].making and level < machine.vm.record[0].levels:
        _announce(machine, gfn, level)
        multicalls.issue(machine)
    return OK


@kernel
def table_freed(machine, gfn):
    if state_of(machine).known[gfn]:
        _retire(machine, gfn, state_of(machine).level[gfn])
        multicalls.issue(machine)
    return OK


@kernel
def new_root(machine, process, cr3):
    state_of(machine).record[0].making = 1
    return OK


@kernel
def pin(machine, process, cr3):
    """All tables of a process, and at last its root (__xen_pgd_pin())."""
    state_of(machine).record[0].making = 0
    _each_table(machine, cr3, 1)
    multicalls.extend(machine, EXTENDED, EXTENDED_BYTES, TABLE)
    types.pin(machine, cr3, machine.vm.record[0].levels)
    multicalls.flush(machine)
    return OK


@kernel
def mapping_removed(machine, process, start, end):
    """A process ends: its tables are ordinary memory before they are emptied
    (xen_exit_mmap())."""
    cr3 = machine.vm.process[process].cr3
    whole = end == 1 << (level_shift(machine.vm.record[0].levels + 1) - 1)
    if start == 0 and whole and process != machine.vm.record[0].current:
        multicalls.extend(machine, EXTENDED, EXTENDED_BYTES, TABLE)
        types.unpin(machine, cr3)
        _each_table(machine, cr3, 0)
        multicalls.flush(machine)
    return OK


# --- Writes -----------------------------------------------------------------------


@kernel
def _is_plain(machine, table, entry):
    """Whether a write needs nobody's leave: to a table that is not known. For a leaf Linux does
    not ask (__xen_set_pte()), but to clear it (native_local_ptep_get_and_clear())."""
    state = state_of(machine)
    if state.known[table]:
        return False
    return state.level[table] > 1 or not entry & P or state.record[0].writes == EMULATED


@kernel
def _is_of_running(machine, table, gva):
    """True where a leaf table maps gva for the process that runs."""
    cr3 = machine.vm.process[machine.vm.record[0].current].cr3
    return state_of(machine).known[cr3] and guest_tables.lookup(machine, cr3, gva)[2] == table


@kernel
def _ask(machine, table, index):
    """Counts how a write is made that Xen carries out."""
    state = state_of(machine)
    record = state.record[0]
    if state.level[table] == 1:
        gva = state.gva[table] + (index << PAGE_SHIFT)
        if record.writes == EMULATED:
            trap(machine, EMULATED_WRITE)
            return
        if record.writes == BY_VA and not record.lazy and _is_of_running(machine, table, gva):
            trap(machine, UPDATE_VA_MAPPING)
            instructions.invlpg(machine, gva)
            record.flushed = gva
            return
    multicalls.extend(machine, UPDATE, UPDATE_BYTES, MMU_UPDATE)
    multicalls.issue(machine)


@kernel
def store(machine, table, index, entry):
    """The guest writes a gPTE. Xen checks it: what it maps is in use from now on, what it
    mapped no longer."""
    state = state_of(machine)
    state.record[0].flushed = NIL
    if entry & P:
        status = memory.touch(machine, frame_of(entry))
        if status == OK and entry & PS:
            status = memory.make_contiguous(machine, frame_of(entry), state.level[table] - 1)
        if status != OK:
            return status
    if not _is_plain(machine, table, entry):
        _ask(machine, table, index)
    old = guest_tables.load_entry(machine, table, index)
    guest_tables.store_entry(machine, table, index, entry)
    if types.is_validated(machine, table):
        machine.vcpu.own[VALIDATED] += 1
        types.count_entry(machine, table, entry, 1)
        types.count_entry(machine, table, old, -1)
    return OK


@kernel
def batch_begin(machine):
    state_of(machine).record[0].lazy = 1
    return OK


@kernel
def batch_end(machine):
    state_of(machine).record[0].lazy = 0
    multicalls.flush(machine)
    return OK


# --- Flushes, the kernel, the VMM's questions ---------------------------------------


@kernel
def invlpg(machine, gva):
    """MMUEXT_INVLPG_LOCAL, unless the write has flushed the page already."""
    if state_of(machine).record[0].flushed == gva & ~PAGE_MASK:
        machine.vcpu.own[FLUSHED_INSIDE] += 1
        return OK
    multicalls.add(machine, EXTENDED, EXTENDED_BYTES, FLUSH)
    multicalls.issue(machine)
    return instructions.invlpg(machine, gva)


@kernel
def flush_range(machine, process, start, end, cores):
    """MMUEXT_TLB_FLUSH_LOCAL."""
    multicalls.add(machine, EXTENDED, EXTENDED_BYTES, FLUSH)
    multicalls.issue(machine)
    return instructions.flush_context(machine)


@kernel
def load_cr3(machine, process, keep):
    """MMUEXT_NEW_BASEPTR and MMUEXT_NEW_USER_BASEPTR, in one hypercall."""
    cr3 = machine.vm.process[process].cr3
    if not state_of(machine).known[cr3]:
        pin(machine, process, cr3)
    multicalls.extend(machine, EXTENDED, EXTENDED_BYTES, CR3_LOAD)
    multicalls.extend(machine, EXTENDED, EXTENDED_BYTES, CR3_LOAD)
    multicalls.flush(machine)
    return instructions.load_cr3(machine, hfn_of(machine, cr3), 0, 0)


@kernel
def kernel_enter(machine):
    """A system call or fault goes to Xen, which passes it on."""
    trap(machine, KERNEL_ENTRY)
    return OK


@kernel
def kernel_leave(machine):
    trap(machine, IRET)
    return OK


@kernel
def is_mapped(machine, gfn):
    """True where the guest's tables lead to the page, as Xen's counts tell."""
    return int(state_of(machine).total[gfn] > 0)
