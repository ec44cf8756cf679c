"""Random histories of a guest, under every technique in lockstep, checked after every step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu import presets, simulate
from mmulab.mmu.check import CheckFailed, check, compare_contents, tables_of
from mmulab.mmu.config import Config
from mmulab.mmu.errors import RunError
from mmulab.mmu.hardware.state import NATIVE, Machine
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.machine.build import Simulator, build
from mmulab.mmu.memory.entries import FRAME, RW, P
from mmulab.mmu.memory.tables import entries_in
from mmulab.mmu.techniques import hooks
from mmulab.mmu.trace import (
    BRK,
    EVENT,
    EXEC,
    EXIT,
    FETCH,
    FORK,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    STORE,
    SWITCH,
    Chunk,
)
from mmulab.mmu.vmm import backing

PAGE = 4096
REGION = 4 << 20  # two large pages, so that some ranges hold an aligned one
BASES = (0x5555_5600_0000, 0x7F00_0000_0000, 0x7F00_0000_0000 + REGION)
KERNEL = -(1 << 46)  # an address of the kernel half

#: A small preset: everything overflows soon.
SMALL = replace(
    presets.load("skylake-sp"),
    tlbs=tuple(
        replace(tlb, sets=min(tlb.sets, 2), ways=min(tlb.ways, 3), policy="lru")
        for tlb in presets.load("skylake-sp").tlbs
    ),
)


@entry
def _drop_backing(machine: Machine, gfn):
    hooks.drop_mapping(machine, gfn)
    backing.release(machine, gfn)
    backing.flush_vm(machine)


# --- Steps ------------------------------------------------------------------------

pages = st.integers(0, REGION // PAGE - 1)
lengths = st.sampled_from([1, 2, 3, 40, 512, 700, 1024])
regions = st.integers(0, len(BASES) - 1)
prots = st.sampled_from([0, 1, 3, 5, 7])
steps = st.one_of(
    st.tuples(st.just("access"), regions, pages, st.integers(0, 2), st.integers(1, 6)),
    st.tuples(st.just("access"), regions, pages, st.integers(0, 2), st.integers(1, 6)),
    st.tuples(st.just("straddle"), regions, pages, st.integers(0, 1)),
    st.tuples(st.just("kernel"), pages, st.integers(0, 2)),
    st.tuples(st.just("map"), regions, pages, lengths, prots, st.integers(0, 2)),
    st.tuples(st.just("unmap"), regions, pages, lengths),
    st.tuples(st.just("protect"), regions, pages, lengths, prots),
    st.tuples(st.just("fork")),
    st.tuples(st.just("switch"), st.integers(0, 7)),
    st.tuples(st.just("exit"), st.integers(0, 7)),
    st.tuples(st.just("exec")),
    st.tuples(st.just("brk"), st.integers(0, 40)),
    st.tuples(st.just("reclaim"), st.integers(0, 1 << 20)),
)


class Guest:
    """One history, played to several machines at once."""

    def __init__(self, simulators: list[Simulator]) -> None:
        self.simulators = simulators
        self.pids = [1]
        self.current = 1
        self.next_pid = 2

    def play(self, step: tuple) -> None:
        getattr(self, "_" + step[0])(*step[1:])

    def _run(self, address: list[int], kind: int = LOAD, size: int = 1, events: list = ()) -> None:  # type: ignore
        column = np.array(address, np.int64)
        flags = kind | (4 if size > 1 else 0)
        kinds = np.full(len(column), flags, np.uint8)
        happened = np.array([(0, *event) for event in events], EVENT)
        chunk = Chunk(column, kinds, np.full(len(column), size, np.uint16), happened)
        for simulator in self.simulators:
            simulator.run(chunk, kinds, 0, len(column), 0)

    def _event(self, kind: int, start: int = 0, length: int = 0, value: int = 0) -> None:
        self._run([], events=[(kind, self.current, start, length, value)])

    def _access(self, region: int, page: int, kind: int, count: int) -> None:
        first = BASES[region] + page * PAGE
        self._run([first + 8 * i + i * PAGE for i in range(count)], kind)

    def _straddle(self, region: int, page: int, kind: int) -> None:
        self._run([BASES[region] + page * PAGE + PAGE - 4], kind, size=8)

    def _kernel(self, page: int, kind: int) -> None:
        self._run([KERNEL + page * PAGE], kind)

    def _map(self, region: int, page: int, length: int, prot: int, size: int) -> None:
        self._event(MMAP, BASES[region] + page * PAGE, length * PAGE, prot | size << 8)

    def _unmap(self, region: int, page: int, length: int) -> None:
        self._event(MUNMAP, BASES[region] + page * PAGE, length * PAGE)

    def _protect(self, region: int, page: int, length: int, prot: int) -> None:
        self._event(MPROTECT, BASES[region] + page * PAGE, length * PAGE, prot)

    def _fork(self) -> None:
        if len(self.pids) < 5:
            self._event(FORK, value=self.next_pid)
            self.pids.append(self.next_pid)
            self.next_pid += 1

    def _switch(self, which: int) -> None:
        target = self.pids[which % len(self.pids)]
        self._run([], events=[(SWITCH, target, 0, 0, 0)])
        self.current = target

    def _exit(self, which: int) -> None:
        """Ends another process, or the current one and runs another."""
        if len(self.pids) == 1:
            return
        target = self.pids[which % len(self.pids)]
        self._run([], events=[(EXIT, target, 0, 0, 0)])
        self.pids.remove(target)
        if target == self.current:
            self._switch(0)

    def _exec(self) -> None:
        self._event(EXEC)

    def _brk(self, length: int) -> None:
        self._event(BRK, 0x6000_0000 + length * PAGE)

    def _reclaim(self, number: int) -> None:
        """The VMM takes a host page of each VM away, one that holds no page table."""
        for simulator in self.simulators:
            machine = simulator.machine
            if int(machine.vm.record[0]["technique"]) == NATIVE:
                continue
            p2m = machine.vm.p2m
            backed = np.flatnonzero(p2m)
            if not len(backed):
                continue
            gfn = int(backed[number % len(backed)])
            count = 1 << (9 * (int(p2m[gfn]) & 3))
            first = gfn & ~(count - 1)
            hfns = (p2m[first : first + count] >> 2) - 1
            if not machine.host.memory.table[hfns].any():
                _drop_backing(machine, gfn)


def machines(config: Config, **changes: object) -> list[Simulator]:
    """Native, shadow under both policies, nested."""
    return [
        build("native", SMALL, config),
        build("shadow", SMALL, replace(config, shadow_policy="unsync")),
        build("shadow", SMALL, replace(config, shadow_policy="trap")),
        build("nested", SMALL, config),
    ]


BIG = 64 << 20
CONFIGS = {
    "4k on 4k": Config(memory=BIG),
    "2m on 4k": Config(memory=BIG, page_size="2m"),
    "thp on 2m": Config(memory=BIG, host_memory=128 << 20, page_size="thp", host_page_size="2m"),
    "4k on 2m, flushes": Config(
        memory=BIG, host_memory=128 << 20, host_page_size="2m", pcid=False, vpid=False
    ),
    "five levels, no EPT A/D": Config(memory=BIG, levels=5, host_levels=5, ept_ad=False),
    "no walk caches": Config(memory=BIG, walk_caches=False),
}


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=1, max_size=40))
def test_invariants_hold_after_every_step(name: str, history: list[tuple]) -> None:
    guest = Guest(machines(CONFIGS[name]))
    for step in history:
        guest.play(step)
        for simulator in guest.simulators:
            check(simulator)
        compare_contents(guest.simulators)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=5, max_size=40))
def test_out_of_memory_is_one_sentence(history: list[tuple]) -> None:
    for technique in ("native", "shadow", "nested"):
        guest = Guest([build(technique, SMALL, Config(memory=1 << 20, page_size="2m"))])
        try:
            for step in history:
                guest.play(step)
                check(guest.simulators[0])
        except CheckFailed:
            raise
        except RunError as error:
            assert "memory is too small" in str(error)


# --- The checks can fail --------------------------------------------------------------


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
    entries = (
        tables.shadow_entries(int(vm.process[current]["shadow"]))
        if simulator.technique == "shadow"
        else tables.guest_entries(int(vm.process[current]["cr3"]))
    )
    for one in entries:
        if one.is_leaf and one.value & RW:
            contents = tables.contents(one.table)
            assert contents is not None
            contents[one.position] &= ~RW


def break_shadow_frame(simulator: Simulator) -> None:
    machine = simulator.machine
    page = next(
        p for p in machine.vm.shadow[1:] if p["level"] == 1 and not p["unsync"] and not p["direct"]
    )
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
    trace = workloads.resolve("churn:heap=64K,arena=32K,work=100,accesses=5K")
    with pytest.raises(CheckFailed, match="accounted for exactly once"):
        simulate.compare(trace, SMALL, Config(memory=BIG), ["native"], check=True)
    assert len(calls) == 9


def test_same_input_same_result() -> None:
    trace = workloads.resolve("churn:heap=64K,arena=32K,work=100,accesses=20K")
    runs = [simulate.compare(trace, SMALL, Config(memory=BIG)).to_dict() for _ in range(2)]
    assert runs[0] == runs[1]
