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

from mmulab.mmu.hardware.state import Core
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.kernels.vectors import seldom
from mmulab.mmu.memory.status import NIL

# Where a look-up missed.
IN_L1, IN_L2 = 1, 2
_EVERYWHERE = IN_L1 | IN_L2

DIGIT_BITS = 16  # of `CORE_RECORD.packed`: more than the look-ups between two `unpack`
DIGITS = 4
_DIGIT = (1 << DIGIT_BITS) - 1


@kernel
def before(vcpu, page, missed):
    """(1, missed) where the page is looked up for the first time for this access; else 0, and
    where it missed when it was, as far as no array has been charged with it."""
    seldom()
    regs = vcpu.regs[0]
    if regs.looked_up >> page & 1:
        return 0, regs.owed >> (2 * page) & _EVERYWHERE
    return 1, missed


@kernel
def owe(vcpu, page, first, missed):
    """The look-up of a page ended in a fault: it is made again, and that of the page before."""
    seldom()
    regs = vcpu.regs[0]
    vcpu.stats[0].repeated_lookups += 1 + page
    if first:
        regs.owed |= missed << (2 * page)
    regs.looked_up |= 3 if page else 1


@kernel
def settle(vcpu, page):
    """An array has been charged with what the look-up of a page missed."""
    seldom()
    regs = vcpu.regs[0]
    regs.owed &= ~(_EVERYWHERE << (2 * page))
    regs.looked_up &= ~(1 << page)


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
    if not vcpu.regs[0].looked_up >> page & 1:
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
