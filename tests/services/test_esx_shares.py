"""What ESX's policy leaves two VMs with equal shares, in whole runs."""

from __future__ import annotations

import pytest

from mmulab.arguments import settle
from mmulab.mmu.scenario import parsing
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


BETWEEN = """
name = "between"
[host]
memory = "64M"
quantum = 10_000
[[vm]]
name = "guest"
memory = "64M"
workload = "gups:size=62000K,accesses=60k"
[balloon]
policy = "{policy}"
period = "100us"
"""


def test_esxi_comes_through_state_clear_where_esx_is_still_high() -> None:
    """5 % of the host stay free: below minFree, above 64 % of it."""
    ticks = {}
    for policy in ("esx", "esxi"):
        result = run(parsing.parse(BETWEEN.format(policy=policy), "between.toml"), of_vm)
        assert 0.045 < result.host["free"][-1] / (64 << 8) < 0.055
        balloon = result.services["balloon"]
        assert balloon["inflated"] == 0 and result.notes[0].startswith("balloon: never acted")
        ticks[policy] = {name: n for name, n in balloon.items() if name.startswith("ticks_")}
    assert set(ticks["esxi"]) - set(ticks["esx"]) == {"ticks_clear"}
    assert ticks["esx"]["ticks_high"] == sum(ticks["esx"].values()) == sum(ticks["esxi"].values())
    assert ticks["esxi"]["ticks_clear"] > 0
