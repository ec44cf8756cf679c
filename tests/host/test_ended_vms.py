"""Found by random histories: VMs that end."""

from __future__ import annotations

from dataclasses import replace

from drivers.crowd import crowd

from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.trace import STORE
from mmulab.workloads import of_vm

MIB = 1 << 20


def test_a_vm_that_has_ended_its_work_is_switched_off_in_time() -> None:
    short = VMSettings("short", "gups:size=256K,accesses=1k", 2 * MIB, stop=0.002)
    long = replace(short, name="long", workload="gups:size=256K,accesses=4M", stop=0.0)
    system = System(HostSettings(8 * MIB, quantum=1000), (short, long), 1, of_vm)
    while system.step():
        pass
    assert system.now > 0.002
    assert [guest.off for guest in system.guests] == [True, False]
    assert system.guests[0].ended_at < 0.002


def test_ksmd_forgets_a_vm_that_is_off() -> None:
    machine = crowd("nested", count=3, ksm={"use_zero_pages": False})
    for vm in (0, 1, 2):
        machine.play(("access", vm, 0, 100, STORE))
    for _ in range(9):
        machine.play(("scan", 5000))
    before = machine.ksm.counters(machine.system)
    assert before["pages_unshared"] == 300 and before["pages_volatile"] == 0
    machine.play(("inflate", 0, 100))
    machine.play(("off", 0))
    assert machine.balloon.counters(machine.system)["frames"] == 0
    machine.play(("scan", 5000))
    after = machine.ksm.counters(machine.system)
    assert after["pages_unshared"] == 200 and after["pages_volatile"] == 0
    assert int(machine.ksm.trees.scan[0]["rmap_items"]) == 200


class Looks:
    """A service that notes which VMs are on when it looks."""

    name = "looks"
    next_tick = 0.0005

    def __init__(self) -> None:
        self.seen: list[tuple[float, list[str]]] = []

    def tick(self, system: System) -> None:
        self.seen.append((self.next_tick, [guest.name for guest in system.live]))
        self.next_tick += 0.001

    def counters(self, system: System) -> dict[str, float]:
        return {}

    def note(self, system: System) -> str:
        return ""


def test_a_service_that_catches_up_sees_the_vms_that_were_on() -> None:
    """One turn of the other VM is longer than what is left of the first."""
    short = VMSettings("short", "gups:size=256K,accesses=1k", 2 * MIB, stop=0.002)
    long = replace(short, name="long", workload="gups:size=256K,accesses=4M", stop=0.0)
    system = System(HostSettings(8 * MIB, quantum=4_000_000), (short, long), 1, of_vm)
    looks = Looks()
    system.services.append(looks)
    while system.step():
        pass
    assert system.now > 0.004
    for time, names in looks.seen:
        assert ("short" in names) == (time < 0.002), time


def test_a_vm_is_off_before_the_next_begins_at_that_time() -> None:
    """Time goes on to the start of the second, past the stop of the first."""
    first = VMSettings("first", "gups:size=256K,accesses=1k", 2 * MIB, stop=0.5)
    second = replace(first, name="second", start=0.5, stop=0.0)
    system = System(HostSettings(8 * MIB), (first, second), 1, of_vm)
    while system.step():
        assert len(system.live) <= 1
