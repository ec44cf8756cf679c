"""Whole runs of scenarios: what each mechanism must do, and what ends a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drivers.geometries import make_late
from drivers.results import unmade

from mmulab.mmu.check.host import check_system
from mmulab.mmu.errors import RunError
from mmulab.mmu.hardware.clocks import LATE
from mmulab.mmu.hardware.state import Core
from mmulab.mmu.hardware.tlb import CONTEXT_SHIFT
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.scenario.results import to_json
from mmulab.mmu.scenario.run import build, run
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.services.ksm import KSMSettings
from mmulab.workloads import of_vm

MIB = 1 << 20


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
    assert unmade(to_json([first])) == unmade(to_json([second]))
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


def test_any_number_of_vms_is_told_apart() -> None:
    """Whose translations are whose is checked while those of all are in the TLBs."""
    vms = tuple(
        VMSettings(name=f"v{n}", workload="gups:size=64K,accesses=1k", memory=MIB, seed=n)
        for n in range(1, 41)
    )
    wide = (("tlb.stlb.ways", "64"),)  # VMs use the same addresses, and so the same sets
    host = HostSettings(memory=128 * MIB, quantum=250, set=wide)
    system = build(Scenario("many", host, vms), of_vm)
    core = system.cores[0]
    most, steps = 0, 0
    while system.step():
        if steps % 10 == 0:
            check_system(system)
        most, steps = max(most, len(in_tlbs(core))), steps + 1
    assert all(guest.accesses == 1000 for guest in system.guests)
    assert most == 40


def in_tlbs(core: Core) -> set[int]:
    """Numbers of the VMs that TLBs have translations of."""
    held: set[int] = set()
    for unit in core.unit[core.unit["sizes"] > 0]:
        tags = core.tag[unit["base"] : unit["base"] + unit["sets"] * unit["stride"]]
        held |= set(core.context["vpid"][tags[tags >= 0] >> CONTEXT_SHIFT].tolist())
    return held


@pytest.mark.parametrize("vpid", [True, False])
def test_clocks_that_begin_anew_change_nothing(vpid: bool) -> None:
    """VMs share a core's TLBs, and its clock goes from one to the other."""
    scenario = small()
    scenario = replace(scenario, host=replace(scenario.host, vpid=vpid))
    counted = []
    for is_late in (False, True):
        system = build(scenario, of_vm)
        if is_late:
            make_late(system.cores[0], 60_000)
        while system.step():
            check_system(system)
        vcpus = [guest.vcpu for guest in system.guests]
        counted.append([(vcpu.stats.tobytes(), vcpu.references.tolist()) for vcpu in vcpus])
        assert system.cores[0].record[0]["clock"] < LATE // 2
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


def test_costs_of_techniques_can_be_set() -> None:
    vms = (VMSettings(name="a", workload="gups:size=64K,accesses=1k", memory=MIB),)
    cycles = []
    for cost in ("1", "1001"):
        host = HostSettings(memory=8 * MIB, set=(("cost.nested.ept_violation", cost),))
        (vm,) = run(Scenario("one", host, vms), of_vm).vms
        cycles.append(vm.cycles["exit_fault"].likely)
        violations = vm.exits["ept_violation"]
    assert violations > 0 and cycles[1] - cycles[0] == 1000 * violations
