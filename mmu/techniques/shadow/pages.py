"""Shadow pages: their life and their links. What they map is found by `reverse_map`."""

from __future__ import annotations

from mmulab.mmu.hardware import instructions
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import (
    ENTRIES,
    PS,
    RW,
    SWITCH,
    US,
    XD,
    A,
    P,
    frame_of,
    index_of,
    level_shift,
)
from mmulab.mmu.memory.state import SPT_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_HOST_FRAMES, OUT_OF_TABLES
from mmulab.mmu.techniques.shadow import reverse_map
from mmulab.mmu.techniques.shadow.state import UNSHADOWED_PAGES, UNSYNCED_PAGES, state_of
from mmulab.mmu.vmm.exits import flush_others, flush_vm


@kernel
def _address(machine, page, index):
    """HPA of an sPTE."""
    return (state_of(machine).page[page].hfn << 12) | (index << 3)


@inlined
def _slot(page, index):
    """Index into ShadowState.spte_gfn of an sPTE."""
    return page * ENTRIES + index


@kernel
def any_shadowed(machine, gfn, count):
    """True where one of the frames is a gPT page that is write-protected."""
    for other in range(gfn, gfn + count):
        if state_of(machine).shadowed[other]:
            return True
    return False


# --- Life -----------------------------------------------------------------------


@kernel
def create(machine, gfn, level, direct, gva, process):
    """A shadow page with no entries: (status, page).

    gfn: the gPT page that it shadows, or for a direct page the gfn that gva maps to.
    """
    state = state_of(machine)
    record = state.record[0]
    vm = machine.vm.record[0]
    page = record.free_page if record.free_page else record.pages_used
    if page >= state.page.size:
        return OUT_OF_TABLES, 0
    hfn = frames.allocate(machine.host.frames, 0, SPT_PAGE, vm.id, page)
    if hfn == NIL:
        return OUT_OF_HOST_FRAMES, 0
    if not memory.open_table(machine.host.memory, hfn):
        frames.release(machine.host.frames, hfn)
        return OUT_OF_TABLES, 0
    vm.host_tables += 1
    if record.free_page:
        record.free_page = state.page[page].next_free
    else:
        record.pages_used += 1
    span = 1 << level_shift(level + 1)
    shadow = state.page[page]
    shadow.hfn = hfn
    shadow.gfn = gfn & ~((1 << (9 * level)) - 1) if direct else gfn
    shadow.level = level
    shadow.direct = direct
    shadow.unsync = 0
    shadow.floods = 0
    shadow.parent = NIL
    shadow.gva = gva & ~(span - 1)
    # Tables of the kernel half are shared by all processes, their roots are not.
    shadow.process = NIL if gva < 0 and level < vm.levels else process
    if not direct:
        state.shadowed[gfn] = page
        if reverse_map.write_protect(machine, gfn):
            flush_vm(machine)
    return OK, page


@kernel
def link(machine, page, index, child, rights):
    """Points the sPTE at a child table."""
    hpa = _address(machine, page, index)
    entry = (state_of(machine).page[child].hfn << 12) | rights | P | A
    old = memory.load(machine.host.memory, hpa)
    if old | A == entry:
        return
    if old:
        drop_entry(machine, page, index)
    parent = state_of(machine).page[child].parent
    if parent != NIL and parent != hpa and state_of(machine).page[child].process != NIL:
        # The guest moved the table: only one sPTE may point to its shadow.
        memory.store(machine.host.memory, parent, 0)
        flush_vm(machine)
    memory.store(machine.host.memory, hpa, entry)
    state_of(machine).page[child].parent = hpa


@kernel
def link_switch(machine, page, index, hfn, rights):
    """Points the sPTE at the guest's own table, in a host frame."""
    hpa = _address(machine, page, index)
    if memory.load(machine.host.memory, hpa):
        drop_entry(machine, page, index)
    memory.store(machine.host.memory, hpa, (hfn << 12) | rights | SWITCH | P | A)


@kernel
def child_of(machine, page, index):
    """The shadow page that an sPTE points to, 0 where it is not present, a leaf or a switch."""
    entry = memory.load(machine.host.memory, _address(machine, page, index))
    if not entry & P or entry & (PS | SWITCH) or state_of(machine).page[page].level == 1:
        return 0
    return reverse_map.page_of(machine, frame_of(entry))


@kernel
def leaf_page(machine, page, gva):
    """The page of level 1 that shadows the leaf gPT of gva, 0 where there is none."""
    while page and state_of(machine).page[page].level > 1:
        page = child_of(machine, page, index_of(gva, state_of(machine).page[page].level))
    return 0 if page and state_of(machine).page[page].direct else page


@kernel
def set_leaf(machine, page, index, spte, gfn):
    """Writes a leaf sPTE, of a page that begins at gfn, in place of what is there. Returns
    a status."""
    hpa = _address(machine, page, index)
    old = memory.load(machine.host.memory, hpa)
    same = frame_of(old) == frame_of(spte) and state_of(machine).spte_gfn[_slot(page, index)] == gfn
    if old and same and not (old ^ spte) & (RW | US | XD | PS):
        return OK
    if old:
        drop_entry(machine, page, index)
    memory.store(machine.host.memory, hpa, spte)
    state_of(machine).spte_gfn[_slot(page, index)] = gfn
    return reverse_map.add(machine, gfn, hpa)


@kernel
def _free(machine, page):
    state = state_of(machine)
    shadow = state.page[page]
    memory.close_table(machine.host.memory, shadow.hfn)
    frames.release(machine.host.frames, shadow.hfn)
    machine.vm.record[0].host_tables -= 1
    if not shadow.direct:
        state.shadowed[shadow.gfn] = 0
    shadow.level = 0
    shadow.next_free = state.record[0].free_page
    state.record[0].free_page = page


@kernel
def _forget_leaf(machine, page, index):
    hpa = _address(machine, page, index)
    reverse_map.remove(machine, state_of(machine).spte_gfn[_slot(page, index)], hpa)
    memory.store(machine.host.memory, hpa, 0)


@kernel
def _free_direct_leaves(machine, page):
    """Frees a direct page of level 1."""
    for index in range(ENTRIES):
        hpa = _address(machine, page, index)
        entry = memory.load(machine.host.memory, hpa)
        if entry & P:
            _forget_leaf(machine, page, index)
    _free(machine, page)


@kernel
def _free_direct(machine, page):
    if state_of(machine).page[page].level == 1:
        _free_direct_leaves(machine, page)
        return
    for index in range(ENTRIES):
        hpa = _address(machine, page, index)
        entry = memory.load(machine.host.memory, hpa)
        if entry & P and entry & PS:
            _forget_leaf(machine, page, index)
        elif entry & P:
            _free_direct_leaves(machine, reverse_map.page_of(machine, frame_of(entry)))
    _free(machine, page)


@kernel
def _clear(machine, page, index):
    """Empties an sPTE: 0 nothing was there, 1 a leaf, 2 a table."""
    hpa = _address(machine, page, index)
    entry = memory.load(machine.host.memory, hpa)
    if not entry & P:
        return 0
    if state_of(machine).page[page].level == 1 or entry & PS:
        _forget_leaf(machine, page, index)
        return 1
    memory.store(machine.host.memory, hpa, 0)
    if entry & SWITCH:
        return 2
    child = reverse_map.page_of(machine, frame_of(entry))
    if state_of(machine).page[child].direct:
        _free_direct(machine, child)
    elif state_of(machine).page[child].parent == hpa:
        state_of(machine).page[child].parent = NIL
    return 2


@kernel
def drop_entry(machine, page, index):
    """Drops an sPTE, with what hangs below it and what the core remembers of it."""
    shadow = state_of(machine).page[page]
    what = _clear(machine, page, index)
    if what == 1:
        gva = shadow.gva + (index << level_shift(shadow.level))
        vm = machine.vm.record[0]
        if vm.pcid and shadow.process != vm.current:
            flush_vm(machine)  # it may be held under any PCID but this
        else:
            instructions.invlpg(machine, gva)
            if machine.vm.cpu.size > 1:
                flush_others(machine)
    elif what == 2:
        flush_vm(machine)


@kernel
def unshadow(machine, page):
    """Zaps a shadow page: its entries, the sPTE that points to it, and the page itself.

    Tables below it stay, unlinked, and are linked again when they are needed.
    """
    state = state_of(machine)
    shadow = state.page[page]
    machine.vcpu.own[UNSHADOWED_PAGES] += 1
    if shadow.unsync:
        clear_unsync(machine, page)
    for index in range(ENTRIES):
        _clear(machine, page, index)
    if shadow.parent != NIL:
        memory.store(machine.host.memory, shadow.parent, 0)
    if shadow.process == NIL:
        _unlink_from_roots(machine, page)
    elif state.root[shadow.process] == page:
        state.root[shadow.process] = 0
    _free(machine, page)
    flush_vm(machine)


@kernel
def _unlink_from_roots(machine, page):
    """A table of the kernel half hangs below the roots of all processes."""
    state = state_of(machine)
    shadow = state.page[page]
    top = machine.vm.record[0].levels
    if shadow.level != top - 1:
        return
    for process in range(machine.vm.record[0].processes_used):
        root = state.root[process]
        if root:
            hpa = _address(machine, root, index_of(shadow.gva, top))
            if frame_of(memory.load(machine.host.memory, hpa)) == shadow.hfn:
                memory.store(machine.host.memory, hpa, 0)


@kernel
def unshadow_range(machine, gfn, count):
    for other in range(gfn, gfn + count):
        if state_of(machine).shadowed[other]:
            unshadow(machine, state_of(machine).shadowed[other])


# --- Unsync ---------------------------------------------------------------------


@kernel
def mark_unsync(machine, page):
    record = state_of(machine).record[0]
    state_of(machine).page[page].unsync = 1
    state_of(machine).page[page].next_unsync = record.first_unsync
    record.first_unsync = page
    machine.vcpu.own[UNSYNCED_PAGES] += 1


@kernel
def clear_unsync(machine, page):
    """The page is in step with its gPT again, which is write-protected from now on."""
    state = state_of(machine)
    at = state.record[0].first_unsync
    if at == page:
        state.record[0].first_unsync = state.page[page].next_unsync
    else:
        while state.page[at].next_unsync != page:
            at = state.page[at].next_unsync
        state.page[at].next_unsync = state.page[page].next_unsync
    state.page[page].unsync = 0
    state.page[page].next_unsync = 0
