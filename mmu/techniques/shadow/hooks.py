"""Shadow paging: the VMM keeps sPTs, the composition of gPT and p2m, for the hardware.

Modelled on Linux KVM's shadow MMU (Documentation/virt/kvm/x86/mmu.rst). gPT pages
with a shadow are write-protected. What a guest write to one does is a policy:

    trap     each write exits; it is emulated and the sPTE dropped
    unsync   the first write to a leaf table exits and gives write access back; its
             shadow is brought up to date at INVLPG (one entry) and CR3 load (all of
             the process's). Writes to upper tables exit always; a table written
             three times without being used in between is unshadowed.

Simplified against KVM, on purpose: a shadow page has one role; a top-level page is
never unshadowed by writes; a freed gPT page is unshadowed at once, charged with the
three exits after which KVM would notice; PCIDs are hidden from the guest, so that
each CR3 load flushes the TLB; sPTEs are never global.

The pages themselves are in `shadow_pages`.
"""

from __future__ import annotations

from mmulab.mmu.hardware import instructions
from mmulab.mmu.hardware.rights import denies, narrow
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames, guest_tables
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import (
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
    pages_in,
)
from mmulab.mmu.memory.p2m import hfn_of, host_size_of, is_backed, is_merged
from mmulab.mmu.memory.status import NIL, OK, PAGE_FAULT
from mmulab.mmu.techniques.shadow import pages, reverse_map
from mmulab.mmu.techniques.shadow.state import SHADOW_FILLS, SYNCED_ENTRIES, state_of
from mmulab.mmu.techniques.unshare import is_read_only, own_table, provide, unshare
from mmulab.mmu.trace import STORE
from mmulab.mmu.vmm import dirty_log
from mmulab.mmu.vmm.calls import back, overwrite
from mmulab.mmu.vmm.exits import vm_exit

#: Index of each exit reason.
BACKING, SHADOW_FILL, REFLECTED, PTE_WRITE, INVLPG, CR3_LOAD = range(6)

# Linux KVM, arch/x86/kvm/mmu/mmu.c, detect_write_flooding(): unshadow at the third.
FLOOD = 3


@kernel
def touch(machine, gfn):
    """The guest kernel overwrites a page: an exit where it has no host frame of its own yet."""
    own = is_backed(machine, gfn) and not is_merged(machine, gfn)
    if own and not dirty_log.is_protected(machine, gfn):
        return OK
    vm_exit(machine, SHADOW_FILL if own else BACKING)
    dirty_log.note(machine, gfn)
    unshare(machine, gfn)
    return overwrite(machine, gfn, False)


@kernel
def read(machine, gfn):
    """The guest kernel reads a page: an exit where no host frame backs it."""
    if is_backed(machine, gfn):
        return OK
    vm_exit(machine, BACKING)
    return back(machine, gfn)


@kernel
def stop(machine):
    """Frees every sPT page."""
    state = state_of(machine)
    for page in range(1, state.record[0].pages_used):
        if state.page[page].level:
            memory.close_table(machine.host.memory, state.page[page].hfn)
            frames.release(machine.host.frames, state.page[page].hfn)
            state.page[page].level = 0
    machine.vm.record[0].host_tables = 0
    return OK


@kernel
def new_root(machine, process, cr3):
    """The process that had this place before is gone, and its shadow with it."""
    state_of(machine).root[process] = 0
    return OK


@kernel
def allowed(machine, process, gva, kind, user):
    """True where the gPT maps gva and permits the access: the fault is the VMM's."""
    table = machine.vm.process[process].cr3
    level = machine.vm.record[0].levels
    rights = RW | US
    while True:
        entry = guest_tables.load_entry(machine, table, index_of(gva, level))
        if not entry & P:
            return False
        rights = narrow(rights, entry)
        if level == 1 or entry & PS:
            break
        table = frame_of(entry)
        level -= 1
    return not denies(rights, kind, user)


@kernel
def _write_entry(machine, table, index, entry):
    """The VMM writes a gPTE, to set its A or D bit. Returns a status."""
    status = own_table(machine, table)
    if status == OK:
        dirty_log.note(machine, table)
        guest_tables.store_entry(machine, table, index, entry)
    return status


@kernel
def descend(machine, process, gva, lowest):
    """Builds the sPT down to the guest's leaf, or to a level: (status, shadow page, gPTE, its
    table).

    Sets A in each gPTE on the way, as the processor would have.
    """
    page = state_of(machine).root[process]
    table = machine.vm.process[process].cr3
    while True:
        shadow = state_of(machine).page[page]
        shadow.floods = 0
        index = index_of(gva, shadow.level)
        entry = guest_tables.load_entry(machine, table, index)
        if not entry & A:
            entry |= A
            status = _write_entry(machine, table, index, entry)
            if status != OK:
                return status, page, entry, table
        if shadow.level == lowest or entry & PS:
            return OK, page, entry, table
        child = state_of(machine).shadowed[frame_of(entry)]
        if child and state_of(machine).page[child].level != shadow.level - 1:
            pages.unshadow(machine, child)
            child = 0
        if not child:
            status, child = pages.create(
                machine, frame_of(entry), shadow.level - 1, False, gva, shadow.process
            )
            if status != OK:
                return status, page, entry, table
        pages.link(machine, page, index, child, entry & (RW | US | XD))
        table = frame_of(entry)
        page = child


@kernel
def compose(machine, entry, level, gva):
    """The sPTE for the part of a guest leaf that contains gva: (sPTE, its level).

    As large as the host's page allows. Writable only where the gPTE is dirty already,
    so that the first store exits and D can be set, unless the walker does, and where it maps
    neither a shadowed gPT page nor a merged page.
    """
    gfn = frame_at(entry, gva, level)
    size = min(level - 1, host_size_of(machine, gfn))
    first = gfn & ~(pages_in(size) - 1)
    spte = (hfn_of(machine, first) << 12) | (entry & (US | XD)) | P | A
    walker_dirty = state_of(machine).record[0].walker_dirty
    if walker_dirty:
        spte |= entry & D
    if entry & RW and (entry & D or walker_dirty) and not is_read_only(machine, first):
        if not pages.any_shadowed(machine, first, pages_in(size)):
            spte |= RW
    return spte | (PS if size else 0), size + 1


@kernel
def fill(machine, process, gva, kind):
    """Hidden fault: builds the sPT for gva. Returns a status."""
    machine.vcpu.own[SHADOW_FILLS] += 1
    status, page, entry, table = descend(machine, process, gva, 1)
    if status != OK:
        return status
    level = state_of(machine).page[page].level
    gfn = frame_at(entry, gva, level)
    status = provide(machine, gfn, kind)
    if status != OK:
        return status
    if kind == STORE:
        dirty_log.note(machine, gfn)
        status = _write_entry(machine, table, index_of(gva, level), entry | D)
        if status != OK:
            return status
        entry |= D
        # A store to a page that holds a shadowed gPT: it is data now.
        size = min(level - 1, host_size_of(machine, gfn))
        pages.unshadow_range(machine, gfn & ~(pages_in(size) - 1), pages_in(size))
    spte, target = compose(machine, entry, level, gva)
    while level > target:
        index = index_of(gva, level)
        child = pages.child_of(machine, page, index)
        if not child:
            status, child = pages.create(
                machine, gfn, level - 1, True, gva, state_of(machine).page[page].process
            )
            if status != OK:
                return status
            pages.link(machine, page, index, child, RW | US)
        page = child
        level -= 1
    first = gfn & ~(pages_in(target - 1) - 1)
    return pages.set_leaf(machine, page, index_of(gva, level), spte, first)


@kernel
def fault(machine, status, gva, kind, user):
    """Every #PF exits. OK: it was hidden and is mended; PAGE_FAULT: it is the guest's."""
    process = machine.vm.record[0].current
    if not allowed(machine, process, gva, kind, user):
        vm_exit(machine, REFLECTED)
        return PAGE_FAULT
    vm_exit(machine, SHADOW_FILL)
    return fill(machine, process, gva, kind)


@kernel
def store(machine, table, index, entry):
    """The guest writes a gPTE."""
    state = state_of(machine)
    page = state.shadowed[table]
    if not page or state.page[page].unsync:
        if is_read_only(machine, table):
            vm_exit(machine, PTE_WRITE)
        return _write_entry(machine, table, index, entry)
    vm_exit(machine, PTE_WRITE)
    return emulate_store(machine, page, table, index, entry)


@kernel
def emulate_store(machine, page, table, index, entry):
    """A write to a gPTE that the VMM does for the guest: its shadow, in a page, follows."""
    state = state_of(machine)
    status = _write_entry(machine, table, index, entry)
    if status != OK:
        return status
    shadow = state.page[page]
    if shadow.level == 1:
        if state.record[0].unsync:
            pages.mark_unsync(machine, page)
            return OK
    elif shadow.level < machine.vm.record[0].levels:
        shadow.floods += 1
        if shadow.floods >= FLOOD:
            pages.unshadow(machine, page)
            return OK
    pages.drop_entry(machine, page, index)
    return OK


@kernel
def table_freed(machine, gfn):
    """The guest gave a gPT page back to its allocator."""
    page = state_of(machine).shadowed[gfn]
    if page:
        if not state_of(machine).page[page].unsync:
            for _ in range(FLOOD):
                vm_exit(machine, PTE_WRITE)
        pages.unshadow(machine, page)
    return OK


@kernel
def _up_to_date(machine, gpte, spte, level, gva):
    """True where an sPTE still is what its gPTE says, or grants less."""
    if not gpte & P or not gpte & A:
        return False
    fresh, _ = compose(machine, gpte, level, gva)
    return (
        frame_of(fresh) == frame_of(spte)
        and not spte & ~fresh & (RW | US)
        and not ((fresh ^ spte) & XD)
    )


@kernel
def _sync_entry(machine, page, index):
    """Drops an sPTE of a leaf table that is no longer what the gPTE says."""
    shadow = state_of(machine).page[page]
    hpa = (shadow.hfn << 12) | (index << 3)
    spte = memory.load(machine.host.memory, hpa)
    if not spte & P:
        return
    machine.vcpu.own[SYNCED_ENTRIES] += 1
    gpte = guest_tables.load_entry(machine, shadow.gfn, index)
    backed = gpte & P and hfn_of(machine, frame_of(gpte)) != NIL
    gva = shadow.gva + (index << 12)
    if not backed or not _up_to_date(machine, gpte, spte, 1, gva):
        pages.drop_entry(machine, page, index)


@kernel
def sync_process(machine, process):
    """Synchronises every unsync page below a process's root, and of the kernel half."""
    state = state_of(machine)
    page = state.record[0].first_unsync
    while page:
        following = state.page[page].next_unsync
        owner = state.page[page].process
        if owner == process or owner == NIL:
            for index in range(512):
                _sync_entry(machine, page, index)
            pages.clear_unsync(machine, page)
        page = following


@kernel
def invlpg(machine, gva):
    """Exits. An unsync entry is brought up to date and, if the guest maps it, refilled."""
    vm_exit(machine, INVLPG)
    process = machine.vm.record[0].current
    page = pages.leaf_page(machine, state_of(machine).root[process], gva)
    if page and state_of(machine).page[page].unsync:
        index = index_of(gva, 1)
        _sync_entry(machine, page, index)
        gpte = guest_tables.load_entry(machine, state_of(machine).page[page].gfn, index)
        if gpte & P and gpte & A and hfn_of(machine, frame_of(gpte)) != NIL:
            spte, _ = compose(machine, gpte, 1, gva)
            status = pages.set_leaf(machine, page, index, spte, frame_of(gpte))
            if status != OK:
                return status
    instructions.invlpg(machine, gva)
    return OK


@kernel
def make_root(machine, process):
    """The top-level shadow page of a process: found or made. Returns a status."""
    state = state_of(machine)
    if not state.root[process]:
        cr3, levels = machine.vm.process[process].cr3, machine.vm.record[0].levels
        status, page = pages.create(machine, cr3, levels, False, 0, process)
        if status != OK:
            return status
        state.root[process] = page
    return OK


@kernel
def load_cr3(machine, process, keep):
    """Exits. Finds or makes the root, and synchronises what it reaches."""
    vm_exit(machine, CR3_LOAD)
    status = make_root(machine, process)
    if status != OK:
        return status
    sync_process(machine, process)
    state = state_of(machine)
    frame = state.page[state.root[process]].hfn
    instructions.load_cr3(machine, frame, 0, 0)
    return OK


@kernel
def drop_mapping(machine, gfn):
    """The host page behind gfn is about to change: the sPTEs that map it are found by
    reverse map. The caller flushes."""
    count = pages_in(host_size_of(machine, gfn))
    first = gfn & ~(count - 1)
    for other in range(first, first + count):
        reverse_map.drop_mappings(machine, other)
    return OK


@kernel
def protect(machine, gfn):
    """Nothing maps the page writable any more. The caller flushes."""
    reverse_map.write_protect(machine, gfn)
    return OK


@kernel
def is_mapped(machine, gfn):
    """True where the guest has reached the page since it was last dropped."""
    return int(reverse_map.is_mapped(machine, gfn))


@kernel
def was_accessed(machine, gfn):
    """Whether the host page was used since this was last asked: the A bits of its sPTEs."""
    count = pages_in(host_size_of(machine, gfn))
    first = gfn & ~(count - 1)
    used = False
    for other in range(first, first + count):
        used |= reverse_map.clear_accessed(machine, other)
    return int(used)
