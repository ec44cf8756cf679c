"""What a broken technique leaves behind is caught by the checks."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.guest import BIG, SMALL, Guest

from mmulab import workloads
from mmulab.mmu import simulate
from mmulab.mmu.check import CheckFailed, check, compare_contents, tables_of
from mmulab.mmu.config import Config
from mmulab.mmu.machine.simulator import Simulator, build
from mmulab.mmu.memory.entries import FRAME, RW, P
from mmulab.mmu.memory.tables import entries_in
from mmulab.mmu.trace import FETCH, LOAD, STORE


def busy(technique: str, **changes: object) -> Simulator:
    simulator = build(technique, SMALL, Config(memory=BIG, **changes))  # type: ignore[arg-type]
    guest = Guest([simulator])
    for step in (
        ("map", 0, 0, 40, 3, 0),
        ("access", 0, 0, STORE, 6),
        ("fork",),
        ("access", 0, 2, STORE, 3),
        ("access", 1, 5, LOAD, 4),
        ("access", 2, 5, FETCH, 2),
        ("switch", 1),
        ("access", 0, 0, LOAD, 6),
        ("access", 1, 9, STORE, 3),
    ):
        guest.play(step)
    check(simulator)
    return simulator


def first_table_entry(simulator: Simulator, wanted: int) -> int:
    """Index of an entry of a leaf page table with these bits set."""
    entries = simulator.machine.host.memory.entry
    found = np.flatnonzero((entries & wanted) == wanted)
    return int(found[-1])


def break_tlb_frame(simulator: Simulator) -> None:
    core = simulator.machine.core
    valid = np.flatnonzero(core.tag[: len(core.owner)] >= 0)
    core.data[valid[0]] ^= 1 << 12


def break_rights(simulator: Simulator) -> None:
    """A page becomes read-only with no INVLPG: what a technique that forgot it would do."""
    vm = simulator.machine.vm

    tables = tables_of(simulator)
    current = int(vm.record[0]["current"])
    for one in simulator.spec.technique.reference(tables).entries(current):
        if one.is_leaf and one.value & RW:
            contents = tables.contents(one.table)
            assert contents is not None
            contents[one.position] &= ~RW


def break_shadow_frame(simulator: Simulator) -> None:
    machine = simulator.machine
    pages = machine.vm.private.page[1:]
    page = next(p for p in pages if p["level"] == 1 and not p["unsync"] and not p["direct"])
    entries = entries_in(machine.host.memory, int(page["hfn"]))
    index = int(np.flatnonzero(entries & P)[0])
    entries[index] = (int(entries[index]) & ~FRAME) | (7 << 12)


def leak_frame(simulator: Simulator) -> None:
    frame = simulator.machine.host.frames.frame
    used = np.flatnonzero((frame["order"] > 0) & (frame["kind"] > 0))
    frame["references"][used[-1]] += 1


def lose_frame(simulator: Simulator) -> None:
    frame = simulator.machine.vm.frames.frame
    used = np.flatnonzero((frame["order"] > 0) & (frame["kind"] == 1))
    frame["kind"][used[0]] = 0


def write_to_shared(simulator: Simulator) -> None:
    from mmulab.mmu.memory.entries import COW

    entries = simulator.machine.host.memory.entry
    entries[first_table_entry(simulator, P | COW)] |= RW


def break_psc(simulator: Simulator) -> None:
    core = simulator.machine.core
    number = simulator.units.index("walk cache pde")
    start = int(core.unit[number]["base"])
    valid = [s for s in range(start, start + 32) if core.tag[s] >= 0]
    core.data[valid[0]] ^= 1 << 12


BREAKS = {
    "tlb": (break_tlb_frame, ("native", "shadow", "nested"), "a TLB hit is what a walk gives"),
    "rights": (break_rights, ("native", "nested"), "a TLB hit is what a walk gives"),
    "psc": (break_psc, ("native", "shadow", "nested"), "a walk cache holds what a walk reads"),
    "spt": (break_shadow_frame, ("shadow",), "(a TLB hit is what|an sPT entry is its gPT)"),
    "leak": (leak_frame, ("native", "shadow", "nested"), "every host frame is accounted for"),
    "lost": (lose_frame, ("native", "shadow", "nested"), "every (host|guest) frame is accounted"),
    "shared": (write_to_shared, ("native", "nested"), "(a shared frame|a TLB hit is what)"),
}


@pytest.mark.parametrize(
    ("name", "technique"), [(n, t) for n, (_, ts, _) in BREAKS.items() for t in ts]
)
def test_a_broken_technique_is_caught(name: str, technique: str) -> None:
    damage, _, expected = BREAKS[name]
    simulator = busy(technique)
    damage(simulator)
    with pytest.raises(CheckFailed, match=expected):
        check(simulator)


def test_contents_that_differ_are_caught() -> None:
    one, other = busy("native"), busy("nested")
    compare_contents([one, other])
    other.machine.vm.contents += 1
    with pytest.raises(CheckFailed, match="all techniques show the same contents"):
        compare_contents([one, other])


def test_check_runs_in_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """--check calls the checks after every event, and an error of theirs ends the run."""
    calls: list[int] = []

    def counting(simulator: Simulator) -> None:
        calls.append(simulator.accesses)
        if len(calls) == 9:
            leak_frame(simulator)
        check(simulator)

    monkeypatch.setattr("mmulab.mmu.check.check", counting)
    trace = workloads.resolve("microchurn:heap=64K,arena=32K,work=100,accesses=5K")
    with pytest.raises(CheckFailed, match="accounted for exactly once"):
        simulate.compare(trace, SMALL, Config(memory=BIG), ["native"], check=True)
    assert len(calls) == 9
