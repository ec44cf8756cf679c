"""Which of the guest's tables are nested, how they come to be, and how they turn back."""

from __future__ import annotations

from typing import Any

from mmulab.mmu.hardware import instructions
from mmulab.mmu.hardware.walks.agile import FULL, GLOBAL, SWITCHED
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
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
from mmulab.mmu.memory.p2m import hfn_of, is_backed
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.memory.watermarks import frames_at_hand
from mmulab.mmu.techniques.agile.state import (
    REBUILT,
    SCANNED,
    TO_NESTED,
    TO_SHADOW,
    state_of,
)
from mmulab.mmu.techniques.shadow import hooks as shadow
from mmulab.mmu.techniques.shadow import pages
from mmulab.mmu.trace import LOAD

# --- The list --------------------------------------------------------------------------


@kernel
def enlist(machine, gfn, level, gva, process):
    """A gPT page is nested from now on. Returns its entry of the list."""
    state = state_of(machine)
    at = state.agile[0].listed
    if state.place[gfn]:
        at = state.place[gfn] - 1
    else:
        state.agile[0].listed += 1
        state.place[gfn] = at + 1
    table = state.table[at]
    table.gfn = gfn
    table.level = level
    table.gva = gva
    table.process = process
    table.full = 0
    return table


@kernel
def strike(machine, gfn):
    """Takes a gPT page off the list, where it stands there; the last one takes its place."""
    state = state_of(machine)
    at = state.place[gfn] - 1
    if at < 0:
        return
    state.agile[0].listed -= 1
    last = state.table[state.agile[0].listed]
    state.table[at] = last
    state.place[last.gfn] = at + 1
    state.place[gfn] = 0


@kernel
def is_nested(machine, gfn, level):
    """Whether a walk that comes to a gPT page in shadow mode goes on in nested mode."""
    state = state_of(machine)
    return state.place[gfn] != 0 or level <= state.agile[0].lowest


def make_visit_below(visit: Any) -> Any:
    """A kernel that goes through the gPT pages below one, parents first, but for the kernel half
    below a root. visit(machine, gfn, level, gva, process) -> whether to go on below it."""

    @kernel
    def visit_below(machine, gfn, top, gva, process):
        step = state_of(machine).step
        level = top
        step[level].table = gfn
        step[level].index = 0
        step[level].gva = gva
        while level <= top:
            here = step[level]
            end = ENTRIES // 2 if level == machine.vm.record[0].levels else ENTRIES
            if level == 1 or here.index == end:
                level += 1
                continue
            index = here.index
            here.index += 1
            entry = guest_tables.load_entry(machine, here.table, index)
            if not entry & P or entry & PS:
                continue
            start = here.gva + (index << level_shift(level))
            if visit(machine, frame_of(entry), level - 1, start, process):
                level -= 1
                step[level].table = frame_of(entry)
                step[level].index = 0
                step[level].gva = start

    return visit_below


# --- The register with the root ----------------------------------------------------------


@kernel
def load_root(machine, process, keep):
    """The register gets the root that a process's walks begin at. Returns a status."""
    state = state_of(machine)
    target = machine.vm.process[process]
    regs = machine.vcpu.regs[0]
    regs.guest_cr3 = target.cr3 if state.record[0].walker_dirty else NIL
    if state.place[target.cr3] == 0:
        status = shadow.make_root(machine, process)
        if status != OK:
            return status
        root = state.page[state.root[process]].hfn
    elif state.table[state.place[target.cr3] - 1].full:
        root = target.cr3 | FULL | (0 if state.agile[0].adaptive else GLOBAL)
    else:
        root = hfn_of(machine, target.cr3) | SWITCHED
    return instructions.load_cr3(machine, root, target.asid, keep)


@kernel
def forget_root(machine, cr3):
    """The hardware's cache of roots drops one."""
    cache = state_of(machine).root_cache
    for at in range(state_of(machine).agile[0].roots):
        if cache[at].cr3 == cr3 + 1:
            cache[at].cr3 = 0


@kernel
def root_changed(machine, process, cr3):
    """A root is another's now: shadow's or guest's. Returns a status."""
    forget_root(machine, cr3)
    if machine.vm.record[0].current == process:
        return load_root(machine, process, 1)
    return OK


@kernel
def is_known(machine, cr3):
    """Whether the hardware's cache knows a root; it does from now on, in the place of the one
    longest not loaded."""
    state = state_of(machine)
    record = state.agile[0]
    record.turn += 1
    oldest = 0
    for at in range(record.roots):
        if state.root_cache[at].cr3 == cr3 + 1:
            state.root_cache[at].used = record.turn
            return True
        if state.root_cache[at].used < state.root_cache[oldest].used:
            oldest = at
    if record.roots:
        state.root_cache[oldest].cr3 = cr3 + 1
        state.root_cache[oldest].used = record.turn
    return False


# --- To nested mode ----------------------------------------------------------------------


@kernel
def _forget(machine, gfn, level, gva, process):
    """What lies below a nested table has no shadow, and needs not be listed."""
    strike(machine, gfn)
    page = state_of(machine).shadowed[gfn]
    if page:
        pages.unshadow(machine, page)
    return True


_forget_below = make_visit_below(_forget)


@kernel
def to_nested(machine, gfn):
    """A shadowed gPT page and all below it turn to nested mode. Returns a status."""
    state = state_of(machine)
    page = state.shadowed[gfn]
    shadow_page = state.page[page]
    level, gva, process = shadow_page.level, shadow_page.gva, shadow_page.process
    parent = shadow_page.parent
    machine.vcpu.own[TO_NESTED] += 1
    _forget_below(machine, gfn, level, gva, process)
    rights = 0
    if parent != NIL and process != NIL:
        rights = memory.load(machine.host.memory, parent) & (RW | US | XD)
    pages.unshadow(machine, page)
    enlist(machine, gfn, level, gva, process)
    if level == machine.vm.record[0].levels:
        return root_changed(machine, process, gfn)
    if parent != NIL and process != NIL:
        entry = (hfn_of(machine, gfn) << 12) | rights | SWITCH | P | A
        memory.store(machine.host.memory, parent, entry)
    return OK


@kernel
def is_switched(machine, process, gva):
    """Whether a walk for gva by what the VMM has built so far goes over to nested mode."""
    state = state_of(machine)
    if state.place[machine.vm.process[process].cr3]:
        return True
    page = state.root[process]
    while page:
        shadow_page = state.page[page]
        hpa = (shadow_page.hfn << 12) | (index_of(gva, shadow_page.level) << 3)
        entry = memory.load(machine.host.memory, hpa)
        if entry & P and entry & SWITCH and shadow_page.level > 1:
            return True
        page = pages.child_of(machine, page, index_of(gva, shadow_page.level))
    return False


@kernel
def first_nested(machine, process, gva):
    """Level of the first nested table on the guest's path to gva, below its root; 0: none."""
    table = machine.vm.process[process].cr3
    level = machine.vm.record[0].levels
    while level > 1:
        entry = guest_tables.load_entry(machine, table, index_of(gva, level))
        if not entry & P or entry & PS:
            return 0
        table = frame_of(entry)
        level -= 1
        if is_nested(machine, table, level):
            return level
    return 0


@kernel
def link_switch(machine, process, gva, level):
    """Builds the shadow down to a switch to the guest's table of a level. Returns a status."""
    status, page, entry, _ = shadow.descend(machine, process, gva, level + 1)
    if status == OK:
        hfn = hfn_of(machine, frame_of(entry))
        pages.link_switch(machine, page, index_of(gva, level + 1), hfn, entry & (RW | US | XD))
    return status


# --- And back ----------------------------------------------------------------------------


@kernel
def _is_dirty(machine, gfn):
    """Whether the host's D bit of a gPT page is set."""
    machine.vcpu.own[SCANNED] += 1
    state = state_of(machine)
    return state.dirty[gfn] == state.agile[0].epoch


@kernel
def _rebuild(machine, gfn, level, gva, process):
    """Shadows what a table has in use, so that no hidden fault comes for each. As far as there
    are frames; what is left comes as usual."""
    if process == NIL:
        return
    for index in range(ENTRIES):
        entry = guest_tables.load_entry(machine, gfn, index)
        if not entry & P or not entry & A or (level > 1 and not entry & PS):
            continue
        if not is_backed(machine, frame_of(entry)):
            continue
        if frames_at_hand(machine, 0) != OK:
            return
        start = gva + (index << level_shift(level))
        if shadow.fill(machine, process, start, LOAD) != OK:
            return
        machine.vcpu.own[REBUILT] += 1


@kernel
def _turn_back(machine, gfn, level, gva, process):
    """Below a table that turned back: a dirty one stays as it is, with all below it. Where there
    is no frame for the way to it, a hidden fault builds it."""
    if is_nested(machine, gfn, level) or _is_dirty(machine, gfn):
        enlist(machine, gfn, level, gva, process)
        if process != NIL and frames_at_hand(machine, 0) == OK:
            link_switch(machine, process, gva, level)
        return False
    machine.vcpu.own[TO_SHADOW] += 1
    _rebuild(machine, gfn, level, gva, process)
    return True


_turn_back_below = make_visit_below(_turn_back)


@kernel
def to_shadow(machine):
    """The end of an interval: nested tables that were not written in it turn back, parents first.
    Returns a status."""
    state = state_of(machine)
    record = state.agile[0]
    status = OK
    turned = False
    for at in range(record.listed - 1, -1, -1):
        table = state.table[at]
        gfn, level, gva, process = table.gfn, table.level, table.gva, table.process
        if _is_dirty(machine, gfn):
            continue
        strike(machine, gfn)
        machine.vcpu.own[TO_SHADOW] += 1
        turned = True
        if level == machine.vm.record[0].levels:
            status = root_changed(machine, process, gfn)
            if status == OK:
                status = shadow.make_root(machine, process)
        if status != OK:
            break
        _rebuild(machine, gfn, level, gva, process)
        _turn_back_below(machine, gfn, level, gva, process)
    record.epoch += 1
    if turned:
        instructions.flush_vpid(machine)
    return status
