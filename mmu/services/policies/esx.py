"""The policies "esx" and "esxi": VMware's, by shares, reservations, limits and the idle-memory tax.

What `services/esx.py` computes, applied to VMs: balloons bring them to what they deserve; where
that is too slow, the host pages out as well (state hard), and lets VMs above their due wait
(state low). "esx" has the states of Waldspurger, OSDI 2002, section 6.3; "esxi" those of vSphere 6
and later. The compression of ESXi is not modelled; its page sharing is [ksm], in every state.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.services import esx
from mmulab.mmu.services.esx import State, Thresholds
from mmulab.mmu.services.policies.asked import UNKNOWN, HostMemory, Plan, VMs


class Esx:
    """tax: the idle-memory tax rate."""

    watches = True

    def __init__(self, tax: float, thresholds: Thresholds) -> None:
        self.tax = tax
        self.thresholds = thresholds
        self._granted: dict[str, int] = {}
        self._high = self._looks = 0

    def plan(self, vms: VMs, host: HostMemory) -> Plan:
        """Above state soft balloons only shrink, and only by what is free beyond the goal; from it
        on they only grow, or, from state hard on, the host pages out instead."""
        self._looks += 1
        shrinking = host.state < State.SOFT
        self._high += shrinking
        most = np.minimum(vms.limit, vms.memory)
        least = np.minimum(vms.reservation, most)
        spare = host.free - esx.goal(host.total, self.thresholds)
        if shrinking and spare < 0:
            return self._plan(vms, vms.balloon)
        if shrinking:
            least = np.maximum(least, np.minimum(vms.held, most))
        else:
            most = np.maximum(np.minimum(most, vms.held), least)
        granted = esx.targets(
            vms.shares, least, most, vms.held, vms.active,
            max(int(least.sum()), int(vms.held.sum()) + spare), self.tax,
        )  # fmt: skip
        self._granted = dict(zip(vms.name, granted.tolist(), strict=True))
        if shrinking:
            return self._plan(vms, np.minimum(vms.balloon, vms.memory - granted))
        means = esx.reclamation(host.state, vms.held, granted, vms.memory - vms.balloon)
        return self._plan(vms, vms.balloon + means.balloon, means)

    def _plan(self, vms: VMs, balloon: esx.Frames, means: esx.Reclamation | None = None) -> Plan:
        due = np.array([self._granted.get(name, UNKNOWN) for name in vms.name], np.int64)
        if means is None:
            return Plan(balloon, np.zeros_like(due), np.zeros(due.shape, np.bool_), due)
        return Plan(balloon, means.page, means.blocked, due)

    def note(self) -> str:
        if self._high == self._looks:
            return f"the host had enough free memory at each of {self._looks:,} looks"
        return "no VM held more than its due"
