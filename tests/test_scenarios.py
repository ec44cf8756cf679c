"""Whole runs of scenarios: what each mechanism must do, and what ends a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from overcommit_driver import BASE, PAGE, Crowd, crowd
from test_tlb_model import make_late

from mmulab.commands.run import run as command
from mmulab.mmu.check.host import check_system
from mmulab.mmu.check.tables import CheckFailed
from mmulab.mmu.errors import RunError
from mmulab.mmu.hardware.clocks import LATE
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.memory.state import MERGED_PAGE
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.results import RunResult, to_json
from mmulab.mmu.scenario.run import build, compare, run
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.services.ksm import KSMSettings
from mmulab.mmu.trace import LOAD, STORE
from mmulab.workloads import of_vm

MIB = 1 << 20


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


def small(**changes: object) -> Scenario:
    vms = tuple(
        VMSettings(name=name, workload="zipf:keys=8k,accesses=100k,read=0.5", memory=8 * MIB,
                   disk=32 * MIB, seed=seed)
        for seed, name in enumerate(("a", "b"), start=1)
    )  # fmt: skip
    host = HostSettings(memory=12 * MIB, swap=32 * MIB, quantum=10_000)
    scenario = Scenario("small", host, vms, ksm=KSMSettings(pages_to_scan=500, sleep=0.0005))
    return replace(scenario, **changes)


@pytest.mark.parametrize("technique", ["shadow", "nested"])
@pytest.mark.parametrize("victims", ["clock", "random", "shares"])
def test_same_scenario_same_bytes(technique: str, victims: str) -> None:
    scenario = small()
    scenario = replace(
        scenario,
        host=replace(scenario.host, victims=victims),
        vms=tuple(replace(vm, technique=technique) for vm in scenario.vms),
    )
    first, second = (run(scenario, of_vm, check=True) for _ in range(2))
    assert to_json([first]) == to_json([second])
    assert first.end == "finished" and first.vms[0].accesses == 100_000


def test_techniques_give_guests_the_same_memory() -> None:
    """Where no clock decides, what guests do is the same under both."""
    quiet = replace(small(), ksm=None)
    quiet = replace(quiet, host=replace(quiet.host, memory=40 * MIB))
    counts = []
    for technique in ("shadow", "nested"):
        vms = tuple(replace(vm, technique=technique) for vm in quiet.vms)
        result = run(replace(quiet, vms=vms), of_vm)
        counts.append([
            {name: vm.counts[name] for name in ("accesses", "demand_fills", "stores")}
            for vm in result.vms
        ])  # fmt: skip
    assert counts[0] == counts[1]


def test_more_vms_than_vpids_share_them() -> None:
    vms = tuple(
        VMSettings(name=f"v{n}", workload="gups:size=256K,accesses=4k", memory=MIB, seed=n)
        for n in range(1, 20)
    )
    scenario = Scenario("many", HostSettings(memory=64 * MIB, quantum=500), vms)
    assert run(scenario, of_vm, check=True).end == "finished"


@pytest.mark.parametrize("vpid", [True, False])
def test_clocks_that_begin_anew_change_nothing(vpid: bool) -> None:
    """VMs share a core's TLBs, and its clock goes from one to the other."""
    scenario = small()
    scenario = replace(scenario, host=replace(scenario.host, vpid=vpid))
    counted = []
    for is_late in (False, True):
        system = build(scenario, of_vm)
        cores = [guest.machine.core for guest in system.guests]
        if is_late:
            for core in cores:
                make_late(core, 60_000)
        while system.step():
            check_system(system)
        counted.append([(core.stats.tobytes(), core.references.tolist()) for core in cores])
        assert all(core.regs[0]["clock"] < LATE // 2 for core in cores)
    assert counted[0] == counted[1]


def test_a_vm_that_stops_gives_everything_back() -> None:
    scenario = small()
    vms = (replace(scenario.vms[0], stop=0.001), scenario.vms[1])
    system = build(replace(scenario, vms=vms), of_vm)
    while system.step():
        check_system(system)
    first = system.guests[0]
    assert first.off and first.held == 0
    assert not (system.host.frames.frame["owner"][_used(system)] == first.number).any()


def _used(system: System) -> np.ndarray:
    heads = system.host.frames.frame
    return (heads["order"] > 0) & (heads["kind"] > 0)


def test_out_of_memory_ends_with_a_report() -> None:
    scenario = small(ksm=None)
    vms = tuple(replace(vm, workload="gups:size=7M,accesses=20k") for vm in scenario.vms)
    scenario = replace(scenario, vms=vms, host=replace(scenario.host, swap=0))
    result = run(scenario, of_vm)
    assert result.end == "out of memory"
    assert "no swap device" in result.report and "the host is out of memory" in result.report
    full = replace(scenario, host=replace(scenario.host, swap=MIB))
    assert "swap device is full" in run(full, of_vm).report


def test_out_of_guest_disk_is_one_sentence() -> None:
    scenario = small(ksm=None)
    vms = tuple(
        replace(vm, memory=4 * MIB, disk=MIB, workload="gups:size=16M,accesses=20k")
        for vm in scenario.vms
    )
    with pytest.raises(RunError, match="vm a: .*disk that the guest pages to is full"):
        run(replace(scenario, vms=vms), of_vm)


# --- What a broken mechanism would do is noticed --------------------------------------


def busy() -> Crowd:
    machine = crowd("nested")
    for step in (
        ("content", 0, 0, 200, 7), ("content", 1, 0, 200, 7), ("access", 0, 300, 200, STORE),
        ("access", 1, 300, 200, STORE), ("scan", 5000), ("scan", 5000), ("scan", 5000),
        ("access", 0, 0, 50, LOAD), ("host_out", 1, 3, 100, False), ("inflate", 0, 50),
    ):  # fmt: skip
        machine.play(step)
    return machine


def lose_a_block(machine: Crowd) -> None:
    used = np.flatnonzero(machine.system.host.swap.references)
    machine.system.host.swap.references[used[0]] = 0


def spoil_a_block(machine: Crowd) -> None:
    machine.system.host.swap.contents[:] ^= 1


def spoil_a_frame(machine: Crowd) -> None:
    vm = machine.system.guests[0].machine.vm
    gfn = np.flatnonzero((vm.p2m > 0) & (vm.contents > 0))[0]
    machine.system.host.memory.contents[(int(vm.p2m[gfn]) >> 2) - 1] += 1


def store_to_a_merged_page(machine: Crowd) -> None:
    heads = machine.system.host.frames.frame
    merged = np.flatnonzero((heads["kind"] == MERGED_PAGE) & (heads["references"] > 0))
    machine.system.host.memory.written[merged[0]] = 1


def leak_a_merged_frame(machine: Crowd) -> None:
    heads = machine.system.host.frames.frame
    merged = np.flatnonzero((heads["kind"] == MERGED_PAGE) & (heads["references"] > 0))
    heads["references"][merged[0]] += 1


def keep_a_balloon_page(machine: Crowd) -> None:
    machine.system.guests[0].machine.vm.record["ballooned"] -= 1


def forget_to_flush(machine: Crowd) -> None:
    """A page changes its frame, and the TLB still has the old one."""
    guest = machine.system.guests[0]
    machine._run(0, [((BASE + 301) * PAGE, LOAD, 8)])
    core = guest.machine.core
    mine = (core.tag >= 0) & (core.tag >> 59 == int(core.regs[0]["vpid"]))
    slots = np.flatnonzero(mine[: len(core.owner)])
    core.data[slots[0]] ^= 1 << 13


BREAKS = {
    "block": (lose_a_block, "block of the swap device"),
    "block contents": (spoil_a_block, "holds what its guest wrote"),
    "frame contents": (spoil_a_frame, "holds what its guest wrote"),
    "merged page": (store_to_a_merged_page, "mapped read-only everywhere"),
    "merged frame": (leak_a_merged_frame, "accounted for exactly once"),
    "balloon": (keep_a_balloon_page, "accounted for exactly once"),
    "TLB": (forget_to_flush, "a TLB hit is what a walk gives"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_mechanism_is_caught(name: str) -> None:
    damage, message = BREAKS[name]
    machine = busy()
    damage(machine)
    with pytest.raises(CheckFailed, match=message):
        check_system(machine.system)


# --- The command --------------------------------------------------------------------


def test_command(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        '[host]\nmemory="12M"\nswap="32M"\n[[vm]]\nname="a"\ncount=2\nmemory="8M"\n'
        'workload="zipf:keys=8k,accesses=50k"\n[ksm]\nsleep="1ms"\n'
    )
    runner = CliRunner()
    result = runner.invoke(command, [str(path), "--compare", "--plot", str(tmp_path / "a.svg")])
    assert result.exit_code == 0, result.output
    assert "slowdown, worst VM" in result.output and (tmp_path / "a.svg").stat().st_size > 1000
    swept = ["--sweep", "ksm.pages_to_scan=10,1000", "--plot", str(tmp_path / "b.svg")]
    result = runner.invoke(command, [str(path), *swept, "--json", str(tmp_path / "b.json")])
    assert result.exit_code == 0, result.output
    runs = json.loads((tmp_path / "b.json").read_text())
    assert [one["settings"]["ksm"]["pages_to_scan"] for one in runs] == [10, 1000]
    assert runs[0]["schema"] == "mmulab.scenario"
    crowded = runner.invoke(command, [str(path), "--set", "host.memory=2M", "--set", "host.swap=0"])
    assert crowded.exit_code == 1 and "out of memory" in crowded.output
    assert "private" in crowded.output  # who held what
