"""The double-paging anomaly, and what cures it."""

from __future__ import annotations

import pytest

from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.results import RunResult
from mmulab.mmu.scenario.run import compare
from mmulab.mmu.scenario.settings import Scenario
from mmulab.workloads import of_vm


def double_paging() -> Scenario:
    scenario = parsing.load("@double-paging")
    return parsing.override(scenario, "vm.memory", "56M")


@pytest.fixture(scope="module")
def anomaly() -> dict[str, RunResult]:
    return {result.variant: result for result in compare(double_paging(), of_vm)}


def test_two_levels_that_page_move_more_than_one(anomaly: dict[str, RunResult]) -> None:
    assert anomaly["fitted"].total("double_faults") == 0
    assert anomaly["none"].total("double_faults") > 1000
    assert anomaly["none"].blocks_moved > 1.25 * anomaly["fitted"].blocks_moved
    assert anomaly["fitted"].total("host_swap_ins", "host_swap_outs") == 0


def test_a_balloon_cures_it(anomaly: dict[str, RunResult]) -> None:
    assert anomaly["balloon"].blocks_moved < 1.1 * anomaly["fitted"].blocks_moved
    assert anomaly["balloon"].total("double_faults") < anomaly["none"].total("double_faults") / 5


def test_a_vmm_that_knows_the_disk_saves_what_ignorance_costs(
    anomaly: dict[str, RunResult],
) -> None:
    wasted = ("silent_swap_writes", "stale_swap_reads", "false_swap_reads")
    assert all(anomaly["none"].total(name) > 0 for name in wasted)
    assert anomaly["vswapper"].total(*wasted) == 0
    assert anomaly["vswapper"].blocks_moved < anomaly["none"].blocks_moved
    # Dropped instead of written: what was silently written before.
    assert anomaly["vswapper"].total("host_drops") == anomaly["none"].total("silent_swap_writes")


def test_slowdowns_are_relative_to_ample_memory(anomaly: dict[str, RunResult]) -> None:
    assert anomaly["ample"].slowdowns == [1.0]
    assert anomaly["none"].slowdowns[0] > 1.2
