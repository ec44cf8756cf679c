"""Memory that is plugged and unplugged in blocks of 2 MiB while a VM runs."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.lives import Lives

from mmulab.mmu.errors import InputError
from mmulab.mmu.guest.drivers import hot_plug
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory import frames
from mmulab.mmu.services.events.resize import Resize
from mmulab.mmu.trace import STORE

BLOCKS = 8  # of 16 MiB
TOUCHED = 2000


def running(technique: str = "nested") -> tuple[Lives, Guest]:
    machine = Lives(technique, vms=1, late=0, memory=16 << 20, host_mib=32)
    machine.play(("access", 0, 0, TOUCHED, STORE))
    return machine, machine.system.guests[0]


def resized(machine: Lives, mib: int) -> float:
    seconds = Resize(mib << 20).act(machine.system, machine.system.guests[0])
    machine.check()
    return seconds


def free(guest: Guest) -> int:
    counts = guest.vm.frames.counts
    return int(counts[frames.TOTAL] - counts[frames.IN_USE])


@pytest.mark.parametrize("technique", ["nested", "shadow"])
def test_blocks_that_nobody_uses_go_from_the_top_and_come_back(technique: str) -> None:
    machine, guest = running(technique)
    before = free(guest)
    seconds = resized(machine, 10)
    assert guest.unplugged == 3 * hot_plug.BLOCK == before - free(guest)
    assert guest.vm.frames.frame["order"][[f * 512 for f in (5, 6, 7)]].tolist() == [10] * 3
    cost = guest.costs["cost.vm_exit"].value / machine.system.hertz
    assert seconds == pytest.approx(3 * cost)
    assert resized(machine, 16) == pytest.approx(3 * cost)
    assert guest.unplugged == 0 and free(guest) == before


def test_what_stood_behind_a_block_is_the_hosts_again() -> None:
    """All pages of a process that has ended stay behind its memory, until their blocks go."""
    machine, guest = running()
    for step in (("fork", 0), ("access", 0, 0, 1200, STORE), ("exit", 0, 1)):
        machine.play(step)
    held, frames_free = guest.held, machine.system.free
    backed = guest.vm.p2m > 0
    blocks = np.arange(BLOCKS) * hot_plug.BLOCK
    resized(machine, 2)
    gone = guest.vm.frames.frame["order"][blocks] == hot_plug.ORDER + 1
    given = int(backed.reshape(BLOCKS, -1)[gone].sum())
    assert gone.any() and guest.unplugged == int(gone.sum()) * hot_plug.BLOCK
    assert guest.held == held - given
    assert machine.system.free >= frames_free + given


def test_a_vm_keeps_blocks_that_are_used() -> None:
    machine, guest = running()
    resized(machine, 2)
    assert BLOCKS * hot_plug.BLOCK - guest.unplugged >= TOUCHED
    machine.play(("access", 0, 0, TOUCHED, STORE))
    machine.check()


def test_a_size_below_a_block_is_refused() -> None:
    with pytest.raises(InputError, match="size of a VM"):
        Resize(4096)
