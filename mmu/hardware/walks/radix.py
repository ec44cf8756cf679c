"""The loop over the levels of a radix page table, written once for every form and dimension.

A cold walk of g guest and h nested levels makes (g + 1)(h + 1) - 1 references.
"""

from __future__ import annotations

from typing import Any

from mmulab.mmu.hardware.caches import reference
from mmulab.mmu.hardware.fetch_ahead import NESTED
from mmulab.mmu.hardware.fetch_ahead import remember as remember_leaf_table
from mmulab.mmu.hardware.lines import LINE_SHIFT, of_table
from mmulab.mmu.hardware.state import GUEST_ENTRIES, NESTED_ENTRIES, ROUTE_EPT_PSC
from mmulab.mmu.hardware.walk_caches import (
    find_entry,
    longest_prefix,
    remember,
    remember_entry,
)
from mmulab.mmu.hardware.walks.forms import Form
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import PAGE_SHIFT, frame_of
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.memory.tables import slot_of
from mmulab.mmu.trace import STORE


@inlined
def in_place(core, vcpu, memory, frame, level):
    """A table of an address space that is not translated further lies where it is."""
    return OK, frame


def make_end(form: Form) -> Any:
    """A kernel that ends a walk at its leaf: (status, leaf with the rights of its path, level).
    rights: of the path. slot: of the entry."""
    accessed, dirty = form.accessed, form.dirty
    denies, marks, with_rights, fault = form.denies, form.marks, form.leaf, form.fault

    @inlined
    def end(vcpu, memory, address, slot, entry, rights, level, kind, user):
        if denies(rights, kind, user):
            return fault(vcpu, address, entry, level, kind, user), entry, level
        if marks(vcpu):
            used = entry | accessed | (dirty if kind == STORE else 0)
            if used != entry:
                memory.entry[slot] = entry = used
        return OK, with_rights(entry, rights, level), level

    return end


def _lines_of(form: Form) -> Any:
    """The `line_of` of tables whose entries have the size that their form says."""
    shift = LINE_SHIFT - form.entry_shift

    @inlined
    def line_of(vcpu, level, number):
        return number >> shift

    return line_of


@inlined
def _one_by_one(core, vcpu, hpa, entry, site, line, level):
    reference(core, vcpu, hpa, entry, site, line)


def make_walk(
    form: Form,
    locate: Any,
    step: int,
    hints: int,
    line_of: Any = None,
    refer: Any = _one_by_one,
) -> Any:
    """A kernel that walks tables of a form from their root to a leaf.

    locate(core, vcpu, memory, frame, level) -> (status, hfn): where the table of a level in
    that frame lies. step: of its sites, from one level to the next. hints: first record of
    `fetch_ahead` for leaf tables of this dimension. line_of(vcpu, level, number) -> number of
    the line that entry `number` of a level lies in, both counted from address 0. refer(core, vcpu,
    hpa, entry, site, line, level): notes a reference, as `caches.reference`.

    The kernel is walk(core, vcpu, memory, address, kind, user, site) -> (status, leaf with the
    rights of its path, level); site: number of the site of a reference at level 0, above 0
    where the walk locates a table. Where it
    stops, the leaf is the entry that stopped it. It sets A in each entry used and D in the
    leaf of a store; where it faults nothing, but for the A bits of the entries above (SDM vol.
    3A, 4.8). It is compiled into where it is called: a call costs as much as looking into a
    cache.
    """
    page_shift, index_bits, entry_shift = form.page_shift, form.index_bits, form.entry_shift
    mask, root_mask = (1 << form.index_bits) - 1, (1 << form.root_bits) - 1
    large, accessed = form.large, form.accessed
    all_rights, path_rights, caches = form.rights, form.path, form.cache
    line_of, nested = line_of or _lines_of(form), hints == NESTED
    root, present, reserved, narrow = form.root, form.present, form.reserved, form.narrow
    marks, fault, end = form.marks, form.fault, make_end(form)
    dimension = NESTED_ENTRIES if form.cache == ROUTE_EPT_PSC else GUEST_ENTRIES

    @inlined
    def walk(core, vcpu, memory, address, kind, user, site):
        frame, level = root(vcpu)
        top = level
        rights = all_rights
        asks = not (nested and site == 0 and core.record[0].final_uncached)
        cached, data = NIL, 0
        if asks:
            cached, data = longest_prefix(core, vcpu, caches, address, level)
        if cached > 0:
            level = cached - 1
            rights = data & path_rights
            frame = frame_of(data)
        else:
            if frame == NIL:  # no table: nothing is mapped
                return fault(vcpu, address, 0, level, kind, user), 0, level
            status, frame = locate(core, vcpu, memory, frame, level)
            if status != OK:
                return status, 0, level
        while True:
            number = address >> (page_shift + index_bits * (level - 1))
            index = number & root_mask if root_mask != mask and level == top else number & mask
            hpa = (frame << PAGE_SHIFT) + (index << entry_shift)
            slot = slot_of(memory, hpa)
            entry = memory.entry[slot]
            found = find_entry(core, vcpu, dimension, hpa)
            if not found:
                line = of_table(vcpu, nested, level, line_of(vcpu, level, number))
                refer(core, vcpu, hpa, entry, site + level * step, line, level)
            if not present(entry) or reserved(entry, level):
                return fault(vcpu, address, entry, level, kind, user), entry, level
            rights = narrow(rights, entry)
            last = level == 1 or entry & large
            if not found and (site > 0 or not last):
                remember_entry(core, dimension, hpa)
            if last:
                break
            if not entry & accessed and marks(vcpu):
                memory.entry[slot] = entry | accessed
            status, frame = locate(core, vcpu, memory, frame_of(entry), level - 1)
            if status != OK:
                return status, 0, level
            if asks:
                remember(core, vcpu, caches, address, level, (frame << PAGE_SHIFT) | rights)
            level -= 1
            if level == 1:
                remember_leaf_table(core, memory, hints, address, frame)
        return end(vcpu, memory, address, slot, entry, rights, level, kind, user)

    return walk
