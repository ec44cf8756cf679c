"""The emulator's slow path, and what instructions of the guest do to its TLB."""

from __future__ import annotations

from mmulab.mmu.hardware import instructions
from mmulab.mmu.hardware.caches import make_room, reference
from mmulab.mmu.hardware.lines import LINE_SHIFT, of_table
from mmulab.mmu.hardware.rights import denies, narrow
from mmulab.mmu.hardware.walks.sites import STEP
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory.entries import (
    GUEST_SIZE_SHIFT,
    INDEX_BITS,
    PAGE_BYTES,
    PAGE_SHIFT,
    PS,
    RW,
    US,
    XD,
    A,
    D,
    P,
    frame_at,
    frame_of,
    index_of,
    level_shift,
    pages_in,
)
from mmulab.mmu.memory.p2m import hfn_of, host_size_of, is_backed, is_merged
from mmulab.mmu.memory.status import EPT_VIOLATION, NIL, OK, PAGE_FAULT
from mmulab.mmu.techniques.softmmu import tlb
from mmulab.mmu.techniques.softmmu.state import (
    CR3_LOAD,
    EXCEPTION,
    HOST_FAULT,
    INVLPG,
    MODES,
    TLB_FILL,
    state_of,
)
from mmulab.mmu.techniques.unshare import provide, unshare
from mmulab.mmu.trace import STORE
from mmulab.mmu.vmm.calls import back, overwrite
from mmulab.mmu.vmm.exits import trap

# --- Memory ---------------------------------------------------------------------------


@kernel
def start(machine):
    """Empty TLBs, and the frame that says where they lie: tlb_init()."""
    status, hfn = tlb.open_frames(machine, 0)
    if status != OK:
        return status
    state_of(machine).record[0].control = hfn
    machine.vcpu.regs[0].root = hfn
    now = tlb.tell_time(machine)
    for mode in range(MODES):
        state_of(machine).mode[mode].begin = now
        status = tlb.make_table(machine, mode, tlb.DEFAULT_ENTRIES)
        if status != OK:
            return status
        tlb.wipe(machine, mode)
    return OK


@kernel
def stop(machine):
    """The emulator ends."""
    for mode in range(MODES):
        tlb.close_table(machine, mode)
    if state_of(machine).record[0].control != NIL:
        tlb.close_frames(machine, state_of(machine).record[0].control, 0)
        state_of(machine).record[0].control = NIL
    return OK


@kernel
def touch(machine, gfn):
    """The guest kernel overwrites a page: the emulator's process faults where the host has
    given it none of its own yet."""
    if is_backed(machine, gfn) and not is_merged(machine, gfn):
        return OK
    trap(machine, HOST_FAULT)
    unshare(machine, gfn)
    return overwrite(machine, gfn, False)


@kernel
def read(machine, gfn):
    if is_backed(machine, gfn):
        return OK
    trap(machine, HOST_FAULT)
    return back(machine, gfn)


@kernel
def _provide(machine, gfn, kind):
    """A host frame for a page that the program uses: the emulator's process faults where there
    is none that it may use so."""
    if is_backed(machine, gfn) and not (kind == STORE and is_merged(machine, gfn)):
        return OK
    trap(machine, HOST_FAULT)
    return provide(machine, gfn, kind)


# --- The slow path --------------------------------------------------------------------


@kernel
def _walk(machine, process, gva, kind, user):
    """The guest's table, read by software: (status, leaf, its rights by all of the path, level).
    Sets A and D as the processor would have."""
    core, vcpu = machine.core, machine.vcpu
    make_room(core, vcpu)
    table = machine.vm.process[process].cr3
    level = machine.vm.record[0].levels
    rights = RW | US
    while True:
        index = index_of(gva, level)
        entry = guest_tables.load_entry(machine, table, index)
        hpa = guest_tables.entry_address(machine, table, index)
        number = gva >> (PAGE_SHIFT + INDEX_BITS * (level - 1))
        line = of_table(vcpu, False, level, number >> (LINE_SHIFT - 3))  # eight bytes an entry
        reference(core, vcpu, hpa, entry, level * STEP, line)
        if not entry & P:
            return PAGE_FAULT, entry, rights, level
        rights = narrow(rights, entry)
        if level == 1 or entry & PS:
            break
        if not entry & A:
            guest_tables.store_entry(machine, table, index, entry | A)
        table = frame_of(entry)
        level -= 1
    if denies(rights, kind, user):
        return PAGE_FAULT, entry, rights, level
    used = entry | A | (D if kind == STORE else 0)
    if used != entry:
        guest_tables.store_entry(machine, table, index, used)
    return OK, used, rights, level


@kernel
def _fill(machine, gva, kind, user):
    """tlb_fill(): the walk, and the entry. Returns a status."""
    process = machine.vm.record[0].current
    status, entry, rights, level = _walk(machine, process, gva, kind, user)
    if status != OK:
        trap(machine, EXCEPTION)
        machine.vcpu.regs[0].fault_gva = gva
        return status
    gfn = frame_at(entry, gva, level)
    status = _provide(machine, gfn, kind)
    if status != OK:
        return status
    if is_merged(machine, gfn):
        rights &= ~RW
    leaf = (hfn_of(machine, gfn) << PAGE_SHIFT) | rights | P | A | entry & D
    leaf |= (level - 1) << GUEST_SIZE_SHIFT
    state_of(machine).mapped[gfn] = 1
    machine.vcpu.stats[0].splintered += int(level > 1)
    # Until D is set a store must come by here (QEMU, target/i386/tcg/system/excp_helper.c).
    writable = rights & RW and entry & D
    page = gva & ~(PAGE_BYTES - 1)
    tlb.set_page(machine, int(user), page, level_shift(level), leaf, writable, not rights & XD)
    return OK


@kernel
def fault(machine, status, gva, kind, user):
    """The entry does not serve the access: it is looked for in the victim TLB, else filled."""
    if status != EPT_VIOLATION:
        return status
    page = gva & ~(PAGE_BYTES - 1)
    if tlb.victim_hit(machine, int(user), page, kind):
        return OK
    trap(machine, TLB_FILL)
    return _fill(machine, gva, kind, user)


# --- Instructions ---------------------------------------------------------------------


@kernel
def invlpg(machine, gva):
    """tlb_flush_page(), of every mode."""
    trap(machine, INVLPG)
    for mode in range(MODES):
        status = tlb.flush_page(machine, mode, gva & ~(PAGE_BYTES - 1))
        if status != OK:
            return status
    return instructions.invlpg(machine, gva)


@kernel
def load_cr3(machine, process, keep):
    """cpu_x86_update_cr3(): everything goes, since entries have no ASID."""
    trap(machine, CR3_LOAD)
    status = tlb.flush(machine)
    if status != OK:
        return status
    return instructions.load_cr3(machine, machine.vm.process[process].cr3, 0, 0)


# --- The host's questions -------------------------------------------------------------


@kernel
def drop_mapping(machine, gfn):
    """The host page behind gfn is about to change. The caller flushes."""
    state = state_of(machine)
    count = pages_in(host_size_of(machine, gfn))
    first = gfn & ~(count - 1)
    for other in range(first, first + count):
        if state.mapped[other]:
            tlb.drop_frame(machine, hfn_of(machine, other))
            state.mapped[other] = 0
    return OK


@kernel
def is_mapped(machine, gfn):
    """True where the guest has reached the page since it was last dropped."""
    return int(state_of(machine).mapped[gfn])


@kernel
def was_accessed(machine, gfn):
    """Whether the page was used since this was last asked, any part of the host's page. The
    entry goes, and its return tells, as under EPT without A bits."""
    state = state_of(machine)
    count = pages_in(host_size_of(machine, gfn))
    first = gfn & ~(count - 1)
    used = 0
    for other in range(first, first + count):
        used |= int(state.mapped[other])
    drop_mapping(machine, gfn)
    return used
