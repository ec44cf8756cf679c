"""Hosts of several cores, and VMs of several vCPUs: time, steal, shootdowns, schedulers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mmulab.mmu.errors import InputError
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.results import RunResult
from mmulab.mmu.scenario.run import run
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.services.ksm import KSMSettings
from mmulab.mmu.trace import EVENT, MMAP, MUNMAP, STORE, SWITCH, Chunk
from mmulab.workloads import generators

PAGE = 4096
BASE, HEAP = 0x7F00_0000_0000, 0x6000_0000
MIB = 1 << 20


class Work:
    """Threads that take turns of 250 stores to pages of their own; the first unmaps a page that
    all have used each round."""

    name, length = "work", None

    def __init__(self, threads: int, rounds: int = 8, pages: int = 40, shared: bool = True) -> None:
        self.threads, self.rounds, self.pages, self.shared = threads, rounds, pages, shared

    def chunks(self, columns: object = ()) -> Iterator[Chunk]:
        events, address = [], []
        for _ in range(self.rounds):
            for thread in range(self.threads):
                events.append((len(address), SWITCH, 1, 0, 0, thread + 1))
                if thread == 0 and self.shared:
                    events.append((len(address), MMAP, 1, BASE, PAGE, 3))
                mine = HEAP + thread * self.pages * PAGE
                address += [BASE] if self.shared else []
                address += [mine + n % self.pages * PAGE for n in range(249)]
            if self.shared:
                events.append((len(address), SWITCH, 1, 0, 0, 1))
                events.append((len(address), MUNMAP, 1, BASE, PAGE, 0))
        column = np.array(address, np.int64)
        kinds = np.full(len(column), STORE, np.uint8)
        yield Chunk(column, kinds, np.full(len(column), 8, np.uint16), np.array(events, EVENT))


def _run(work: Work, vms: int, vm: dict | None = None, **host: object) -> RunResult:
    settings = HostSettings(memory=64 * MIB, preset="skylake-sp", quantum=500, **host)  # type: ignore
    one = VMSettings(name="vm", workload="-", memory=8 * MIB, **(vm or {}))  # type: ignore[arg-type]
    each = tuple(replace(one, name=f"vm{number}") for number in range(vms))
    return run(Scenario("cores", settings, each), lambda _: work)


def _told(result: RunResult, name: str) -> int:
    return sum(vm.measured.shootdowns[name] for vm in result.vms)


def test_as_many_cores_as_vms_run_them_at_once() -> None:
    """Nobody waits, and each VM counts what it would alone."""
    work = Work(1, shared=False)
    alone, four = _run(work, 1, cores=1), _run(work, 4, cores=4)
    for vm in four.vms:
        assert vm.seconds == pytest.approx(alone.vms[0].seconds, rel=1e-9)
        assert vm.counts == alone.vms[0].counts
        assert [vcpu.steal for vcpu in vm.vcpus] == [0.0]
    assert [core.switches for core in four.cores] == [0] * 4


def test_steal_is_the_time_that_others_ran() -> None:
    """Three equal VMs on a core of two: each waits while the others have it."""
    result = _run(Work(1, shared=False), 3, {"pin": "1"}, cores=2, scheduler="pinned")
    first, second = result.cores
    assert first.busy == 0
    for vm in result.vms:
        (vcpu,) = vm.vcpus
        assert vcpu.pcpu == 1 and vcpu.moves <= 1
        assert vcpu.busy + vcpu.steal == pytest.approx(vm.seconds, rel=1e-9)
    assert second.busy == pytest.approx(sum(vm.vcpus[0].busy for vm in result.vms))


def test_same_scenario_same_bytes() -> None:
    for scheduler in ("credit", "gang"):
        pair = [
            _run(Work(2), 3, {"vcpus": 2}, cores=3, scheduler=scheduler).to_dict() for _ in range(2)
        ]
        for result in pair:
            result.pop("made")
        assert json.dumps(pair[0]) == json.dumps(pair[1])


@pytest.mark.parametrize("technique", ["nested", "shadow"])
def test_who_is_told_of_an_unmap(technique: str) -> None:
    """Every round, of three threads that run at once, two: by IPIs; by a hypercall."""
    work, vm = Work(3), {"vcpus": 3, "technique": technique}
    by_ipi = _run(work, 1, vm, cores=3)
    assert _told(by_ipi, "shootdowns") == work.rounds
    assert _told(by_ipi, "ipis_sent") == _told(by_ipi, "ipis_received") == 2 * work.rounds
    by_call = _run(work, 1, vm | {"remote_flush": "hypercall"}, cores=3)
    assert _told(by_call, "flush_hypercalls") == work.rounds
    assert _told(by_call, "ipis_sent") == 0
    kicked = _told(by_call, "kicks_received") - _told(by_ipi, "kicks_received")
    assert kicked == 2 * work.rounds


def test_vcpus_that_wait_are_waited_for_unless_the_guest_leaves_them_the_flush() -> None:
    """Two VMs of two vCPUs on two cores, one of which also runs a third VM."""
    work, vm = Work(2), {"vcpus": 2}
    by_ipi = _run(work, 3, vm, cores=3)
    assert sum(vcpu.waits for each in by_ipi.vms for vcpu in each.vcpus) > 0
    left = _run(work, 3, vm | {"remote_flush": "preempted"}, cores=3)
    assert _told(left, "flushes_left") > 0
    assert sum(vcpu.waits for each in left.vms for vcpu in each.vcpus) == 0


def test_gang_scheduling_never_waits_for_an_interrupt_and_leaves_cores_idle() -> None:
    work, vm = Work(2), {"vcpus": 2}
    credit = _run(work, 3, vm, cores=3, scheduler="credit")
    gang = _run(work, 3, vm, cores=3, scheduler="gang")
    assert sum(vcpu.waits for each in gang.vms for vcpu in each.vcpus) == 0
    assert gang.seconds[-1] > credit.seconds[-1]


def test_credits_follow_shares() -> None:
    """Time on a core, while both want it."""
    work = Work(1, rounds=400, shared=False)
    host = HostSettings(
        memory=64 * MIB, preset="skylake-sp", quantum=500, scheduler="credit", ghz=0.01
    )
    vms = tuple(
        VMSettings(name=f"vm{shares}", workload="-", memory=8 * MIB, shares=shares)
        for shares in (1000, 3000)
    )
    result = run(Scenario("shares", host, vms), lambda _: work)
    small, large = result.vms
    assert large.seconds < 0.75 * small.seconds


@pytest.mark.parametrize(("vpid", "vms"), [(False, 3), (True, 3), (True, 40)])
def test_time_slices_without_vpids_walk_anew(vpid: bool, vms: int) -> None:
    """k VMs of w pages each on a core, an L2 TLB of e entries, over whose sets the pages lie even:
    w walks a quantum without VPIDs; with them none once all is there, if k w <= e; else w."""
    pages, quantum, rounds = 128, 249, 12  # a page a set of 128
    entries = 1536
    host = HostSettings(memory=256 * MIB, preset="skylake-sp", quantum=quantum, vpid=vpid, ghz=2.0)
    each = tuple(VMSettings(name=f"vm{n}", workload="-", memory=2 * MIB) for n in range(vms))
    counts = []
    for times in (rounds, rounds + 4):
        work = Work(1, rounds=times, pages=pages, shared=False)
        result = run(Scenario("slices", host, each), lambda _, work=work: work)  # type: ignore
        counts.append(result.vms[1].counts["walks"])
    a_quantum = (counts[1] - counts[0]) / 4
    fits = vms * pages <= entries
    assert a_quantum == (0 if vpid and fits else pages)


def test_a_scenario_file_with_cores() -> None:
    text = """
        [host]
        memory = "64M"
        preset = "skylake-sp"
        cores = 4
        scheduler = "pinned"
        [[vm]]
        memory = "16M"
        vcpus = 2
        pin = "1,3"
        workload = "munmap:threads=2,accesses=5K"
        remote_flush = "hypercall"
    """
    scenario = parsing.parse(text, "cores.toml")
    from mmulab import workloads

    result = run(scenario, lambda vm: workloads.resolve(vm.workload), check=True)
    assert [vcpu.pcpu for vcpu in result.vms[0].vcpus] == [1, 3]
    assert [core.busy > 0 for core in result.cores] == [False, True, False, True]
    for wrong, why in (
        ('pin = "1,1"', "expected 2 different numbers"),
        ('pin = "1,7"', "on a host of 4 cores"),
        ("vcpus = 5", "5 vCPUs on a host of 4 cores"),
        ('vcpus = 2\ntechnique = "pvm"', "technique pvm has one vCPU"),
        ("vcpus = 70", "expected 1 to 62"),
    ):
        broken = text.replace('pin = "1,3"\n', "").replace("vcpus = 2\n", "vcpus = 2\n", 1)
        if "vcpus" in wrong:
            broken = broken.replace("vcpus = 2\n", "")
        broken = broken.replace("[[vm]]", f"[[vm]]\n{wrong}")
        with pytest.raises(InputError, match=why):
            run(parsing.parse(broken, "cores.toml"), lambda vm: Work(1))


def test_a_merged_page_is_told_to_each_other_vcpu() -> None:
    """They are kicked, or, where they do not run, flush at their next entry."""
    told, merges = [], 0
    for ksm in (None, KSMSettings(pages_to_scan=500, sleep=1e-3, smart_scan=False)):
        host = HostSettings(memory=64 * MIB, preset="skylake-sp", quantum=500, cores=3, ghz=1.0)
        vms = tuple(
            VMSettings(name=name, workload="-", memory=8 * MIB, vcpus=3) for name in ("a", "b")
        )
        zeros = "munmap:threads=3,heap=800K,work=1000,accesses=300K"  # nothing stores to the heap
        result = run(
            Scenario("merges", host, vms, ksm=ksm), lambda _, spec=zeros: generators.create(spec)
        )  # type: ignore[misc]
        told.append(_told(result, "kicks_received") + _told(result, "flushes_left"))
        merges = int(result.services["ksm"]["merges"]) if ksm else 0
    assert merges > 0
    assert told[1] - told[0] == 2 * merges


def test_vms_of_several_vcpus_are_not_copied() -> None:
    text = """
        [host]
        memory = "64M"
        cores = 2
        [[vm]]
        name = "a"
        memory = "16M"
        vcpus = 2
        workload = "gups:size=64K,accesses=1K"
        [[event]]
        at = "1ms"
        vm = "a"
        do = "suspend"
        to = "disk"
    """
    with pytest.raises(InputError, match="it has 2 vCPUs"):
        parsing.parse(text, "copies.toml")
