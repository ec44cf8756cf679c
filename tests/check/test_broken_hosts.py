"""What a broken mechanism of the host would do is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.crowd import BASE, PAGE, Crowd, crowd

from mmulab.mmu.check.host import check_system
from mmulab.mmu.hardware.tlb import CONTEXT_SHIFT
from mmulab.mmu.memory.state import MERGED_PAGE
from mmulab.mmu.techniques.reference import CheckFailed
from mmulab.mmu.trace import LOAD, STORE


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
    mine = (core.tag >= 0) & (core.context["vpid"][core.tag >> CONTEXT_SHIFT] == guest.number)
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
