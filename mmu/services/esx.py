"""The arithmetic of memory overcommit in VMware ESX Server.

C. A. Waldspurger, "Memory Resource Management in VMware ESX Server", OSDI 2002; section
numbers below are that paper's. Pure functions of NumPy arrays with one element a VM: nothing
here knows the simulator. `targets` says how many host frames each VM deserves (5.1, 5.2),
`ActiveMemory` how much of its memory each one uses (5.3), `next_state` how hard to reclaim and
`reclamation` by which means (6.3).
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmulab.mmu.errors import InputError

IDLE_TAX = 0.75
"""Tax rate tau, 5.2: "a configurable parameter that defaults to 75%"."""

SAMPLE_PAGES = 100
"""Pages of each VM sampled in a period, 5.3."""

Frames = NDArray[np.int64]
Fractions = NDArray[np.float64]


def idle_page_cost(tau: float = IDLE_TAX) -> float:
    """k = 1 / (1 - tau), 5.2: what an idle page costs when an active one costs 1.

    Raises InputError unless 0 <= tau < 1: 0 is pure shares; towards 1 all idle memory goes.
    """
    if not 0.0 <= tau < 1.0:
        raise InputError(f"idle memory tax {tau} is not in the range 0 <= tax < 1")
    return 1.0 / (1.0 - tau)


def shares_per_page(
    shares: ArrayLike, pages: ArrayLike, active_fraction: ArrayLike, tau: float = IDLE_TAX
) -> Fractions:
    """Adjusted shares-per-page ratio rho = S / (P (f + k (1 - f))), 5.2.

    shares S, pages P (int64 frames) and active_fraction f (0 to 1), one element a VM. The VM
    with the lowest rho pays least for its memory and is the next victim. rho is infinite for
    a VM that holds nothing. Raises InputError for a tau outside 0 <= tau < 1.
    """
    active = np.asarray(active_fraction, np.float64)
    cost = np.asarray(pages, np.float64) * (active + idle_page_cost(tau) * (1.0 - active))
    with np.errstate(divide="ignore"):
        return np.asarray(np.asarray(shares, np.float64) / cost, np.float64)


def targets(
    shares: ArrayLike,
    minimum: ArrayLike,
    maximum: ArrayLike,
    allocated: ArrayLike,
    active_fraction: ArrayLike,
    available: int,
    tau: float = IDLE_TAX,
) -> Frames:
    """How many host frames each VM deserves: int64, one element a VM, in frames.

    The end of min-funding revocation (5.1) with the idle memory tax (5.2): as long as some VM
    would, with one frame more, still pay more per page than another pays now, the frame goes
    to it from the VM that pays least; no VM falls below `minimum` or rises above `maximum`.
    The fraction f of a VM's memory that is active is held while its allocation changes, as
    the formula has it: the next estimate corrects it.

    shares, minimum, maximum, allocated: whole numbers, the last three in frames; `minimum` is
    what was reserved (ESX's min size, vSphere's reservation), `maximum` the VM's own memory
    or its limit. `allocated` only settles ties: a VM keeps what it has before another of
    the same ratio gets more; then the lower index wins. active_fraction: 0 to 1.
    available: frames to divide. They are all given out, unless every VM reaches its maximum
    (3: "a VM will be allocated its maximum size when memory is not overcommitted").

    O(n log n) in the number of VMs, independent of the number of frames. Raises InputError
    if the minimums exceed `available` (admission control, 6.2, excludes that) or a value is
    out of range.
    """
    low, high = _frames(minimum, "minimum"), _frames(maximum, "maximum")
    held = _frames(allocated, "allocated")
    weight = _weights(shares, active_fraction, tau)
    if not low.shape == high.shape == held.shape == weight.shape:
        raise InputError("shares, minimum, maximum, allocated and active_fraction differ in length")
    if np.any(low > high):
        vm = int(np.flatnonzero(low > high)[0])
        raise InputError(f"VM {vm}: minimum of {low[vm]} frames is above maximum of {high[vm]}")
    if low.sum() > available:
        raise InputError(
            f"the VMs' minimums are {low.sum()} frames in all, above the {available} available"
        )
    if high.sum() <= available:
        return high
    # A whole frame less than the real solution: rounding can't have given a frame too many.
    whole = np.floor(_water_level(weight, low, high, available) * weight) - 1.0
    result = np.clip(whole, low, high).astype(np.int64)
    _give_out(result, weight, high, held, available - int(result.sum()))
    return result


def _frames(values: ArrayLike, name: str) -> Frames:
    given = np.atleast_1d(np.asarray(values))
    frames = given.astype(np.int64)
    if np.any(frames != given) or np.any(frames < 0):
        raise InputError(f"{name} must be whole numbers of frames from 0, not {given.tolist()}")
    return frames


def _weights(shares: ArrayLike, active_fraction: ArrayLike, tau: float) -> Fractions:
    """rho times P: shares over the cost of a page."""
    share = np.atleast_1d(np.asarray(shares, np.float64))
    active = np.atleast_1d(np.asarray(active_fraction, np.float64))
    if np.any(~(share > 0.0)) or np.any(~np.isfinite(share)):
        raise InputError(f"shares must be above 0, not {share.tolist()}")
    if np.any(~((active >= 0.0) & (active <= 1.0))):
        raise InputError(f"active fractions must be from 0 to 1, not {active.tolist()}")
    if share.shape != active.shape:
        raise InputError(f"{share.size} shares but {active.size} active fractions")
    return shares_per_page(share, np.ones_like(share), active, tau)


def _water_level(weight: Fractions, low: Frames, high: Frames, available: int) -> float:
    """The level c at which clip(c * weight, low, high) adds up to `available`.

    The sum rises with c, in straight lines between the levels where a VM leaves its minimum
    or reaches its maximum: find the line, then the point on it.
    """
    levels = np.concatenate([low / weight, high / weight])
    slopes = np.concatenate([weight, -weight])
    order = np.argsort(levels, kind="stable")
    levels, slope = levels[order], np.cumsum(slopes[order])
    total = low.sum() + np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(levels))])
    line = int(np.searchsorted(total, available, side="right")) - 1
    if slope[line] <= 0.0 or line + 1 == levels.size:
        return float(levels[line])
    level = levels[line] + (available - total[line]) / slope[line]
    return float(min(level, levels[line + 1]))


def _give_out(result: Frames, weight: Fractions, high: Frames, held: Frames, frames: int) -> None:
    """Adds the last frames, each to the VM whose ratio with it would be the highest."""

    def claim(vm: int) -> tuple[float, bool, int]:
        pages = int(result[vm]) + 1
        return (-float(weight[vm]) / pages, pages > int(held[vm]), vm)

    heap = [claim(vm) for vm in range(result.size) if result[vm] < high[vm]]
    heapq.heapify(heap)
    for _ in range(frames):
        vm = heap[0][2]
        result[vm] += 1
        if result[vm] < high[vm]:
            heapq.heapreplace(heap, claim(vm))
        else:
            heapq.heappop(heap)


class State(IntEnum):
    """Reclamation states, from plenty of free memory to none: those of 6.3, and CLEAR, which
    vSphere 6 put between the first two."""

    HIGH = 0
    CLEAR = 1
    SOFT = 2
    HARD = 3
    LOW = 4


@dataclass(frozen=True)
class Thresholds:
    """Free memory, as fractions of the host's, at which reclamation changes, 6.3.

    A state is entered from above when free memory drops below its own fraction. It is left
    for the next higher one only when free memory is "significantly" above that one's
    fraction; how much is `margin`, which the paper doesn't give: one percent is an assumption.
    clear: None where there is no such state.
    """

    high: float = 0.06
    soft: float = 0.04
    hard: float = 0.02
    low: float = 0.01
    margin: float = 0.01
    clear: float | None = None

    def __post_init__(self) -> None:
        levels = [self.fraction(state) for state in self.states]
        falling = all(a > b for a, b in zip([1.0, *levels], levels, strict=False))
        if not falling or levels[-1] < 0.0 or not 0.0 <= self.margin < 1.0 - self.high:
            raise InputError(
                f"free-memory thresholds {', '.join(map(str, levels))} must"
                f" fall from below 1 to 0, and high + margin ({self.margin}) be below 1"
            )

    @property
    def states(self) -> tuple[State, ...]:
        """The states that there are, the highest first."""
        return tuple(each for each in State if each != State.CLEAR or self.clear is not None)

    def fraction(self, state: State) -> float:
        """The fraction of free memory that the state is named after."""
        return float(getattr(self, state.name.lower()))

    def enter(self, state: State, total: int) -> int:
        """Free frames below which the state is entered, on a host of `total` frames."""
        return math.ceil(self.fraction(state) * total - _ROUNDING)

    def leave(self, state: State, total: int) -> int:
        """Free frames above which the state is left for the next higher one."""
        above = self.states[self.states.index(state) - 1]
        return math.floor((self.fraction(above) + self.margin) * total + _ROUNDING)


_ROUNDING = 1e-6
"""Of a frame: 0.06 + 0.01 is not quite 0.07 in binary, and must not cost a frame."""

#: What ESXi keeps free of each part of a host's memory: (bytes of the part, fraction); F. Denneman,
#: "Mem.MinFreePct sliding scale function", frankdenneman.nl, 2011.
SLIDING_SCALE = ((4 << 30, 0.06), (8 << 30, 0.04), (16 << 30, 0.02), (1 << 62, 0.01))


def min_free(total: int) -> float:
    """minFree of ESXi 5 and later, in frames, on a host of `total` frames: 6 % of its first 4
    GiB, 4 % of the next 8, 2 % of the next 16, 1 % of the rest."""
    left, kept = total << 12, 0.0
    for size, fraction in SLIDING_SCALE:
        kept += fraction * min(left, size)
        left -= min(left, size)
    return kept / 4096


def of_esxi(total: int) -> Thresholds:
    """Thresholds of vSphere 6 and later on a host of `total` frames: 400, 100, 64, 32 and 16 %
    of minFree (D. Epping, "What happens at which vSphere memory state?", yellow-bricks.com, 2015,
    who says that transitions have an upper and a lower bound, and not how far apart).

    margin: a sixth of minFree, an assumption: that of `Thresholds` on a host of up to 4 GiB.
    """
    part = min_free(total) / total
    return Thresholds(
        high=4.0 * part, clear=part, soft=0.64 * part, hard=0.32 * part, low=0.16 * part,
        margin=part / 6,
    )  # fmt: skip


def next_state(state: State, free: int, total: int, thresholds: Thresholds) -> State:
    """The state after free memory changed: down at once, up only past the margin (6.3).

    free and total in frames. State HIGH is what is left when no lower one applies.
    """
    states = thresholds.states
    at = states.index(state)
    while at + 1 < len(states) and free < thresholds.enter(states[at + 1], total):
        at += 1
    while at and free > thresholds.leave(states[at], total):
        at -= 1
    return states[at]


def goal(total: int, thresholds: Thresholds) -> int:
    """Free frames that reclamation aims at: the fewest at which none of its states lasts.

    6.3: in every reclamation state, targets are computed "to drive the aggregate amount of
    free space above the high threshold"; with the margin, so that the state is left too.
    `targets` then divides total - goal - (what the VMM itself needs).
    """
    return thresholds.leave(State.SOFT, total) + 1


@dataclass(frozen=True)
class Reclamation:
    """What to do to each VM now: frames by balloon and by paging, and whether it must wait."""

    balloon: Frames
    page: Frames
    blocked: NDArray[np.bool_]


def reclamation(
    state: State, allocated: ArrayLike, target: ArrayLike, balloon_room: ArrayLike
) -> Reclamation:
    """The means by which each VM is brought to its target in a state, 6.3.

    HIGH reclaims nothing, nor does CLEAR: ESXi breaks large pages there, so that it finds equal
    parts of them. SOFT balloons, and pages only what the balloon can't take
    (`balloon_room`: frames by which each VM's balloon can still grow; 0 without a driver).
    HARD pages. LOW pages and also blocks the VMs above their targets. All arrays int64, in
    frames.
    """
    held, wanted = _frames(allocated, "allocated"), _frames(target, "target")
    room = _frames(balloon_room, "balloon_room")
    excess = np.maximum(held - wanted, 0)
    nothing = np.zeros_like(excess)
    if state < State.SOFT:
        return Reclamation(nothing, nothing.copy(), nothing.astype(np.bool_))
    balloon = np.minimum(excess, room) if state == State.SOFT else nothing
    return Reclamation(balloon, excess - balloon, (excess > 0) & (state == State.LOW))


@dataclass
class ActiveMemory:
    """The fraction of its memory that each VM uses, estimated from touched samples, 5.3.

    Per VM two averages, of which the larger counts: a slow and a fast exponentially weighted
    moving average over periods. So an estimate rises fast and falls slowly. The paper's third,
    a version of the fast one that takes in the current period as it goes, is not modelled. The
    paper gives no gains (weights of the newest period): `slow_gain` and `fast_gain` are
    assumptions. The first period sets both averages, since there is nothing to smooth it with.
    """

    vms: int
    slow_gain: float = 0.1
    fast_gain: float = 0.5
    slow: Fractions = field(init=False)
    fast: Fractions = field(init=False)
    periods: Frames = field(init=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.slow_gain <= self.fast_gain <= 1.0:
            raise InputError(
                f"gains {self.slow_gain} and {self.fast_gain}: expected 0 < slow <= fast <= 1"
            )
        self.slow, self.fast = np.zeros(self.vms), np.zeros(self.vms)
        self.periods = np.zeros(self.vms, np.int64)

    def end_period(self, vm: Any, count: ArrayLike, samples: ArrayLike = SAMPLE_PAGES) -> None:
        """At the end of a period: `count` of the `samples` pages were touched in it.

        vm: an index, or whatever else indexes an array of one element a VM.
        """
        first = self.periods[vm] == 0
        for average, gain in ((self.slow, self.slow_gain), (self.fast, self.fast_gain)):
            average[vm] = self._mixed(average[vm], np.where(first, 1.0, gain), count, samples)
        self.periods[vm] += 1

    @property
    def estimate(self) -> Fractions:
        """The active fraction f of each VM, 0 to 1: float64, one element a VM."""
        return np.maximum(self.slow, self.fast)

    @staticmethod
    def _mixed(old: Any, gain: Any, count: ArrayLike, samples: ArrayLike) -> Any:
        seen, of = np.asarray(count, np.float64), np.asarray(samples, np.float64)
        if np.any(of <= 0) or np.any(seen < 0) or np.any(seen > of):
            raise InputError(f"{seen} touched pages of {of} sampled: not from 0 to all")
        return old + gain * (seen / of - old)
