"""Walks by translation entry areas: the last-level tables of a mapping, one after another.

A register says which pages an area maps, of which level its tables are, and where the first lies:
an entry's place is an addition. The guest's area gives the guest's leaf, in one reference; where
the register does not say in which host frame the table is (`REGS.tea_host`), one entry of the
host's area locates it before. The host's area, for all of the guest's memory, gives the host's leaf
of the page: 3 references, or 2. On bare metal a segment stands for the host (`backed`): 1.

The radix tables remain, and point into the areas. Where no register has the page, or its entry is
not there, they are walked as under nested paging. A register is for one page size; where a mapping
has two, both entries are read at once, and the one that is there is counted.
"""

from __future__ import annotations

from mmulab.mmu.hardware.caches import reference
from mmulab.mmu.hardware.fetch_ahead import GUEST, NESTED, fetch_linear, fetch_nested
from mmulab.mmu.hardware.fetch_ahead import remember as remember_leaf_table
from mmulab.mmu.hardware.lines import LINE_SHIFT, of_table
from mmulab.mmu.hardware.state import MAX_TEAS
from mmulab.mmu.hardware.walks.backed import make_host_walk, make_locate_backed, place_of
from mmulab.mmu.hardware.walks.forms import EPT, X86
from mmulab.mmu.hardware.walks.radix import make_end, make_walk
from mmulab.mmu.hardware.walks.segments import PHYSICAL, is_inside, moved
from mmulab.mmu.hardware.walks.sites import RADIX, STEP
from mmulab.mmu.hardware.walks.two_dimensional import combined, make_translate, nested_walk
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import (
    ENTRIES,
    EPT_LARGE,
    EPT_RWX,
    INDEX_BITS,
    PAGE_BYTES,
    PAGE_SHIFT,
    PS,
    P,
    frame_at,
    level_shift,
)
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.memory.tables import slot_of
from mmulab.mmu.trace import LOAD, STORE

_LINE = LINE_SHIFT - 3
_guest_rights, _host_rights = X86.rights, EPT.rights
_guest_narrow, _host_narrow = X86.narrow, EPT.narrow
_guest_end, _host_end = make_end(X86), make_end(EPT)
_host_walk = make_host_walk(nested_walk)
_radix = make_translate(make_walk(X86, make_locate_backed(nested_walk), STEP, GUEST), _host_walk)


@inlined
def _place(first, number):
    """HPA of entry `number` of tables that lie one after another."""
    return ((first + (number >> INDEX_BITS)) << PAGE_SHIFT) | ((number & (ENTRIES - 1)) << 3)


@inlined
def _host_leaf(core, vcpu, memory, gpa, kind, site):
    """(status, EPT entry, level) of a guest-physical address, from the host's area or by its
    table. site: as of `radix.make_walk`."""
    if is_inside(vcpu, PHYSICAL, gpa >> PAGE_SHIFT):
        return _host_walk(core, vcpu, memory, gpa, kind, False, site)
    for level in range(1, 3):
        first = vcpu.regs[0].host_tea[level - 1]
        if first != NIL:
            number = gpa >> level_shift(level)
            hpa = _place(first, number)
            slot = slot_of(memory, hpa)
            entry = memory.entry[slot]
            if entry & EPT_RWX and (level == 1 or entry & EPT_LARGE):
                line = of_table(vcpu, True, level, number >> _LINE)
                reference(core, vcpu, hpa, entry, site + level, line)
                if level == 1:
                    remember_leaf_table(core, memory, NESTED, gpa, hpa >> PAGE_SHIFT)
                rights = _host_narrow(_host_rights, entry)
                return _host_end(vcpu, memory, gpa, slot, entry, rights, level, kind, False)
    return nested_walk(core, vcpu, memory, gpa, kind, False, site)


@inlined
def _locate(core, vcpu, memory, gfn, level):
    """(status, hfn) of a table of the guest's area, by one entry of the host's."""
    if is_inside(vcpu, PHYSICAL, gfn):
        return OK, moved(vcpu, PHYSICAL, gfn)
    kind = STORE if vcpu.regs[0].root_ad else LOAD
    gpa = gfn << PAGE_SHIFT
    status, leaf, host_level = _host_leaf(core, vcpu, memory, gpa, kind, level * STEP)
    return status, frame_at(leaf, gpa, host_level)


@inlined
def _register(vcpu, memory, gva):
    """(register, hfn of the table) that have a leaf of gva, without a reference; NIL: none."""
    regs = vcpu.regs[0]
    page = gva >> PAGE_SHIFT
    for number in range(MAX_TEAS):
        if regs.tea_start[number] <= page and page < regs.tea_end[number]:
            level = regs.tea_level[number]
            hfn = regs.tea_host[number] + _table(vcpu, number, gva)
            if regs.tea_host[number] == NIL:
                hfn = place_of(vcpu, memory, regs.tea_base[number] + _table(vcpu, number, gva))
            if hfn != NIL:
                entry = memory.entry[slot_of(memory, _place(hfn, _index(gva, level)))]
                if entry & P and (level == 1 or entry & PS):
                    return number, hfn
    return NIL, NIL


@inlined
def _table(vcpu, number, gva):
    """Which table of an area maps gva, from 0."""
    regs = vcpu.regs[0]
    shift = level_shift(regs.tea_level[number] + 1)
    return (gva >> shift) - (regs.tea_start[number] >> (shift - PAGE_SHIFT))


@inlined
def _index(gva, level):
    return (gva >> level_shift(level)) & (ENTRIES - 1)


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`."""
    number, hfn = _register(vcpu, memory, gva)
    if number == NIL:
        return _radix(core, vcpu, memory, gva, kind, user)
    regs = vcpu.regs[0]
    level = regs.tea_level[number]
    if regs.tea_host[number] == NIL:
        gfn = regs.tea_base[number] + _table(vcpu, number, gva)
        status, hfn = _locate(core, vcpu, memory, gfn, level)
        if status != OK:
            return status, 0, level - 1
    hpa = _place(hfn, _index(gva, level))
    slot = slot_of(memory, hpa)
    entry = memory.entry[slot]
    line = of_table(vcpu, False, level, (gva >> level_shift(level)) >> _LINE)
    reference(core, vcpu, hpa, entry, level * STEP, line)
    if level == 1:
        remember_leaf_table(core, memory, GUEST, gva, hfn)
    rights = _guest_narrow(_guest_rights, entry)
    status, leaf, level = _guest_end(vcpu, memory, gva, slot, entry, rights, level, kind, user)
    if status != OK:
        return status, leaf, level - 1
    gpa = (frame_at(leaf, gva, level) << PAGE_SHIFT) | (gva & (PAGE_BYTES - 1))
    status, below, host_level = _host_leaf(core, vcpu, memory, gpa, kind, 0)
    if status != OK:
        return status, leaf, level - 1
    return combined(vcpu, leaf, level, below, host_level, gpa)


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    fetch_linear(core, memory, address, position, end)
    fetch_nested(core, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, RADIX)
