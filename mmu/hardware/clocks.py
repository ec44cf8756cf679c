"""Keeping time stamps within what an age holds: clocks that have gone far begin anew.

The clock of the L1 TLBs is the core's, counted in half accesses; every other unit has its
own, of its touches.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.assoc import STAMP_SHIFT
from mmulab.mmu.hardware.state import Core
from mmulab.mmu.kernels.compiling import inlined

#: An age has room for twice as much, and for the number of any slot.
LATE = 1 << 24


@inlined
def is_late(core):
    """True where `begin_anew` must be called before a clock goes on by another LATE."""
    late = core.record[0].clock > LATE
    for number in range(core.unit.size):
        late |= core.unit[np.uint64(number)].clock > LATE
    return late


def begin_anew(core: Core) -> None:
    """Makes the clocks that are late small, and the time stamps of their sets 1, 2, ...; what
    was touched before another still was."""
    is_l1 = core.unit["base"] < core.owner.size
    if core.record[0]["clock"] > LATE:
        for number in np.flatnonzero(is_l1):
            _renumber(core, core.unit[number])
        core.record[0]["clock"] = core.unit["ways"][is_l1].max() + 1
    for number in np.flatnonzero(~is_l1 & (core.unit["clock"] > LATE)):
        _renumber(core, core.unit[number])
        core.unit[number]["clock"] = core.unit[number]["ways"]


def _renumber(core: Core, unit: np.void) -> None:
    base, sets, stride = int(unit["base"]), int(unit["sets"]), int(unit["stride"])
    slots = np.arange(base, base + sets * stride).reshape(sets, stride)[:, : unit["ways"]]
    stamps = (core.age[slots] - slots) >> STAMP_SHIFT
    place = stamps.argsort(axis=1, kind="stable").argsort(axis=1)
    core.age[slots] = (np.where(stamps > 0, place + 1, 0) << STAMP_SHIFT) + slots
