"""The loop over the levels of a radix page table, written once for every form and dimension.

A cold walk of g guest and h nested levels makes (g + 1)(h + 1) - 1 references.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
from mmulab.mmu.memory.status import NIL, OK, PML_FULL
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
    logs = form.logs

    @inlined
    def end(vcpu, memory, address, slot, entry, rights, level, kind, user):
        if denies(rights, kind, user):
            return fault(vcpu, address, entry, level, kind, user), entry, level
        if marks(vcpu):
            used = entry | accessed | (dirty if kind == STORE else 0)
            if used != entry:
                if (used ^ entry) & dirty and not logs(vcpu, address):
                    return PML_FULL, entry, level
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


class Stores(NamedTuple):
    """Whether a walker may set bits in a table, where the nested table decides.

    keeps(vcpu): whether walk caches may have the table that was located last. admit(core, vcpu,
    memory, table, level) -> status, before the walker writes to it; table: its frame, as the entry
    above has it.
    """

    keeps: Any
    admit: Any


@inlined
def _always(vcpu):
    return True


@inlined
def _every(vcpu, entry):
    return True


def _checked_end(form: Form, stores: Stores | None) -> Any:
    """`make_end`'s kernel, and before it, where it will write, `Stores.admit`."""
    end = make_end(form)
    if stores is None:

        @inlined
        def unasked(core, vcpu, memory, table, address, slot, entry, rights, level, kind, user):
            return end(vcpu, memory, address, slot, entry, rights, level, kind, user)

        return unasked
    denies, marks, admit = form.denies, form.marks, stores.admit
    accessed, dirty = form.accessed, form.dirty

    @inlined
    def asked(core, vcpu, memory, table, address, slot, entry, rights, level, kind, user):
        used = entry | accessed | (dirty if kind == STORE else 0)
        if used != entry and marks(vcpu) and not denies(rights, kind, user):
            status = admit(core, vcpu, memory, table, level)
            if status != OK:
                return status, 0, level
        return end(vcpu, memory, address, slot, entry, rights, level, kind, user)

    return asked


@inlined
def _one_by_one(core, vcpu, hpa, entry, site, line, level):
    reference(core, vcpu, hpa, entry, site, line)


def make_walk(
    form: Form,
    locate: Any,
    step: int,
    hints: int,
    line_of: Any = None,
    stores: Stores | None = None,
    refer: Any = _one_by_one,
    usable: Any = _every,
) -> Any:
    """A kernel that walks tables of a form from their root to a leaf.

    locate(core, vcpu, memory, frame, level) -> (status, hfn): where the table of a level in
    that frame lies. step: of its sites, from one level to the next. hints: first record of
    `fetch_ahead` for leaf tables of this dimension. line_of(vcpu, level, number) -> number of
    the line that entry `number` of a level lies in, both counted from address 0. stores: None
    where a walker may write to what it may read. refer(core, vcpu, hpa, entry, site, line, level):
    notes a reference, as `caches.reference`. usable(vcpu, entry): whether a present entry is gone
    on from.

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
    large, above, beyond = form.large, form.above, form.beyond
    all_rights, path_rights, caches = form.rights, form.path, form.cache
    line_of, nested = line_of or _lines_of(form), hints == NESTED
    root, present, reserved, narrow = form.root, form.present, form.reserved, form.narrow
    marks, fault, end = form.marks, form.fault, _checked_end(form, stores)
    keeps = stores.keeps if stores else _always
    dimension = NESTED_ENTRIES if form.cache == ROUTE_EPT_PSC else GUEST_ENTRIES

    @inlined
    def walk(core, vcpu, memory, address, kind, user, site):
        frame, level = root(vcpu)
        top = level
        table = frame
        rights = all_rights
        if beyond(vcpu, address):
            return fault(vcpu, address, 0, level, kind, user), 0, level
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
            if not present(entry) or reserved(entry, level) or not usable(vcpu, entry):
                return fault(vcpu, address, entry, level, kind, user), entry, level
            rights = narrow(rights, entry)
            last = level == 1 or entry & large
            if last and nested:
                core.record[0].nested_leaf = slot
                core.record[0].nested_level = level
            elif last:
                core.record[0].guest_leaf = slot
            if not found and (site > 0 or not last):
                remember_entry(core, dimension, hpa)
            if last:
                break
            if entry & above != above and marks(vcpu):
                memory.entry[slot] = entry | above
            table = frame_of(entry)
            status, frame = locate(core, vcpu, memory, table, level - 1)
            if status != OK:
                return status, 0, level
            if asks and keeps(vcpu):
                remember(core, vcpu, caches, address, level, (frame << PAGE_SHIFT) | rights)
            level -= 1
            if level == 1:
                remember_leaf_table(core, memory, hints, address, frame)
        return end(core, vcpu, memory, table, address, slot, entry, rights, level, kind, user)

    return walk
