"""Looking into page tables without a reference: what tables say where hardware has it otherwise.

A publication's hardware may hold in a register, in a wider entry or at a place of its own what
here stands in a table that its software keeps anyway. Looking there is no reference, asks no walk
cache and marks nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmulab.mmu.hardware.walks.forms import EPT, Form
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import PAGE_SHIFT, frame_at, frame_of, index_of
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.memory.tables import slot_of


@inlined
def stay(vcpu, memory, frame):
    """Where a table of an address space that is not translated further lies."""
    return frame


def make_look(form: Form, place: Any) -> Any:
    """A kernel look(vcpu, memory, address) -> (slot of the leaf, level, rights of its path) in
    tables of a form; where there is none, level 0 and the slot of the entry that ends there. place(
    vcpu, memory, frame) -> hfn of a table, or NIL."""
    root, present, narrow = form.root, form.present, form.narrow
    large, entry_shift, all_rights = form.large, form.entry_shift, form.rights

    @inlined
    def look(vcpu, memory, address):
        frame, level = root(vcpu)
        rights = all_rights
        while True:
            hfn = place(vcpu, memory, frame)
            if hfn == NIL:
                return np.uint64(0), 0, rights
            hpa = (hfn << PAGE_SHIFT) | (index_of(address, level) << entry_shift)
            slot = slot_of(memory, hpa)
            entry = memory.entry[slot]
            if not present(entry):
                return slot, 0, rights
            rights = narrow(rights, entry)
            if level == 1 or entry & large:
                return slot, level, rights
            frame = frame_of(entry)
            level -= 1

    return look


look_nested = make_look(EPT, stay)


@inlined
def frame_behind(vcpu, memory, gfn):
    """hfn of a guest frame by the nested table, NIL where it has none."""
    slot, level, _ = look_nested(vcpu, memory, gfn << PAGE_SHIFT)
    if level == 0:
        return NIL
    return frame_at(memory.entry[slot], gfn << PAGE_SHIFT, level)
