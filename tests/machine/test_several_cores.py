"""Threads of a trace on several cores: coherence in random histories, and closed forms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from drivers.guest import BASES, BIG, PAGE, SMALL, Guest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmulab
from mmulab.mmu.check import CheckFailed, check, compare_contents
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.machine import vcpus
from mmulab.mmu.machine.simulator import Simulator, build
from mmulab.mmu.report.counts import shootdowns_of
from mmulab.mmu.trace import EVENT, EXIT, FORK, LOAD, MMAP, MUNMAP, STORE, SWITCH, Chunk

TECHNIQUES = ("native", "shadow", "nested")
REGION, OTHER = BASES[1], BASES[0]


class Threads(Guest):
    """Processes of several threads each."""

    def _thread(self, which: int, thread: int) -> None:
        target = self.pids[which % len(self.pids)]
        self._run([], events=[(SWITCH, target, 0, 0, thread)])
        self.current = target


pages, regions = st.integers(0, 255), st.integers(0, 2)
lengths = st.sampled_from([1, 2, 3, 40, 512])
steps = st.one_of(
    st.tuples(st.just("thread"), st.integers(0, 3), st.integers(1, 4)),
    st.tuples(st.just("thread"), st.integers(0, 3), st.integers(1, 4)),
    st.tuples(st.just("access"), regions, pages, st.integers(0, 2), st.integers(1, 6)),
    st.tuples(st.just("access"), regions, pages, st.integers(0, 2), st.integers(1, 6)),
    st.tuples(st.just("kernel"), pages, st.integers(0, 1)),
    st.tuples(st.just("map"), regions, pages, lengths, st.sampled_from([1, 3]), st.integers(0, 1)),
    st.tuples(st.just("unmap"), regions, pages, lengths),
    st.tuples(st.just("protect"), regions, pages, lengths, st.sampled_from([0, 1, 3])),
    st.tuples(st.just("fork")),
    st.tuples(st.just("exit"), st.integers(0, 3)),
    st.tuples(st.just("exec")),
    st.tuples(st.just("reclaim"), st.integers(0, 1 << 20)),
)


def _play(history: list[tuple], config: Config) -> list[Simulator]:
    simulators = [build(technique, SMALL, config) for technique in TECHNIQUES]
    guest = Threads(simulators)
    for step in history:
        guest.play(step)
        for simulator in simulators:
            check(simulator)
        compare_contents(simulators)
    return simulators


histories = given(history=st.lists(steps, min_size=5, max_size=25), pcid=st.booleans())


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@histories
def test_every_core_stays_coherent(history: list[tuple], pcid: bool) -> None:
    _play(history, Config(memory=BIG, cores=3, pcid=pcid, caches="off"))


@pytest.mark.long
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@histories
def test_every_core_stays_coherent_for_long(history: list[tuple], pcid: bool) -> None:
    _play(history, Config(memory=BIG, cores=3, pcid=pcid, caches="off"))


class Munmaps:
    """Threads of one process, which take turns of `turn` accesses to the same pages; the first
    unmaps them each round and maps them again."""

    name, length = "munmaps", None

    def __init__(self, threads: int, pages: int, rounds: int = 5) -> None:
        self.threads, self.pages, self.rounds = threads, pages, rounds

    def chunks(self, columns: object = ()) -> Iterator[Chunk]:
        events, address = [], []
        for _ in range(self.rounds):
            for thread in range(1, self.threads + 1):
                events.append((len(address), SWITCH, 1, 0, 0, thread))
                if thread == 1:
                    events.append((len(address), MMAP, 1, REGION, self.pages * PAGE, 3))
                address += [REGION + page * PAGE for page in range(self.pages)]
            events.append((len(address), SWITCH, 1, 0, 0, 1))
            events.append((len(address), MUNMAP, 1, REGION, self.pages * PAGE, 0))
        column = np.array(address, np.int64)
        kinds = np.full(len(column), STORE, np.uint8)
        yield Chunk(column, kinds, np.full(len(column), 8, np.uint16), np.array(events, EVENT))


def _compared(trace: Munmaps, cores: int, **options: object):  # type: ignore[no-untyped-def]
    given = {"techniques": ",".join(TECHNIQUES), "preset": "skylake-sp", "memory": "64M"}
    return mmulab.compare(trace, cores=cores, caches="off", **given | options)  # type: ignore


@pytest.mark.parametrize("unmapped", [1, 20, 100])
def test_an_unmap_interrupts_each_other_core_that_runs_the_process_once(unmapped: int) -> None:
    """Whatever the number of pages; they drop each page, or all above Linux's ceiling."""
    threads, rounds = 3, 5
    comparison = _compared(Munmaps(threads, unmapped, rounds), 4)
    for result in comparison.results:
        told = result.shootdowns
        assert told["shootdowns"] == rounds
        assert told["ipis_sent"] == told["ipis_received"] == rounds * (threads - 1)
        each = 1 if unmapped > 33 else unmapped
        what = "cr3_loads" if unmapped > 33 else "invlpgs"
        first = threads - 1 if unmapped > 33 else 0  # a vCPU loads CR3 when it first runs
        assert result.counts[what] == rounds * threads * each + first
        assert [core.shootdowns["ipis_received"] for core in result.cores] == [0, 5, 5, 0]


def test_what_the_guest_does_is_the_same_on_any_number_of_cores() -> None:
    one, *others = (_compared(Munmaps(3, 20), cores) for cores in (1, 2, 3, 5))
    for several in others:
        for result, alone in zip(several.results, one.results, strict=True):
            for name in ("guest_faults", "demand_fills", "pte_writes", "accesses"):
                assert result.counts[name] == alone.counts[name]
            assert sum(core.accesses for core in result.cores) == result.counts["accesses"]


def _run(simulator: Simulator, address: list[int], *events: tuple) -> None:
    column = np.array(address, np.int64)
    kinds = np.full(len(column), LOAD, np.uint8)
    happened = np.array([(0, *event) for event in events], EVENT)
    chunk = Chunk(column, kinds, np.full(len(column), 1, np.uint16), happened)
    simulator.run(chunk, kinds, 0, len(column), 0)


def _two_threads(technique: str) -> Simulator:
    """Both have a page of the region in their TLBs; the first has its turn."""
    simulator = build(technique, SMALL, Config(memory=BIG, cores=2, caches="off"))
    _run(simulator, [REGION, OTHER], (MMAP, 1, REGION, 4 * PAGE, 3), (MMAP, 1, OTHER, PAGE, 3))
    _run(simulator, [REGION, OTHER], (SWITCH, 1, 0, 0, 1))
    _run(simulator, [REGION, OTHER], (SWITCH, 1, 0, 0, 2))
    _run(simulator, [OTHER], (SWITCH, 1, 0, 0, 1))
    return simulator


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_lazy_tlb_is_not_interrupted_and_flushes_before_it_goes_on(technique: str) -> None:
    simulator = _two_threads(technique)
    for _ in range(vcpus.IDLE_AFTER // 1000):  # while the other thread does nothing
        _run(simulator, [OTHER] * 1000)
    _run(simulator, [], (MUNMAP, 1, REGION, PAGE, 0))
    told = shootdowns_of(simulator.machine.vm)
    assert (told["ipis_sent"], told["ipis_skipped"]) == (1, 0)  # its page table was freed
    _run(simulator, [REGION + PAGE], (MMAP, 1, REGION, 4 * PAGE, 3))
    _run(simulator, [REGION + 2 * PAGE])
    _run(simulator, [], (MUNMAP, 1, REGION + PAGE, PAGE, 0))
    told = shootdowns_of(simulator.machine.vm)
    assert (told["ipis_sent"], told["ipis_skipped"]) == (1, 1)
    check(simulator)
    _run(simulator, [REGION + PAGE], (SWITCH, 1, 0, 0, 2))
    check(simulator)


def test_a_process_that_ran_elsewhere_before_costs_no_interrupt() -> None:
    """Its core runs another process: it flushes when it loads the address space again."""
    simulator = _two_threads("native")
    _run(simulator, [], (FORK, 1, 0, 0, 2))
    sent = shootdowns_of(simulator.machine.vm)["ipis_sent"]  # fork protects what it shares
    assert sent == 1
    _run(simulator, [OTHER], (SWITCH, 2, 0, 0, 1))
    at = simulator.turns.at if simulator.turns else 0
    _run(simulator, [OTHER], (SWITCH, 1, 0, 0, 2 - at))  # the thread that still has its core
    _run(simulator, [], (MUNMAP, 1, REGION + PAGE, PAGE, 0))
    told = shootdowns_of(simulator.machine.vm)
    assert (told["ipis_sent"], told["ipis_skipped"]) == (sent, 0)  # nothing was mapped there
    _run(simulator, [], (MUNMAP, 1, OTHER, PAGE, 0))
    told = shootdowns_of(simulator.machine.vm)
    assert (told["ipis_sent"], told["ipis_skipped"]) == (sent, 1)
    check(simulator)
    _run(simulator, [], (EXIT, 2, 0, 0, 0))
    check(simulator)


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_missed_shootdown_is_found(technique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other core keeps a translation that is no more."""
    simulator = _two_threads(technique)
    check(simulator)

    def missed(vm, machine_of) -> int:  # type: ignore[no-untyped-def]
        vm.record[0]["posts"] = 0
        vm.cpu["owes"] = 0
        return 0

    monkeypatch.setattr(vcpus, "settle", missed)
    _run(simulator, [], (MUNMAP, 1, REGION, PAGE, 0))
    with pytest.raises(CheckFailed, match="vCPU 1.*a walk faults"):
        check(simulator)


def test_techniques_of_one_vcpu_say_so() -> None:
    with pytest.raises(InputError, match="technique pvm has one vCPU"):
        _compared(Munmaps(1, 1), 2, techniques="pvm")
    with pytest.raises(InputError, match="63 cores: expected 1 to 62"):
        _compared(Munmaps(1, 1), 63)
    with pytest.raises(InputError, match="a sample of 2 cores"):
        mmulab.estimate("gups:size=64K,accesses=10K", cores=2)
