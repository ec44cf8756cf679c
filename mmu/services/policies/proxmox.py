"""The policy "proxmox": automatic ballooning of Proxmox VE.

Its daemon pvestatd looks every 10 seconds, and would have 80 % of the host's memory in use: what is
missing is given to the VMs, what is too much taken from them (pve-manager,
PVE/Service/pvestatd.pm, auto_balloning(); PVE/AutoBalloon.pm, compute_alg1()). A VM has its
minimum, here its `reservation`, and of what all have above their minimums a part by its shares; no
VM changes by more than a step a look. VMs whose guests are short are first to be given
something, those with free memory first to be taken from. A VM without a minimum is left alone.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.services.esx import Thresholds
from mmulab.mmu.services.policies.asked import Frames, HostMemory, Plan, VMs

#: Nothing is done about less than that: bytes (PVE/AutoBalloon.pm, 10 MiB).
SLACK = 10 << 20

#: A guest with more free memory than this part of its minimum is in no need (PVE/AutoBalloon.pm).
AT_EASE = 0.25


def sizes(
    memory: Frames, minimum: Frames, allowed: Frames, free: Frames, shares: Frames,
    goal: int, step: int, slack: int,
) -> Frames:  # fmt: skip
    """How much each VM may use after a look, int64, an element a VM.

    memory, minimum: the most and the least of each. allowed: what it may use now. free: of that,
    what its guest does not. goal: how much more, or less, the VMs should have in all. step: by
    which one VM changes at most. slack: goals that are no larger are left alone. All in one unit.
    """
    after = allowed.copy()
    if abs(goal) <= slack:
        return after
    eligible = minimum > 0
    at_ease = eligible & (free > AT_EASE * minimum) & (allowed >= minimum)
    first = eligible & ~at_ease if goal > 0 else at_ease
    given = _share_out(after, first, memory, minimum, allowed, shares, goal, step)
    if given <= 0 if goal > 0 else given >= 0:
        _share_out(after, eligible, memory, minimum, allowed, shares, goal - given, step)
    return after


def _share_out(
    after: Frames, group: np.ndarray, memory: Frames, minimum: Frames, allowed: Frames,
    shares: Frames, amount: int, step: int,
) -> int:  # fmt: skip
    """Brings the VMs of a group nearer to their parts; returns how much more they have. Whoever
    meets a bound leaves a rest, which is shared out anew."""
    left, taking = amount, group.copy()
    while left and taking.any():
        above = int((after - minimum)[taking].sum()) + left
        part = np.trunc(above / int(shares[taking].sum()) * shares).astype(np.int64)
        wanted = np.clip(minimum + part, minimum, memory)
        grows = (wanted > allowed) & (amount > 0)
        changes = taking & (grows | (wanted < allowed))
        taking &= changes
        new = np.where(
            grows, np.minimum(allowed + step, wanted), np.maximum(allowed - step, wanted)
        )
        moved = int((new - after)[changes].sum())
        progress = bool((new != after)[changes].any())
        after[changes] = new[changes]
        left -= moved
        if not progress:
            break
    return amount - left


class Proxmox:
    """target: the part of the host's memory that should be in use. step: frames by which a VM
    changes in a look at most."""

    watches = False
    thresholds = Thresholds()

    def __init__(self, target: float, step: int) -> None:
        self.target = target
        self.step = step
        self._eligible = False

    def plan(self, vms: VMs, host: HostMemory) -> Plan:
        self._eligible |= bool((vms.reservation > 0).any())
        goal = int(self.target * host.total) - (host.total - host.free)
        allowed = vms.memory - vms.balloon
        after = sizes(
            vms.memory, vms.reservation, allowed, vms.free, vms.shares, goal, self.step,
            SLACK >> 12,
        )  # fmt: skip
        return Plan.of_balloons(vms.memory - after)

    def note(self) -> str:
        if not self._eligible:
            return "no VM has a minimum; give [[vm]] a reservation"
        return f"no VM was above its minimum while more than {self.target:.0%} of the host was used"
