"""A partition has all of its memory in one piece, from the start, or it does not start."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.one_machine import Driver
from drivers.two_vms import MECHANISMS, two_vms
from drivers.walks import GVA

from mmulab import workloads
from mmulab.mmu import presets, simulate
from mmulab.mmu.check.host import check_system
from mmulab.mmu.config import Config
from mmulab.mmu.errors import RunError


def test_memory_lies_above_a_base_that_is_added_to_each_frame() -> None:
    driver = Driver("partition", memory=64 << 20)
    driver.access(GVA)
    base = int(driver.regs["segment_offset"][1])
    assert base > 0 and base % 512 == 0
    gfns = np.arange(len(driver.machine.vm.p2m))
    assert ((driver.machine.vm.p2m >> 2) - 1 == base + gfns).all()
    assert driver.simulator.frames_by_kind()["guest page"] == len(gfns)
    assert not driver.machine.vcpu.exits.any()


def test_a_host_without_the_room_is_refused_with_the_reason() -> None:
    trace = workloads.resolve("churn:heap=64K,arena=32K,work=100,accesses=2K")
    config = Config(memory=64 << 20, host_memory=48 << 20)
    preset = presets.load("skylake-sp")
    assert simulate.compare(trace, preset, config, "nested").results
    with pytest.raises(RunError, match="no free run of frames .* cannot be overcommitted"):
        simulate.compare(trace, preset, config, "partition")


@pytest.mark.parametrize("name", MECHANISMS)
def test_no_mechanism_takes_a_frame_of_it(name: str) -> None:
    system = two_vms("partition", rest=MECHANISMS[name])
    while system.step():
        partition, other = system.guests
        if partition.started:
            assert partition.held == partition.frames
        check_system(system)
    assert int(other.vcpu.stats[0]["host_swap_outs"]) or other.ballooned or name == "ksm"


def test_two_that_do_not_fit_are_not_overcommitted() -> None:
    system = two_vms("partition", "partition")
    with pytest.raises(RunError, match="vm second: .* no free run of frames"):
        while system.step():
            pass


def test_its_memory_goes_back_when_it_is_switched_off() -> None:
    system = two_vms("partition", host="80M")
    free = system.free
    system.step()
    assert system.free == free - (32 << 8)
    system.guests[0].switch_off()
    assert system.guests[0].held == 0
    while system.step():
        pass
    system.guests[1].switch_off()
    assert system.free == free
