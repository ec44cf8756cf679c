"""Walks on RISC-V and Arm against models written from their manuals, which read memory in the
architecture's own bits."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.encoded import encoded
from drivers.one_machine import Driver
from drivers.walks import LARGE_MEMORY, cold
from models.two_stage import Arm, Fault, Model, RiscV

from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.hardware.caches import make_room
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory.entries import EPT_D, EPT_W, EPT_X, FRAME, RW, XD, A, D, G
from mmulab.mmu.memory.status import EPT_VIOLATION, OK
from mmulab.mmu.presets import load
from mmulab.mmu.presets.architectures import (
    RISCV64,
    root_tables,
    stage_1_levels,
    stage_2_levels,
)
from mmulab.mmu.trace import FETCH, FORK, LOAD, MMAP, MPROTECT, STORE

LOW, HIGH, KERNEL = 0x10000000, 0x3F00000000, -(1 << 37)
PAGES = 60
MODELS = {"kunminghu": RiscV, "neoverse-n1": Arm}


@entry
def translate(machine: Machine, walk: Walk, gva, kind, user):
    """(status, hfn, fault code, address of a fault of the second stage, references)."""
    core, vcpu = machine.core, machine.vcpu
    make_room(core, vcpu)
    before = core.record[0].noted
    status, leaf, _ = walk.translate(core, vcpu, machine.host.memory, gva, kind, user)
    regs = vcpu.regs[0]
    frame = (leaf & FRAME) >> 12
    return status, frame, regs.fault_code, regs.fault_gpa, core.record[0].noted - before


def lived_in(technique: str, preset: str, **options) -> tuple[Driver, list[int]]:
    """A machine whose process has mapped, written, read, forked and changed protections, without
    walk caches; addresses of pages to try."""
    driver = Driver(technique, preset, walk_caches=False, **options)
    for start in (LOW, HIGH):
        driver.event(MMAP, start, 8 << 20, 7 | 1 << 8)
    pages = [*range(LOW, LOW + (PAGES << 12), 4096), *range(HIGH, HIGH + (4 << 20), 1 << 19)]
    driver.run(pages, [STORE if at & 4096 else LOAD for at in pages])
    driver.run([KERNEL, KERNEL + 4096], [STORE, LOAD])
    driver.event(FORK, value=2)
    driver.event(MPROTECT, LOW + (10 << 12), 10 << 12, 1)
    driver.run(pages[30:40], [STORE] * 10)
    return driver, [*pages, KERNEL, KERNEL + 4096, LOW + (7 << 21), HIGH + (1 << 34)]


def model_of(driver: Driver, preset: str) -> Model:
    nested = driver.simulator.technique == "nested"
    regs = driver.regs
    return MODELS[preset](
        memory=encoded(driver),
        levels=(int(regs["levels"]), int(regs["root_levels"]) if nested else 0),
        roots=(int(regs["cr3"]) << 12, int(regs["root"]) << 12 if nested else -1),
        width=int(regs["physical_bits"]),
    )


def agree(driver: Driver, model: Model, gva: int, kind: int, user: bool) -> str:
    """Makes an access on both; says what came of it. The second time nothing has to be marked,
    and references are counted."""
    walk = driver.simulator.spec.technique.walk
    for again in (False, True):
        model.read.clear()
        status, hfn, code, gpa, count = translate(driver.machine, walk, gva, kind, user)
        where = f"{gva:#x}, kind {kind}, user {user}"
        try:
            expected = model.translate(gva, kind, user)
        except Fault as fault:
            assert status != OK and code == fault.code, where
            assert (status == EPT_VIOLATION) == fault.second, where
            if fault.second:
                assert gpa >> 12 == fault.gpa >> 12, where
            outcome = "stage 2 fault" if fault.second else "fault"
        else:
            assert (status, hfn) == (OK, expected >> 12), where
            outcome = "translated"
        if again:
            assert count == len(model.read), where
    return outcome


def spoil(driver: Driver, rng: np.random.Generator) -> None:
    """Takes rights, A, D and whole entries away from both tables, as software might."""
    regs = driver.regs
    # An address beyond all guest-physical ones, where an entry has the bits for it.
    beyond = driver.simulator.spec.technique.arch == RISCV64 or regs["physical_bits"] < 48
    for gva, level, _, _ in list(driver.leaves()):
        change = int(rng.integers(10))
        if change > 5 or level > 1:
            continue
        table = driver.hfn(int(driver.process()["cr3"]))
        for depth in range(int(regs["levels"]), 1, -1):
            table = driver.hfn((int(driver.table(table)[gva >> 3 + 9 * depth & 511]) & FRAME) >> 12)
        entries, index = driver.table(table), gva >> 12 & 511
        entries[index] &= (~A, ~D, ~RW, -1, -1, -2)[change]
        entries[index] |= (0, 0, 0, XD, G, 0)[change]
        if change == 4 and beyond:
            entries[index] |= 1 << int(regs["physical_bits"])
    if driver.simulator.technique != "nested":
        return
    for table, index in nested_leaves(driver):
        change = int(rng.integers(12))
        if change < 4:
            driver.table(table)[index] &= (~EPT_W, ~EPT_X, ~EPT_D, 0)[change]


def nested_leaves(driver: Driver) -> list[tuple[int, int]]:
    """(table, index) of each leaf of 4 KiB of the nested table that maps memory in use."""
    regs = driver.regs
    found = []
    tables = [int(regs["root"])]
    for _ in range(int(regs["root_levels"]) - 1):
        tables = [
            (int(e) & FRAME) >> 12 for t in tables for e in driver.table(t) if e & 7 and not e & 128
        ]
    for table in tables:
        found += [(table, int(i)) for i in np.flatnonzero(driver.table(table))]
    return found


CASES = [
    ("kunminghu", "nested", {"levels": 3}),
    ("kunminghu", "nested", {"levels": 4, "page_size": "thp", "host_page_size": "2m"}),
    ("kunminghu", "nested", {"levels": 5, "host_levels": 4}),
    ("kunminghu", "native", {"levels": 3}),
    ("neoverse-n1", "nested", {}),
    ("neoverse-n1", "nested", {"levels": 3, "page_size": "thp", "host_page_size": "2m"}),
    ("neoverse-n1", "nested", {"levels": 5, "host_levels": 4}),
    ("neoverse-n1", "nested", {"host_levels": 2}),
    ("neoverse-n1", "native", {}),
]


@pytest.mark.parametrize(("preset", "technique", "options"), CASES)
def test_a_walk_follows_the_manual(preset: str, technique: str, options: dict) -> None:
    driver, pages = lived_in(technique, preset, **options)
    rng = np.random.default_rng(3)
    outcomes = set()
    for round_ in range(3):
        if round_:
            spoil(driver, rng)
        model = model_of(driver, preset)
        for gva in rng.permutation(pages).tolist():
            kind = int(rng.choice([LOAD, STORE, FETCH]))
            outcomes.add(agree(driver, model, gva, kind, gva >= 0))
        # A and D bits, wherever they are, are the same in the end.
        assert encoded(driver) == model.memory
    assert {"translated", "fault"} <= outcomes
    assert ("stage 2 fault" in outcomes) == (technique == "nested")


@pytest.mark.parametrize("preset", MODELS)
def test_an_implicit_store_is_no_implicit_load(preset: str) -> None:
    """The page of a table may be read and not written: a walk is stopped where it has a bit to
    set, and nowhere else; x86 has it that each read of a table is a write."""
    driver, pages = lived_in("nested", preset, page_size="4k")
    at = pages[1]
    table, index = leaf_of(driver, at)
    entries = driver.table(driver.hfn(table))
    below, place = nested_leaf_of(driver, table)
    driver.table(below)[place] &= ~(EPT_W | EPT_D)
    model = model_of(driver, preset)
    assert entries[index] & A and agree(driver, model, at, LOAD, True) == "translated"
    assert not driver.table(below)[place] & EPT_D
    entries[index] &= ~A
    model = model_of(driver, preset)
    assert agree(driver, model, at, LOAD, True) == "stage 2 fault"
    driver.table(below)[place] |= EPT_W
    model = model_of(driver, preset)
    assert agree(driver, model, at, LOAD, True) == "translated"
    assert entries[index] & A and driver.table(below)[place] & EPT_D


def leaf_of(driver: Driver, gva: int) -> tuple[int, int]:
    """(gfn of the table, index) of the leaf of 4 KiB of an address."""
    table = int(driver.process()["cr3"])
    for depth in range(int(driver.regs["levels"]), 1, -1):
        entry = int(driver.table(driver.hfn(table))[gva >> 3 + 9 * depth & 511])
        table = (entry & FRAME) >> 12
    return table, gva >> 12 & 511


def nested_leaf_of(driver: Driver, gfn: int) -> tuple[int, int]:
    """(hfn of the table, index) of the leaf of 4 KiB of a gfn in the nested table."""
    table, levels = int(driver.regs["root"]), int(driver.regs["root_levels"])
    for depth in range(levels - 1, 0, -1):
        entry = int(driver.table(table)[gfn >> 9 * depth & 511])
        table = (entry & FRAME) >> 12
    return table, gfn & 511


# --- Sizes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "levels", "host_levels", "small", "large"),
    [
        # Sv39, Sv48, Sv57 over as many levels: the root is wider, not deeper.
        ("kunminghu", 3, 0, 15, 8),
        ("kunminghu", 4, 0, 24, 15),
        ("kunminghu", 5, 0, 35, 24),
        # 48-bit addresses over a 40-bit IPA, KVM's default: N(4, 3); over 48 and 34 bits.
        ("neoverse-n1", 4, 0, 19, 11),
        ("neoverse-v2", 4, 0, 19, 11),
        ("neoverse-v2", 4, 4, 24, 15),
        ("neoverse-v2", 4, 2, 14, 7),
        ("neoverse-v2", 3, 0, 15, 8),
    ],
)
def test_cold_references(preset, levels, host_levels, small, large) -> None:
    at = 0x1240000000
    for size, expected in (("4k", small), ("2m", large)):
        options = {"page_size": size, "host_page_size": size, "memory": LARGE_MEMORY}
        driver = Driver(
            "nested", preset, levels=levels, host_levels=host_levels, walk_caches=False, **options
        )
        assert cold(driver, at) == expected


@pytest.mark.parametrize(
    ("preset", "levels", "tables"),
    [("kunminghu", 3, 4), ("kunminghu", 4, 4), ("neoverse-n1", 4, 2)],
)
def test_a_wide_root_is_aligned_to_its_size_and_used_beyond_a_table(preset, levels, tables) -> None:
    driver = Driver("nested", preset, levels=levels)
    root, bits = int(driver.regs["root"]), int(driver.regs["physical_bits"])
    assert root_tables(bits, int(driver.regs["root_levels"])) == tables and root % tables == 0
    assert driver.machine.vm.record[0]["host_tables"] >= tables
    # The last entry of the last table maps the highest addresses that there are.
    top = driver.table(root + tables - 1)
    top[511] = driver.table(root)[0]
    driver.access(0x10000000)
    table, index = leaf_of(driver, 0x10000000)
    leaf = int(driver.table(driver.hfn(table))[index])
    highest = (1 << bits - 12) - (1 << 9 * (int(driver.regs["root_levels"]) - 1))
    driver.table(driver.hfn(table))[index] = leaf | highest << 12
    driver.flush()
    status, hfn, _, _, _ = translate(
        driver.machine, driver.simulator.spec.technique.walk, 0x10000000, LOAD, True
    )
    assert (status, hfn) == (OK, driver.hfn((leaf & FRAME) >> 12))


def test_levels_of_arm_by_address_size() -> None:
    assert [stage_2_levels(bits) for bits in (34, 35, 43, 44, 52)] == [2, 3, 3, 4, 4]
    assert [stage_1_levels(bits) for bits in (31, 39, 40, 48, 49, 52)] == [3, 3, 4, 4, 5, 5]


@pytest.mark.parametrize(
    ("preset", "options", "said"),
    [
        ("skylake-sp", {"levels": 3}, "levels 3: expected 4 or 5 on x86-64"),
        ("skylake-sp", {"host_levels": 3}, "host levels 3: expected 4 or 5 on x86-64"),
        ("neoverse-n1", {"host_levels": 5}, "host levels 5: expected 2, 3 or 4 on aarch64"),
        ("neoverse-n1", {"memory": 2 << 40}, r"expected at most 2\*\*40"),
        ("kunminghu", {"host_levels": 2}, "host levels 2: expected 3, 4 or 5 on riscv64"),
    ],
)
def test_what_an_architecture_does_not_have_is_refused(preset, options, said) -> None:
    with pytest.raises(InputError, match=said):
        Config(**options).on(load(preset).arch)


def test_a_technique_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="technique flattened: it is not there on riscv64"):
        Driver("flattened", "kunminghu")
