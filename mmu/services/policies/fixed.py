"""The policy "fixed": the scenario says how large each balloon is, and events change it."""

from __future__ import annotations

from collections.abc import Mapping

from mmulab.mmu.services.esx import Thresholds
from mmulab.mmu.services.policies.asked import HostMemory, Plan, VMs


class Fixed:
    """targets: frames of each VM's balloon, by name; who has the object may change them."""

    watches = True
    thresholds = Thresholds()

    def __init__(self, targets: Mapping[str, int]) -> None:
        self.targets = dict(targets)

    def plan(self, vms: VMs, host: HostMemory) -> Plan:
        return Plan.of_balloons([self.targets[name] for name in vms.name])

    def note(self) -> str:
        return "no VM has a target; set [[vm]] balloon, or an [[event]]"
