"""The page tables that machines build while a guest lives in them, against an independent MMU."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.one_machine import Driver
from models.unicorn_mmu import KINDS, agree_on, agree_on_bits, started, tables_of

from mmulab.mmu.hardware.caches import make_room
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory.entries import FRAME, RW, US, XD, P
from mmulab.mmu.memory.state import NPT_PAGE
from mmulab.mmu.memory.status import OK
from mmulab.mmu.trace import (
    EXIT,
    FETCH,
    FORK,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    STORE,
    SWITCH,
)

HEAP, LARGE, CODE, KERNEL = 0x10000000, 0x7F0000000000, 0x400000, -0x777F00000000
HEAP_PAGES, LARGE_BYTES, CODE_PAGES, KERNEL_PAGES = 300, 8 << 20, 40, 20


@entry
def translate(machine: Machine, walk: Walk, gva, kind, user):
    """(status, hfn, page-fault error code) of a walk by the machine's core."""
    vcpu = machine.vcpu
    make_room(machine.core, vcpu)
    status, leaf, _ = walk.translate(machine.core, vcpu, machine.host.memory, gva, kind, user)
    return status, (leaf & FRAME) >> 12, vcpu.regs[0].fault_code


def random_addresses(rng: np.random.Generator, count: int) -> list[int]:
    areas = (HEAP, HEAP_PAGES << 12), (LARGE, LARGE_BYTES), (CODE, CODE_PAGES << 12)
    areas = (*areas, (KERNEL, KERNEL_PAGES << 12))
    chosen = rng.choice(len(areas), count, p=(0.5, 0.3, 0.1, 0.1))
    return [areas[n][0] + int(rng.integers(areas[n][1] >> 3)) * 8 for n in chosen]


def lived_in(rng: np.random.Generator, technique: str, **options) -> Driver:
    """A machine on which three processes have mapped, forked, copied on write, changed
    protections, unmapped and ended; one that has forked runs."""
    driver = Driver(technique, walk_caches=False, **options)
    data = PROT_READ | PROT_WRITE
    driver.event(MMAP, HEAP, HEAP_PAGES << 12, data | 1 << 8)
    driver.event(MMAP, LARGE, LARGE_BYTES, data | 2 << 8)
    driver.event(MMAP, CODE, CODE_PAGES << 12, PROT_READ | PROT_EXEC | 1 << 8)

    def work(count: int) -> None:
        addresses = random_addresses(rng, count)
        kinds = [LOAD if CODE <= gva < HEAP else int(rng.integers(2)) for gva in addresses]
        driver.run(addresses, kinds)

    work(1500)
    for child in (2, 3):
        driver.event(FORK, value=child)
        work(300)
        driver.event(SWITCH, pid=child)
        work(600)
        driver.event(MPROTECT, HEAP + (20 << 12), 30 << 12, PROT_READ, pid=child)
        driver.event(MUNMAP, HEAP + (100 * child << 12), 20 << 12, pid=child)
        work(100)
        driver.event(SWITCH)
        work(300)
    driver.event(SWITCH, pid=2)
    driver.event(EXIT, pid=3)
    work(200)
    return driver


def placed(driver: Driver) -> dict[int, np.ndarray]:
    """The tables that the processor, or the guest's half of it, walks, by their frame: hfn
    or, under nested paging, gfn."""
    tables = tables_of(driver.machine.host.memory)
    if driver.simulator.technique != "nested":
        return tables
    frame = driver.machine.host.frames.frame
    return {
        int(frame[hfn]["reverse"]) - 1: entries
        for hfn, entries in tables.items()
        if frame[hfn]["kind"] != NPT_PAGE
    }


MACHINES = [
    pytest.param("native", {}, id="native"),
    pytest.param("native", {"levels": 5}, id="native-5"),
    pytest.param("nested", {}, id="nested"),
    pytest.param("nested", {"levels": 5, "host_page_size": "2m"}, id="nested-5-2m"),
    pytest.param("shadow", {}, id="shadow"),
    pytest.param("shadow", {"shadow_policy": "trap"}, id="shadow-trap"),
    pytest.param("shadow", {"host_page_size": "2m"}, id="shadow-2m"),
    pytest.param("shadow", {"levels": 5}, id="shadow-5"),
]


@pytest.mark.parametrize(("technique", "options"), MACHINES)
def test_tables_of_a_machine(technique, options):
    # Given a machine that has run for a while, whose current process has just read all
    # its pages and written half of those it may,
    rng = np.random.default_rng(7)
    driver = lived_in(rng, technique, **options)
    pages, accesses = swept(rng, driver)
    # when Unicorn walks the tables that the processor walks,
    tables = placed(driver)
    frames = driver.machine.vm.frames if technique == "nested" else driver.machine.host.frames
    unicorn = started(tables, int(driver.regs["cr3"]), driver.config.levels, frames.frame.size)
    reverse = driver.machine.host.frames.frame["reverse"]

    def walk(gva: int, kind: int, user: bool):
        of = driver.simulator.spec.technique.walk
        status, hfn, code = translate(driver.machine, of, gva, kind, user)
        if status != OK:
            return None, code
        return (int(reverse[hfn]) - 1 if technique == "nested" else hfn), 0

    def told(gva: int, kind: int, user: bool):
        """What gPT and p2m say, read without a walker."""
        gfn, rights = pages[gva]
        denied = (kind == STORE and not rights & RW) or (kind == FETCH and rights & XD)
        if denied or (user and not rights & US):
            return None, P | kind_bit(kind) | (4 if user else 0)
        return (gfn if technique == "nested" else driver.hfn(gfn)), 0

    # then it agrees with our walker, on the A and D bits too,
    counts = agree_on(unicorn, walk, accesses)
    agree_on_bits(unicorn, tables, int(driver.regs["cr3"]))
    # and both with the guest's page tables and the p2m, write protection included.
    assert agree_on(unicorn, told, accesses) == counts
    assert min(counts.values()) >= KERNEL_PAGES, counts


def kind_bit(kind: int) -> int:
    """Its bit of the page-fault error code (Intel SDM vol. 3A, figure 4-12)."""
    return {LOAD: 0, STORE: 1 << 1, FETCH: 1 << 4}[kind]


def swept(rng: np.random.Generator, driver: Driver):
    """Reads every page of the current process, some places of large ones, and writes half
    of those that it may write. Returns {gva: (gfn, rights)} and accesses to these places;
    stores only where one has been made or is forbidden: a shadow entry is writable from
    its first store on."""

    def places() -> dict[int, tuple[int, int]]:
        found = {}
        for gva, level, gpte, rights in driver.leaves():
            for page in range(0, 1 << (9 * (level - 1)), 61):
                at = gva + (page << 12) + (gva >> 9 & 0xFF8)
                found[at] = ((gpte & FRAME) >> 12) + page, rights
        return found

    before = places()
    driver.run(list(before), [LOAD] * len(before))
    stores = [gva for gva, (_, rights) in before.items() if rights & RW and rng.random() < 0.5]
    driver.run(stores, [STORE] * len(stores))
    driver.run(list(before), [LOAD] * len(before))
    after = places()
    assert set(after) == set(before)
    written = set(stores)
    accesses = [
        (gva, kind, user)
        for gva, (_, rights) in after.items()
        for kind in KINDS
        for user in (False, True)
        if kind != STORE or gva in written or not rights & RW
    ]
    rng.shuffle(accesses)
    return after, [(int(gva), int(kind), bool(user)) for gva, kind, user in accesses]
