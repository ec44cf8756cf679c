"""The invariants of a simulation, checked from outside: for --check and the tests.

1. A cached translation is what a walk would give now (`cached`).
2. What a technique promises of its own state holds: of shadow paging, that an sPT entry is
   its gPT entry composed with the p2m, or not present, or unsync (`techniques`).
3. Every frame is free or accounted for exactly once per reference; a shared frame is
   mapped read-only everywhere (`frames`).
4. All techniques show the same contents at the same addresses, the same A and D bits of
   their leaves, and the same faults (`compare_contents`).
"""

from __future__ import annotations

from collections.abc import Sequence

from mmulab.mmu.check.cached import check_cached, check_vcpu
from mmulab.mmu.check.frames import check_frames
from mmulab.mmu.machine.simulator import Simulator
from mmulab.mmu.memory.entries import A, D
from mmulab.mmu.techniques.reference import CheckFailed, Tables, fail

__all__ = ["CheckFailed", "Tables", "check", "compare_contents", "tables_of"]


#: (pid, address of a page) -> its gfn, the tag of its contents, and its A and D bits.
Contents = dict[tuple[int, int], tuple[int, int, int]]


def check(simulator: Simulator) -> None:
    """Raises CheckFailed where invariant 1, 2 or 3 does not hold, the first on every core."""
    tables = tables_of(simulator)
    reference = simulator.spec.technique.reference(tables)
    check_cached(reference, simulator.units)
    for machine in simulator.machines:
        if machine is not simulator.machine:
            check_vcpu(machine, simulator.spec.technique, simulator.units, tables.where)
    reference.check()
    check_frames(reference)


def tables_of(simulator: Simulator) -> Tables:
    """The page tables of a machine, with where it is for messages."""
    where = f"{simulator.technique}: after {simulator.accesses:,} accesses"
    return Tables(simulator.machine, where)


def _contents(simulator: Simulator) -> Contents:
    """What the pages of all processes are to the guest. Guests that do the same take the same
    frames: an address that leads to another frame shows other contents."""
    tables = tables_of(simulator)
    found = {}
    for process in tables.processes():
        pid = int(tables.vm.process[process]["pid"])
        for entry in tables.guest_entries(int(tables.vm.process[process]["cr3"])):
            if entry.is_leaf:
                tag = int(tables.vm.contents[entry.frame])
                found[pid, entry.address] = entry.frame, tag, entry.value & (A | D)
    return found


def _renamed(theirs: Contents, contents: Contents) -> Contents:
    """The same with another's names for frames, where a guest puts its tables or pages
    elsewhere: each frame has one name, and no two the same."""
    names: dict[int, int] = {}
    given: set[int] = set()
    for key, (frame, _, _) in contents.items():
        if key in theirs and frame not in given and theirs[key][0] not in names:
            names[theirs[key][0]] = frame
            given.add(frame)
    return {key: (names.get(frame, -1), tag, bits) for key, (frame, tag, bits) in theirs.items()}


_FAULTS = ("kernel_entries", "guest_faults", "demand_fills", "cow_breaks", "granted", "pte_writes")


def _count(simulator: Simulator, name: str) -> int:
    return sum(int(machine.vcpu.stats[0][name]) for machine in simulator.machines)


def compare_contents(simulators: Sequence[Simulator]) -> None:
    """Invariant 4. Raises CheckFailed naming the technique that differs from the first."""
    first, *others = simulators
    contents = _contents(first)
    what = "all techniques show the same contents and faults"
    for other in others:
        theirs = _contents(other)
        hooks = first.spec.technique.hooks.keys() | other.spec.technique.hooks.keys()
        if hooks & {"place_table", "place_page"}:
            theirs = _renamed(theirs, contents)
        if theirs != contents:
            page = min(
                key
                for key in contents.keys() | theirs.keys()
                if contents.get(key) != theirs.get(key)
            )
            fail(other.technique, what, f"process {page[0]}, page {page[1]:#x} differs")
        for name in _FAULTS:
            mine, yours = _count(first, name), _count(other, name)
            if mine != yours:
                fail(other.technique, what, f"{yours:,} {name}; {first.technique} has {mine:,}")
