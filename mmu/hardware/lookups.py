"""What look-ups of the TLBs are counted as.

A look-up of a page for an access is counted once, as a hit or a miss, when it is first made.
An access that faults begins again once the fault is mended, and looks its pages up again: those
look-ups are counted apart (`repeated_lookups`). The hardware makes them all, and every walk.

A miss is a miss of the array that the translation is then filled into. After a fault that is
known only later, so that until then the vCPU owes it (`REGS.owed`).

L1 hits of an array are not counted where they follow from other counts, as accesses less misses:
while one array serves all look-ups of its kind. Once there are several, the hits of all but the
first are counted, in digits of one number that is added to with each hit.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.assoc import route_to
from mmulab.mmu.hardware.state import ROUTE_L2D, ROUTE_L2I, Core
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.vectors import seldom
from mmulab.mmu.memory.entries import D
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.trace import FETCH, STORE

# What a look-up found.
NOWHERE, IN_L2, DENIED_BY_L1, DENIED_BY_L2 = 0, 1, 2, 3

# Where a look-up missed, as bits.
_L1, _L2 = 1, 2
_BOTH = _L1 | _L2

DIGIT_BITS = 16  # of `CORE_RECORD.packed`: more than the look-ups between two `unpack`
_DIGIT = (1 << DIGIT_BITS) - 1


@inlined
def _is_repeated(vcpu, page):
    return vcpu.regs[0].looked_up >> page & 1 != 0


@inlined
def _l2_unit(core, kind, size):
    """Number of the L2 array for a page size, NIL where there is none."""
    return route_to(core, ROUTE_L2I if kind == FETCH else ROUTE_L2D, size).unit


@kernel
def denied(core, vcpu, kind, size, slot, page, found):
    """The entry in a slot does not do, for want of rights or of the D bit; returns `found`."""
    seldom()
    if kind == STORE and not core.data[slot] & D:
        vcpu.stats[0].dirty_walks += 1
    if found == DENIED_BY_L1:
        return found
    if not _is_repeated(vcpu, page):
        vcpu.stats[0].l2_denied += 1
        core.unit[_l2_unit(core, kind, size)].hits += 1
    return DENIED_BY_L2


@kernel
def faulted(vcpu, kind, page, found):
    """The look-up of a page ended in a fault: it is made again, and that of the page before."""
    seldom()
    regs = vcpu.regs[0]
    vcpu.stats[0].repeated_lookups += 1 + page
    if _is_repeated(vcpu, page):
        if found != DENIED_BY_L1:
            vcpu.stats[0].l1_misses[kind] -= 1
    elif found == NOWHERE:
        regs.owed |= _BOTH << (2 * page)
    elif found == DENIED_BY_L2:
        regs.owed |= _L1 << (2 * page)
    regs.looked_up |= 3 if page else 1


@kernel
def recount(core, vcpu, kind, size, slot, page, found):
    """Mends what has been counted of a look-up that was not the first of its page, or whose
    entry was denied. size: of the page; slot: what it has been filled into."""
    seldom()
    regs = vcpu.regs[0]
    stats = vcpu.stats[0]
    missed = _BOTH
    if found == DENIED_BY_L1:
        missed = 0
    elif found != NOWHERE:
        missed = _L1
    if _is_repeated(vcpu, page):
        missed = regs.owed >> (2 * page) & _BOTH
        if found != DENIED_BY_L1:
            stats.l1_misses[kind] -= 1
        if found == IN_L2:
            stats.l2_hits[kind] -= 1
            stats.repeated_l2_hits += 1
            core.unit[_l2_unit(core, kind, size)].hits -= 1
        regs.owed &= ~(_BOTH << (2 * page))
        regs.looked_up &= ~(1 << page)
    core.unit[core.owner[slot]].misses += int(missed & _L1 != 0) - 1
    second = _l2_unit(core, kind, size)
    if second != NIL:
        core.unit[second].misses += int(missed & _L2 != 0) - int(found != IN_L2)


@kernel
def end_of_straddling(vcpu, kind):
    """An access to two pages has gone through."""
    vcpu.stats[0].straddles[kind] += 1
    vcpu.regs[0].looked_up = 0
    vcpu.regs[0].owed = 0


@kernel
def begin_use(core, number):
    """The first fill into an L1 array: its hits are counted unless it is the first of its group."""
    unit = core.unit[number]
    if unit.group == NIL:
        return
    record = core.record[0]
    if record.derived[unit.group] == NIL:
        record.derived[unit.group] = number
        return
    unit.digit = record.mixed
    for slot in range(unit.base, unit.base + unit.sets * unit.stride):
        core.weight[slot] = 1 << (DIGIT_BITS * record.mixed)
    record.mixed += 1


@kernel
def count_l1_hit(core, vcpu, slot, page):
    """A look-up that finds an L1 slot, where arrays are told apart."""
    if not _is_repeated(vcpu, page):
        core.record[0].packed += core.weight[slot]


@kernel
def unpack(core):
    """Adds the hits counted since the last time to their arrays."""
    seldom()
    for number in range(core.unit.size):
        unit = core.unit[number]
        if unit.digit != NIL:
            unit.hits += core.record[0].packed >> (DIGIT_BITS * unit.digit) & _DIGIT
    core.record[0].packed = 0


def hits_of_arrays(core: Core, hits: np.ndarray) -> np.ndarray:
    """Hits of each unit. hits: of the L1 TLBs, by kind of access."""
    found = core.unit["hits"].copy()
    for group, number in enumerate(core.record[0]["derived"]):
        if number != NIL:
            mine = core.unit["group"] == group
            found[number] = hits[_kinds(core, group)].sum() - found[mine].sum()
    return found


def _kinds(core: Core, group: int) -> slice:
    """Kinds of access that a group of L1 arrays serves."""
    if core.record[0]["joined"]:
        return slice(None)
    return slice(2, 3) if group else slice(2)
