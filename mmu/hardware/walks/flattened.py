"""Walks of flattened tables: pairs of levels merged into one table of 2 MiB with an 18-bit index.

Levels 4 and 3, and 2 and 1, are merged where the software found 2 MiB for the node; the 512 tables
of the lower level then lie side by side in it, so that one reference, at `node + index`, reads an
entry of the lower level. The entry above, or CR3, tells the walker that a table is merged.

Here the upper table of such a pair still exists, as its software's directory. It lies at a place
that says where the node is: frame `directory_start + b`, set aside for it, is the directory of the
node in the block of 2 MiB number b. Looking into it is no reference: it stands for what the node
has. On bare metal a segment stands for the host's dimension (`backed`).
A large page is an entry in the directory, which stands for the 512 copies in the node: the
walker reads the line of a copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmulab.mmu.hardware.caches import reference
from mmulab.mmu.hardware.fetch_ahead import GUEST, NESTED, fetch_linear, fetch_nested
from mmulab.mmu.hardware.fetch_ahead import remember as remember_leaf_table
from mmulab.mmu.hardware.lines import LINE_SHIFT, of_table
from mmulab.mmu.hardware.walk_caches import longest_prefix, remember
from mmulab.mmu.hardware.walks.backed import make_host_walk, make_locate_backed, place_of
from mmulab.mmu.hardware.walks.forms import EPT, X86, Form
from mmulab.mmu.hardware.walks.looks import stay
from mmulab.mmu.hardware.walks.radix import in_place, make_end
from mmulab.mmu.hardware.walks.segments import LINEAR, PHYSICAL
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.two_dimensional import make_translate
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import (
    INDEX_BITS,
    PAGE_SHIFT,
    frame_of,
    index_of,
)
from mmulab.mmu.memory.status import EPT_VIOLATION, NIL, OK
from mmulab.mmu.memory.tables import slot_of

ENTRY_SHIFT = 3  # eight bytes an entry
MERGED = 1 << 11  # in the data of a walk cache: the frame is a directory's, not translated


@inlined
def is_directory(vcpu, which, frame, level):
    """True where the table of a level in a frame is the upper one of a merged pair. which: LINEAR
    or PHYSICAL."""
    regs = vcpu.regs[0]
    inside = regs.directory_start[which] <= frame and frame < regs.directory_end[which]
    return inside and level & 1 == 0


@inlined
def node_of(vcpu, which, directory):
    """First frame of the node of a directory."""
    return (directory - vcpu.regs[0].directory_start[which]) << INDEX_BITS


@inlined
def _peek(vcpu, memory, gfn):
    """Where a guest's directory lies, without a reference: NIL where the nested table has no such
    frame."""
    hfn = place_of(vcpu, memory, gfn)
    if hfn == NIL:
        vcpu.regs[0].fault_gpa = gfn << PAGE_SHIFT
    return hfn


def make_flattened_walk(
    form: Form, locate: Any, peek: Any, which: int, step: int, hints: int
) -> Any:
    """`radix.make_walk` for tables with merged pairs of levels. peek(vcpu, memory, frame) -> hfn
    of a directory, NIL for an EPT violation. which: LINEAR or PHYSICAL."""
    large, accessed = form.large, form.accessed
    all_rights, path_rights, caches = form.rights, form.path, form.cache
    root, present, reserved, narrow = form.root, form.present, form.reserved, form.narrow
    marks, fault, end = form.marks, form.fault, make_end(form)

    @inlined
    def reach(core, vcpu, memory, frame, level):
        """(status, frame, flag) of the next table: where it lies, or a directory as it is."""
        if is_directory(vcpu, which, frame, level):
            return OK, frame, MERGED
        status, hfn = locate(core, vcpu, memory, frame, level)
        return status, hfn, 0

    @inlined
    def begin(core, vcpu, memory, address, kind, user, asks):
        """(status, frame, flag, level, rights) of the first table that the walk reads."""
        frame, level = root(vcpu)
        cached, data = NIL, 0
        if asks:
            cached, data = longest_prefix(core, vcpu, caches, address, level)
        if cached > 0:
            return OK, frame_of(data), data & MERGED, cached - 1, data & path_rights
        if frame == NIL:
            return fault(vcpu, address, 0, level, kind, user), frame, 0, level, all_rights
        status, frame, flag = reach(core, vcpu, memory, frame, level)
        return status, frame, flag, level, all_rights

    @inlined
    def enter(core, vcpu, memory, directory, address, level):
        """Of a merged pair: (status, hfn of the lower table, slot of the entry above, that entry,
        1 where a copy of it is what the node holds)."""
        table = peek(vcpu, memory, directory)
        if table == NIL:
            return EPT_VIOLATION, NIL, np.uint64(0), 0, 0
        index = index_of(address, level)
        slot = slot_of(memory, (table << PAGE_SHIFT) | (index << 3))
        entry = memory.entry[slot]
        copied = int(not present(entry) or entry & large != 0)
        below = node_of(vcpu, which, directory) + index if copied else frame_of(entry)
        status, hfn = locate(core, vcpu, memory, below, level - 1)
        return status, hfn, slot, entry, copied

    @inlined
    def walk(core, vcpu, memory, address, kind, user, site):
        asks = not (which == PHYSICAL and site == 0 and core.record[0].final_uncached)
        status, frame, flag, level, rights = begin(core, vcpu, memory, address, kind, user, asks)
        if status != OK:
            return status, 0, level
        while True:
            copied, slot, entry = 0, np.uint64(0), 0
            read = level  # of the line that is read
            if flag:
                status, frame, slot, entry, copied = enter(
                    core, vcpu, memory, frame, address, level
                )
                if status != OK:
                    return status, 0, level
                read = level - 1
                if not copied:
                    rights = narrow(rights, entry)
                    level = read
            hpa = (frame << PAGE_SHIFT) | (index_of(address, read) << 3)
            if not copied:
                slot = slot_of(memory, hpa)
                entry = memory.entry[slot]
            number = address >> (PAGE_SHIFT + INDEX_BITS * (read - 1))
            line = of_table(vcpu, which == PHYSICAL, read, number >> (LINE_SHIFT - ENTRY_SHIFT))
            reference(core, vcpu, hpa, entry, site + read * step, line)
            if not present(entry) or reserved(entry, level):
                return fault(vcpu, address, entry, level, kind, user), entry, level
            rights = narrow(rights, entry)
            if level == 1 or entry & large:
                break
            if not entry & accessed and marks(vcpu):
                memory.entry[slot] = entry | accessed
            status, frame, flag = reach(core, vcpu, memory, frame_of(entry), level - 1)
            if status != OK:
                return status, 0, level
            data = (frame << PAGE_SHIFT) | rights | flag
            if asks:
                remember(core, vcpu, caches, address, level, data)
            level -= 1
        if level == 1:
            remember_leaf_table(core, memory, hints, address, frame)
        return end(vcpu, memory, address, slot, entry, rights, level, kind, user)

    return walk


_nested_walk = make_flattened_walk(EPT, in_place, stay, PHYSICAL, 1, NESTED)
_locate = make_locate_backed(_nested_walk)
_guest_walk = make_flattened_walk(X86, _locate, _peek, LINEAR, STEP, GUEST)
translate = make_translate(_guest_walk, make_host_walk(_nested_walk))


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)
    fetch_nested(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
