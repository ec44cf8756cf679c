"""What the VMM of agile paging does, and when.

Its host table is complete: what is backed for a shadow's sake is mapped there, too. Shadow tables
are in step with the guest's at all times (`policy=trap` of shadow paging), so that INVLPG needs
no exit.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import EPT_R, EPT_W, frame_at
from mmulab.mmu.memory.status import EPT_VIOLATION, OK, PAGE_FAULT
from mmulab.mmu.memory.watermarks import frames_at_hand
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.agile import tables
from mmulab.mmu.techniques.agile.state import state_of
from mmulab.mmu.techniques.shadow import hooks as shadow
from mmulab.mmu.techniques.shadow import pages
from mmulab.mmu.trace import STORE
from mmulab.mmu.vmm.exits import vm_exit

#: Index of each exit reason. The first four are those of shadow paging.
EPT_VIOLATIONS, SHADOW_FILL, REFLECTED, PTE_WRITE, CR3_LOAD, INTERVAL = range(6)

WRITES = 2  # to a table in an interval, after which it is nested

_nested_touch, _nested_fault = nested.HOOKS["touch"], nested.HOOKS["fault"]
_nested_drop, _nested_accessed = nested.HOOKS["drop_mapping"], nested.HOOKS["was_accessed"]


@kernel
def start(machine):
    """Makes the host table's root, which walks in nested mode use."""
    status, hfn = nested.new_table(machine)
    if status == OK:
        machine.vcpu.regs[0].root = hfn
    return status


@kernel
def stop(machine):
    """Frees the shadow's tables and the host table."""
    shadow.stop(machine)
    return nested.stop(machine)


# --- The guest's tables ------------------------------------------------------------------


@kernel
def new_root(machine, process, cr3):
    """The process that had this place before is gone, and its shadow with it."""
    state = state_of(machine)
    state.root[process] = 0
    levels = machine.vm.record[0].levels
    if state.agile[0].full or state.agile[0].lowest >= levels:
        table = tables.enlist(machine, cr3, levels, 0, process)
        table.full = state.agile[0].full
    return OK


@kernel
def store(machine, table, index, entry):
    """The guest writes a gPTE: an exit where its table is shadowed."""
    state = state_of(machine)
    page = state.shadowed[table]
    epoch = state.agile[0].epoch
    if not page:
        state.dirty[table] = epoch
        guest_tables.store_entry(machine, table, index, entry)
        return _nested_touch(machine, table)
    vm_exit(machine, PTE_WRITE)
    guest_tables.store_entry(machine, table, index, entry)
    if state.agile[0].adaptive and state.trapped[table] == epoch:
        state.dirty[table] = epoch
        return tables.to_nested(machine, table)
    state.trapped[table] = epoch
    pages.drop_entry(machine, page, index)
    return OK


@kernel
def table_freed(machine, gfn):
    """The guest gave a gPT page back to its allocator. The VMM hears of it by the writes of its
    next user, which turn it to nested mode; they are charged here."""
    state = state_of(machine)
    page = state.shadowed[gfn]
    if page:
        for _ in range(WRITES):
            vm_exit(machine, PTE_WRITE)
        pages.unshadow(machine, page)
    tables.strike(machine, gfn)
    tables.forget_root(machine, gfn)
    state.trapped[gfn] = 0
    state.dirty[gfn] = 0
    return OK


@kernel
def load_cr3(machine, process, keep):
    """Exits, unless the hardware knows the root, or the VMM lets every process be nested."""
    state = state_of(machine)
    cr3 = machine.vm.process[process].cr3
    always = state.agile[0].full and not state.agile[0].adaptive
    if not always and not tables.is_known(machine, cr3):
        vm_exit(machine, CR3_LOAD)
    return tables.load_root(machine, process, keep)


# --- Faults --------------------------------------------------------------------------------


@kernel
def _map_below(machine, process, gva, kind):
    """What the shadow maps now, the host table maps, too. Returns a status."""
    entry, level, _ = guest_tables.lookup(machine, machine.vm.process[process].cr3, gva)
    gfn = frame_at(entry, gva, level)
    hpa, _ = nested.leaf_address(machine, gfn)
    need = EPT_W if kind == STORE else EPT_R
    if memory.load(machine.host.memory, hpa) & need:
        return OK
    return nested.map_page(machine, gfn)


@kernel
def fault(machine, status, gva, kind, user):
    """An EPT violation, of a walk in nested mode, is mended as under nested paging, and its page
    faults are the guest's, without an exit; those in shadow mode exit."""
    if status == EPT_VIOLATION:
        return _nested_fault(machine, status, gva, kind, user)
    process = machine.vm.record[0].current
    if tables.is_switched(machine, process, gva):
        return status
    if not shadow.allowed(machine, process, gva, kind, user):
        vm_exit(machine, REFLECTED)
        return PAGE_FAULT
    vm_exit(machine, SHADOW_FILL)
    level = tables.first_nested(machine, process, gva)
    if level:
        return tables.link_switch(machine, process, gva, level)
    status = shadow.fill(machine, process, gva, kind)
    return status if status != OK else _map_below(machine, process, gva, kind)


# --- The host's pages ------------------------------------------------------------------------


@kernel
def drop_mapping(machine, gfn):
    """The host page behind gfn is about to change. The caller flushes."""
    shadow.drop_mapping(machine, gfn)
    return _nested_drop(machine, gfn)


@kernel
def is_mapped(machine, gfn):
    """1 where the guest has reached the page since it was last dropped."""
    return shadow.is_mapped(machine, gfn) | nested.is_mapped(machine, gfn)


@kernel
def was_accessed(machine, gfn):
    """Whether the host page was used since this was last asked, by either table."""
    by_shadow = shadow.was_accessed(machine, gfn)
    return by_shadow | _nested_accessed(machine, gfn)


# --- Time --------------------------------------------------------------------------------------


@kernel
def elapsed(machine, accesses):
    """A timer. At the end of an interval the VMM looks for tables to turn back, once the host has
    frames for what that may need."""
    record = state_of(machine).agile[0]
    record.elapsed += accesses
    if not record.adaptive or record.elapsed < record.interval:
        return OK
    if frames_at_hand(machine, 0) != OK:
        return OK
    record.elapsed = 0
    if record.listed == 0:
        record.epoch += 1
        return OK
    vm_exit(machine, INTERVAL)
    return tables.to_shadow(machine)
