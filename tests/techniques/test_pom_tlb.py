"""A TLB in memory: against lists, and what it spares."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.one_machine import Driver
from drivers.walks import GVA, LARGE_MEMORY, PAGE, PAGE_2M, cold
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab.mmu.check import CheckFailed, check
from mmulab.mmu.hardware import tlb
from mmulab.mmu.hardware.caches import make_room
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.hardware.walks.pom_tlb import translate
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.report.counts import references_of
from mmulab.mmu.trace import FORK, MMAP, MUNMAP, SWITCH


@entry
def _walks(machine: Machine, addresses):
    """Walks for loads of addresses, as if no TLB held any. How many were served in memory."""
    for gva in addresses:
        make_room(machine.core, machine.vcpu)
        translate(machine.core, machine.vcpu, machine.host.memory, gva, 0, True)
    return machine.vcpu.own[0]


class _Model:
    """Sets of four, the latest first, of two areas, and 512 predictions."""

    def __init__(self, sets: int) -> None:
        self.sets = sets
        self.areas: list[dict[int, list[int]]] = [{}, {}]
        self.predicted: dict[int, int] = {}
        self.hits = self.wrong = self.reads = 0

    def look_up(self, gva: int, size: int) -> None:
        """size: of the page that is there."""
        predictor = gva >> 21 & 511
        first = self.predicted.get(predictor, 0)
        used = [bool(area) for area in self.areas]
        for of in (first, 1 - first):
            self.reads += used[of] or (of == first and not any(used))
        page = gva >> (12 + 9 * size)
        lines = self.areas[size].setdefault(page % self.sets, [])
        if page in lines:
            self.hits += 1
            self.reads -= first == size and used[1 - size]  # the other is not read any more
            lines.remove(page)
        lines.insert(0, page)
        del lines[4:]
        self.wrong += first != size
        self.predicted[predictor] = size


#: Half of the pages are of 2 MiB; a set of 4 KiB ones has the page number's low 8 bits.
SMALL, LARGE = GVA, GVA + (1 << 30)
places = st.one_of(
    st.integers(0, 2047).map(lambda n: (SMALL + n * PAGE, 0)),
    st.integers(0, 11).map(lambda n: (SMALL + (n * 256) * PAGE, 0)),
    st.integers(0, 15).map(lambda n: (LARGE + n * PAGE_2M + 5 * PAGE, 1)),
)


@pytest.fixture(scope="module")
def mapped() -> Driver:
    """Both kinds of pages, touched."""
    driver = Driver(
        "pom-tlb:entries=1024", page_size="thp", host_page_size="2m", memory=LARGE_MEMORY
    )
    driver.event(MMAP, SMALL, 3072 * PAGE, 3 | 1 << 8)  # asked for in pages of 4 KiB
    driver.event(MMAP, LARGE, 16 * PAGE_2M, 3 | 2 << 8)
    driver.run([SMALL + n * PAGE for n in range(3072)], [1] * 3072)
    driver.run([LARGE + n * PAGE_2M for n in range(16)], [1] * 16)
    return driver


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(places, min_size=1, max_size=200))
def test_it_holds_what_lists_do(mapped: Driver, history: list[tuple[int, int]]) -> None:
    mapped.flush()
    vcpu = mapped.machine.vcpu
    vcpu.own[:] = vcpu.size[:] = 0
    vcpu.regs[0]["area_used"] = 0
    before = int(references_of(vcpu)[36:].sum())
    model = _Model(256)
    for gva, size in history:
        model.look_up(gva, size)
    hits = _walks(mapped.machine, np.array([gva for gva, _ in history]))
    assert (hits, int(vcpu.own[1])) == (model.hits, model.wrong)
    mapped.access(GVA)  # so that all that has been noted is priced
    check(mapped.simulator)
    assert int(references_of(vcpu)[36:].sum()) - before >= model.reads


@entry
def _drop_tlbs(machine: Machine):
    tlb.flush_all(machine.core)


def test_a_hit_is_one_reference() -> None:
    driver = Driver("pom-tlb", memory=LARGE_MEMORY)
    driver.access(GVA)
    _drop_tlbs(driver.machine)
    assert driver.access(GVA) == 1
    assert driver.machine.vcpu.own[0] == 1


def test_where_both_sizes_are_in_use_a_cold_walk_looks_into_both() -> None:
    driver = Driver("pom-tlb", page_size="thp", host_page_size="2m", memory=LARGE_MEMORY,
                    walk_caches=False)  # fmt: skip
    driver.event(MMAP, GVA, PAGE_2M, 3 | 2 << 8)
    driver.event(MMAP, GVA + PAGE_2M, PAGE, 3 | 1 << 8)
    driver.access(GVA)
    driver.access(GVA + PAGE_2M)
    # Guest's 4 KiB on host's 2 MiB: N(4, 3) = 19, and one line of each area.
    assert cold(driver, GVA + PAGE_2M) == 19 + 2


def test_processes_and_unmapped_pages_are_told_apart() -> None:
    driver = Driver("pom-tlb:entries=1024")
    driver.run([GVA + n * PAGE for n in range(64)], [1] * 64)
    driver.event(FORK, value=2)
    driver.run([GVA + n * PAGE for n in range(0, 64, 2)], [1] * 32)  # copied
    check(driver.simulator)
    driver.event(SWITCH, pid=2)
    driver.run([GVA + n * PAGE for n in range(64)], [0] * 64)
    check(driver.simulator)
    driver.event(MUNMAP, GVA, 8 * PAGE, pid=2)
    driver.event(SWITCH, pid=1)
    _drop_tlbs(driver.machine)
    driver.run([GVA + n * PAGE for n in range(64)], [0] * 64)
    check(driver.simulator)
    assert int(driver.machine.vcpu.own[0]) > 0


def test_an_entry_that_lies_is_found() -> None:
    driver = Driver("pom-tlb:entries=1024")
    driver.access(GVA)
    first = int(driver.regs["area"][0])
    for frame in range(first, first + 4):
        words = driver.table(frame)
        words[1::2][words[::2] != 0] += 1 << 12
    with pytest.raises(CheckFailed, match="a TLB in memory holds what a walk gives"):
        check(driver.simulator)
