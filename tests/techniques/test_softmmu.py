"""An emulator's software TLB, against QEMU's code written again, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.one_machine import Driver
from drivers.walks import DEPTH_OFF, GVA, PAGE, PAGE_2M
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.qemu_tlb import QemuTlb

from mmulab import workloads
from mmulab.mmu import presets, simulate
from mmulab.mmu.by_hand import walkthrough
from mmulab.mmu.check import CheckFailed, check
from mmulab.mmu.config import Config
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.report.counts import references_of
from mmulab.mmu.techniques import seam
from mmulab.mmu.techniques.softmmu.state import (
    EXCEPTION,
    GROWN,
    LARGE_FLUSHES,
    SHRUNK,
    TLB_FILL,
    VICTIM_HITS,
)
from mmulab.mmu.techniques.softmmu.walk import TLB_SITE
from mmulab.mmu.trace import LOAD, MMAP, STORE

USER = 1  # mode of the program's addresses
PAGES = 1200
READ_WRITE = 3


@entry
def _load_cr3(machine: Machine):
    return seam.load_cr3(machine, machine.vm.record[0].current, 0)


@entry
def _invlpg(machine: Machine, gva):
    return seam.invlpg(machine, gva)


class Emulated(Driver):
    """An emulator with PAGES pages mapped and read, whose counts begin at 0."""

    def __init__(self, technique: str = "softmmu", pages: int = PAGES, **options: object) -> None:
        super().__init__(technique, **options)
        self.event(MMAP, GVA, pages * PAGE, READ_WRITE)
        self.run([GVA + page * PAGE for page in range(pages)], [LOAD] * pages)
        _load_cr3(self.machine)
        self.simulator.reset_counters()

    @property
    def mode(self) -> np.void:
        return self.machine.vm.private.mode[USER]  # type: ignore[attr-defined]

    def counts(self) -> tuple[int, int]:
        vcpu = self.machine.vcpu
        return int(vcpu.exits[TLB_FILL]), int(vcpu.own[VICTIM_HITS])


def entries(driver: Driver) -> int:
    return int(driver.machine.vm.private.mode[USER]["entries"])  # type: ignore[attr-defined]


def working_set(driver: Driver, pages: int) -> None:
    """Some pages are read in turn, and CR3 is loaded."""
    driver.run([GVA + page * PAGE for page in range(pages)], [LOAD] * pages)
    _load_cr3(driver.machine)


# --- What is read ---------------------------------------------------------------------


@pytest.mark.parametrize("page_size", ["4k", "2m"])
def test_a_miss_reads_the_guests_table_by_software(page_size: str) -> None:
    # Given a mapped page and an empty software TLB, when it is read,
    driver = Emulated(pages=512, page_size=page_size)
    driver.access(GVA)
    # then n references are made by software, one a level (QEMU, target/i386, mmu_translate()),
    # and two to the TLB's entry: before it is filled, and again.
    references = references_of(driver.machine.vcpu).sum(axis=1)
    assert references[TLB_SITE] == 2
    assert references.sum() - 2 == 4 - DEPTH_OFF[page_size]
    # When the processor's TLB has lost it, then the entry is all that is read.
    driver.flush()
    assert driver.access(GVA) == 1


def test_a_walk_shows_the_entry_that_is_loaded() -> None:
    walk = walkthrough.walk(GVA, "softmmu", presets.load("skylake-sp"))
    (reference,) = walk.references
    assert (reference.name, reference.purpose) == ("entry", "of the software TLB")
    assert (reference.entry, reference.flags) == (GVA, "")


def test_page_faults_are_raised_by_software() -> None:
    driver = Emulated(pages=1)
    driver.event(MMAP, GVA + PAGE, PAGE, READ_WRITE)
    driver.access(GVA + PAGE)
    vcpu = driver.machine.vcpu
    assert (vcpu.exits[TLB_FILL], vcpu.exits[EXCEPTION]) == (2, 1)


def test_a_first_store_fills_again() -> None:
    # Given a page that was only read, when it is stored to, D must be set: the entry has no
    # page for stores. It is filled for the same page, and counted as used twice.
    driver = Emulated(pages=1)
    for kind in (LOAD, STORE, STORE):
        driver.access(GVA, kind)
    assert driver.counts() == (2, 0)
    assert driver.mode["used"] == 2
    check(driver.simulator)


# --- Resizing -------------------------------------------------------------------------


def test_a_tlb_grows_at_once_and_shrinks_after_a_window() -> None:
    # QEMU, tlb_mmu_resize_locked(): 256 entries at first; above 70 whole per cent of use it
    # doubles at the next flush.
    driver = Driver("softmmu:window=10000")
    driver.event(MMAP, GVA, PAGES * PAGE, READ_WRITE)
    sizes = []
    for pages in (181, 182, 364, 182, 182):
        working_set(driver, pages)
        sizes.append(entries(driver))
    # 181 of 256 are 70 %; 182 are 71, as are 364 of 512; 182 of 1,024 are few, but the window is
    # not over.
    assert sizes == [256, 512, 1024, 1024, 1024]
    # When it is, then the TLB shrinks to the power of two above the most it saw in use; 182 of
    # 256 would be too many, so to twice that.
    driver.run([GVA] * 10_001, [LOAD] * 10_001)
    working_set(driver, 182)
    assert entries(driver) == 512
    own = driver.machine.vcpu.own
    assert (own[GROWN], own[SHRUNK]) == (2, 1)
    # A TLB that is hardly used shrinks to 64 entries, and no further.
    for _ in range(3):
        driver.run([GVA] * 10_001, [LOAD] * 10_001)
        working_set(driver, 1)
    assert entries(driver) == 64


def test_it_grows_no_further_than_it_may() -> None:
    driver = Emulated("softmmu:most=9")
    for _ in range(3):
        working_set(driver, PAGES)
    assert entries(driver) == 512


@entry
def _take_all(machine: Machine):
    while frames.allocate(machine.host.frames, 0, GUEST_PAGE, 1, 0) != NIL:
        pass


def test_a_full_host_halves_what_it_asks_for() -> None:
    # Given a host with no free frame, when a TLB is to grow, it gets back what it gave.
    driver = Driver("softmmu")
    driver.event(MMAP, GVA, 200 * PAGE, READ_WRITE)
    driver.run([GVA + page * PAGE for page in range(200)], [LOAD] * 200)
    _take_all(driver.machine)
    working_set(driver, 200)
    assert driver.machine.vcpu.own[GROWN] == 1
    assert entries(driver) == 256


# --- Against QEMU's code --------------------------------------------------------------

#: Pages of few places in the table, so that they meet there.
places = st.builds(lambda high, low: 256 * high + low, st.integers(0, 3), st.integers(0, 4))
operations = st.lists(
    st.one_of(
        st.tuples(st.just("access"), places, st.sampled_from([LOAD, STORE])),
        st.tuples(st.just("access"), places, st.sampled_from([LOAD, STORE])),
        st.tuples(st.just("invlpg"), places, st.just(0)),
        st.tuples(st.just("flush"), st.just(0), st.just(0)),
    ),
    max_size=120,
)


def play(driver: Emulated, model: QemuTlb, what: str, page: int, kind: int) -> None:
    if what == "access":
        driver.access(GVA + page * PAGE, kind)
        model.access(page, kind)
    elif what == "invlpg":
        _invlpg(driver.machine, GVA + page * PAGE)
        model.invlpg(page)
    else:
        _load_cr3(driver.machine)
        model.flush()


def model_of(driver: Emulated, window: int) -> QemuTlb:
    """What the emulator has come to, as the model has it."""
    model = QemuTlb(window, 1 << 20)
    record = driver.machine.vm.private.record[0]  # type: ignore[attr-defined]
    model.size, model.window_max = entries(driver), int(driver.mode["most_used"])
    model.begin = int(driver.mode["begin"]) - int(record["now"])
    return model


def same(driver: Emulated, model: QemuTlb) -> None:
    used = model.used - (1 << 64) if model.used >> 63 else model.used
    assert driver.counts() == (model.fills, model.victim_hits)
    assert (entries(driver), int(driver.mode["used"])) == (model.size, used)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=operations)
def test_it_is_qemus(history: list[tuple[str, int, int]]) -> None:
    driver = Emulated("softmmu:window=40")
    model = model_of(driver, 40)
    for operation in history:
        play(driver, model, *operation)
        same(driver, model)
    check(driver.simulator)


def test_it_is_qemus_over_many_working_sets() -> None:
    rng = np.random.default_rng(5)
    driver = Emulated("softmmu:window=3000")
    model = model_of(driver, 3000)
    sizes = set()
    for _ in range(60):
        pages = rng.integers(0, rng.integers(2, PAGES), 400)
        kinds = rng.integers(0, 2, 400)
        driver.run((GVA + pages * PAGE).tolist(), kinds.tolist())
        for page, kind in zip(pages.tolist(), kinds.tolist(), strict=True):
            model.access(page, kind)
        same(driver, model)
        if rng.random() < 0.6:
            play(driver, model, "flush", 0, 0)
        sizes.add(model.size)
    assert len(sizes) >= 3
    check(driver.simulator)


# --- Large pages, INVLPG --------------------------------------------------------------


def test_invlpg_within_a_large_page_flushes_all_of_its_mode() -> None:
    # Given entries of a 2 MiB page, of 4 KiB each, when another part of it is flushed,
    driver = Emulated(pages=512, page_size="2m")
    for page in range(4):
        driver.access(GVA + page * PAGE)
    assert driver.counts() == (4, 0)
    _invlpg(driver.machine, GVA + PAGE_2M - PAGE)
    # then all are gone.
    assert driver.machine.vcpu.own[LARGE_FLUSHES] == 1
    driver.access(GVA)
    assert driver.counts() == (5, 0)


# --- Costs and checks -----------------------------------------------------------------


def test_every_access_pays_for_a_look_up() -> None:
    (result,) = simulate.compare(
        workloads.resolve("gups:size=4M,accesses=20K"),
        presets.load("skylake-sp"),
        Config(memory=64 << 20),
        "softmmu",
        check=True,
    ).results
    assert result.events["lookups"] == result.counts["accesses"] == 20_000
    assert result.references_in("software TLB") >= result.counts["walks"]


@pytest.mark.parametrize(("column", "change"), [(3, 1 << 12), (3, 2), (1, 1 << 12), (0, 1 << 20)])
def test_the_check_finds_a_wrong_entry(column: int, change: int) -> None:
    driver = Emulated(pages=1)
    driver.access(GVA, STORE)
    check(driver.simulator)
    table = driver.table(int(driver.mode["table"])).reshape(-1, 4)
    (used,) = np.flatnonzero(table[:, 0] != -1)[:1]
    table[used, column] ^= change
    with pytest.raises(CheckFailed, match="a software TLB holds what the guest's tables say"):
        check(driver.simulator)
