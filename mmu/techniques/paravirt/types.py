"""Page types (Xen, xen/arch/x86/mm.c, its first comment): what a frame is used as, and how often.

A frame is a page table of one level, or mapped writable, or neither; never two of these. It can
change only while its count is 0. The first use as a page table validates it: each of its
entries is a use of what it maps. With the last it is devalidated. A pin is one use, too.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory.entries import ENTRIES, PS, RW, P, frame_of, pages_in
from mmulab.mmu.memory.guest_tables import load_entry
from mmulab.mmu.techniques.paravirt.state import NONE, VALIDATED, WRITABLE, state_of


@kernel
def _count(machine, gfn, kind, by):
    """Adds a use of a kind, or takes one away. True where it was the first, or the last."""
    state = state_of(machine)
    state.total[gfn] += by
    if kind == NONE:
        return False
    before = state.type_count[gfn]
    state.type_count[gfn] = before + by
    if before == 0:
        state.type[gfn] = kind
    elif before + by == 0:
        state.type[gfn] = NONE
    return before == 0 or before + by == 0


@kernel
def _is_table(entry, level):
    return level > 1 and not entry & PS


@kernel
def _count_leaf(machine, entry, level, by):
    """The uses that a leaf makes of the frames that it maps."""
    kind = WRITABLE if entry & RW else NONE
    first = frame_of(entry)
    for gfn in range(first, first + pages_in(level - 1)):
        _count(machine, gfn, kind, by)


@kernel
def _push(machine, depth, gfn, level):
    step = state_of(machine).path[depth]
    step.gfn = gfn
    step.level = level
    step.index = 0
    machine.vcpu.own[VALIDATED] += ENTRIES


@kernel
def count_table(machine, gfn, level, by):
    """A use of a frame as a page table: the first validates it and what hangs below it, the
    last takes that back."""
    if not _count(machine, gfn, level, by):
        return
    depth = 0
    _push(machine, depth, gfn, level)
    while depth >= 0:
        step = state_of(machine).path[depth]
        if step.index == ENTRIES:
            depth -= 1
            continue
        entry = load_entry(machine, step.gfn, step.index)
        step.index += 1
        if not entry & P:
            continue
        if not _is_table(entry, step.level):
            _count_leaf(machine, entry, step.level, by)
        elif _count(machine, frame_of(entry), step.level - 1, by):
            depth += 1
            _push(machine, depth, frame_of(entry), step.level - 1)


@kernel
def is_validated(machine, table):
    """True where a gPT page is a page table to Xen."""
    return state_of(machine).type_count[table] > 0


@kernel
def count_entry(machine, table, entry, by):
    """The use that an entry of a validated table makes of what it maps."""
    if not entry & P:
        return
    level = state_of(machine).type[table]
    if _is_table(entry, level):
        count_table(machine, frame_of(entry), level - 1, by)
    else:
        _count_leaf(machine, entry, level, by)


@kernel
def pin(machine, gfn, level):
    """MMUEXT_PIN_Ln_TABLE. Pins do not nest."""
    if not state_of(machine).pinned[gfn]:
        state_of(machine).pinned[gfn] = 1
        count_table(machine, gfn, level, 1)


@kernel
def unpin(machine, gfn):
    """MMUEXT_UNPIN_TABLE."""
    if state_of(machine).pinned[gfn]:
        state_of(machine).pinned[gfn] = 0
        count_table(machine, gfn, state_of(machine).type[gfn], -1)
