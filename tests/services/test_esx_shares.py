"""What ESX's policy leaves two VMs with equal shares, in whole runs."""

from __future__ import annotations

import pytest

from mmulab.arguments import settle
from mmulab.mmu.scenario.run import run
from mmulab.mmu.services import esx
from mmulab.workloads import of_vm

BUSY = "guest:size=56M,accesses=4M,active=1,zero=0,file=0"


def test_equal_shares_are_equal_where_the_host_takes_from_those_above_their_due() -> None:
    """Without a tax each has half of what ESX does not keep free; by the host's clock the one
    that uses its memory has more (docs/virtual-memory-of-vms/8-overcommit.md)."""
    held = {}
    for victims in ("clock", "shares"):
        changes = [("host.victims", victims), ("balloon.tax", "0"), ("vm.busy.workload", BUSY)]
        vms = run(settle("@idle-tax", changes), of_vm).vms
        held[victims] = [int(vm.series["private"][-1]) for vm in vms]
    total = 96 << 8
    due = (total - esx.goal(total, esx.Thresholds())) / 2
    assert held["shares"] == pytest.approx([due, due], abs=2 << 8)
    idle, busy = held["clock"]
    assert busy - idle > 10 << 8
