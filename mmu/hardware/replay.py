"""The fast path: accesses that a way prediction shows to hit in L1."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmulab.mmu.hardware import tlb
from mmulab.mmu.hardware.assoc import stamped
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import PAGE_SHIFT

# Values of CORE_RECORD.touch: what an L1 hit changes.
TOUCH_AGE = 0  # all L1 arrays replace by LRU: the slot's age
TOUCH_NOTHING = 1  # all by FIFO or at random: nothing
TOUCH_BY_POLICY = 2  # a mixture, or tree-PLRU

_ONE, _TWO, _THREE, _FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


@inlined
def _predicted(core, mark):
    """L1 slot that an access with this mark hits if `core.first` agrees; see `hits`.

    Unsigned, so that no code is made for negative indices.
    """
    return np.uint64(core.predictor[np.uint64(mark)])


@inlined
def _differs(core, gva, slot):
    """Zero where the slot's page holds gva."""
    return ((gva >> PAGE_SHIFT) & core.span[slot]) ^ core.first[slot]


def _make_replay(counting: bool) -> Any:
    """`hits` for TOUCH_AGE: after a miss two accesses one at a time, since misses come close
    together where they come often; then the rest. counting: L1 arrays are told apart, see
    `lookups`; the code for the others is the same without it."""

    @inlined
    def replay_singly(core, address, mark, position, stop, clock):
        """Where accesses one at a time stop hitting. clock: that of access 0."""
        packed = 0
        while position < stop:
            slot = _predicted(core, mark[position])
            if _differs(core, address[position], slot):
                break
            core.age[slot] = stamped(np.int64(slot), clock + 2 * np.int64(position))
            if counting:
                packed += core.weight[slot]
            position += _ONE
        if counting:
            core.record[0].packed += packed
        return position

    @kernel
    def replay_on(core, address, mark, position, stop, clock):
        """Four at a time, and the last ones. A function of its own: within the run loop, too
        little of it would be in registers."""
        ages = core.age
        packed = 0
        while position + _FOUR <= stop:
            g0, g1 = address[position], address[position + _ONE]
            g2, g3 = address[position + _TWO], address[position + _THREE]
            s0 = _predicted(core, mark[position])
            s1 = _predicted(core, mark[position + _ONE])
            s2 = _predicted(core, mark[position + _TWO])
            s3 = _predicted(core, mark[position + _THREE])
            if (
                _differs(core, g0, s0)
                | _differs(core, g1, s1)
                | _differs(core, g2, s2)
                | _differs(core, g3, s3)
            ):
                break
            now = clock + 2 * np.int64(position)
            ages[s0] = stamped(np.int64(s0), now)
            ages[s1] = stamped(np.int64(s1), now + 2)
            ages[s2] = stamped(np.int64(s2), now + 4)
            ages[s3] = stamped(np.int64(s3), now + 6)
            if counting:
                weight = core.weight
                packed += weight[s0] + weight[s1] + weight[s2] + weight[s3]
            position += _FOUR
        if counting:
            core.record[0].packed += packed
        return replay_singly(core, address, mark, position, stop, clock)

    def replay(core, address, mark, start, end):
        clock = core.record[0].clock - 2 * start
        stop = np.uint64(end)
        near = min(np.uint64(start) + _TWO, stop)
        position = replay_singly(core, address, mark, np.uint64(start), near, clock)
        if position == near:
            position = replay_on(core, address, mark, position, stop, clock)
        return np.int64(position)

    return replay


_replay_ages = inlined(_make_replay(False))
_replay_ages_counting = kernel(_make_replay(True))


@kernel
def _replay_by_policy(core, address, mark, position, end):
    clock = core.record[0].clock - 2 * position
    touches = core.record[0].touch == TOUCH_BY_POLICY
    counting = core.record[0].mixed != 0
    packed = 0
    while position < end:
        slot = _predicted(core, mark[position])
        if _differs(core, address[position], slot):
            break
        if touches:
            tlb.touch_l1(core, np.int64(slot), clock + 2 * position)
        if counting:
            packed += core.weight[slot]
        position += 1
    core.record[0].packed += packed
    return position


@inlined
def hits(core, address, mark, position, end):
    """Replays accesses that hit in L1; returns the first position that might not.

    A prediction is exact, not a guess: it is a slot that once served this kind of
    access to this page, or a load of a page that a store needs no walk for; so rights and D
    bit are known to be enough, and the slot is compared against the page. A slot that is
    dropped compares equal to none; one that is filled forgets what its new entry denies; a
    switch, a flush, and where stores must be marked anew forget all. An access that straddles
    two pages has a kind of its own that is never predicted.
    """
    if core.record[0].touch != TOUCH_AGE:
        end = _replay_by_policy(core, address, mark, position, end)
    elif core.record[0].mixed:
        end = _replay_ages_counting(core, address, mark, position, end)
    else:
        end = _replay_ages(core, address, mark, position, end)
    core.record[0].clock += 2 * (end - position)
    return end
