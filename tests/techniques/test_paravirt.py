"""Xen PV direct paging: what hypercalls Linux makes, and what Xen makes of frames."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.guest import drop_backing
from drivers.one_machine import Driver
from drivers.walks import GVA, PAGE, PAGE_2M, cold
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab.mmu.check import CheckFailed, check, tables_of
from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory.entries import FRAME
from mmulab.mmu.memory.guest_tables import lookup
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import run
from mmulab.mmu.techniques import paravirt
from mmulab.mmu.techniques.paravirt import multicalls
from mmulab.mmu.techniques.paravirt.state import EXCHANGED, WRITABLE
from mmulab.mmu.trace import EXIT, FORK, LOAD, MMAP, MPROTECT, MUNMAP, PROT_READ, STORE, SWITCH
from mmulab.mmu.vmm import backing
from mmulab.workloads import of_vm

READ_WRITE = 3


def exits(driver: Driver) -> dict[str, int]:
    """Since this was last asked, those that there were."""
    counts = driver.machine.vcpu.exits
    found = {
        each.reason: int(counts[number])
        for number, each in enumerate(paravirt.TECHNIQUE.exits)
        if counts[number]
    }
    counts[:] = 0
    return found


def mapped(pages: int, writes: str = "mmu_update", **options: object) -> Driver:
    """A machine with so many pages mapped and stored to, from GVA on."""
    driver = Driver(f"paravirt:writes={writes}", **options)
    driver.event(MMAP, GVA, pages * PAGE, READ_WRITE)
    driver.run([GVA + page * PAGE for page in range(pages)], [STORE] * pages)
    exits(driver)
    return driver


@entry
def _gfn_at(machine: Machine, gva):
    found, _, _ = lookup(machine, machine.vm.process[machine.vm.record[0].current].cr3, gva)
    return (found & FRAME) >> 12


# --- What the hardware walks ----------------------------------------------------------


@pytest.mark.parametrize(("page_size", "expected"), [("4k", 4), ("2m", 3)])
def test_walks_are_as_long_as_on_bare_metal(page_size: str, expected: int) -> None:
    # One table of n levels (Xen, xen/arch/x86/mm.c: the guest's own, read by the processor).
    assert cold(Driver("paravirt", page_size=page_size, walk_caches=False)) == expected


def test_tables_hold_machine_frames() -> None:
    driver = mapped(3)
    raw = tables_of(driver.simulator).machine_entries(int(driver.process()["cr3"]))
    leaves = [entry for entry in raw if entry.is_leaf]
    assert len(leaves) == 3
    for leaf in leaves:
        gfn = _gfn_at(driver.machine, leaf.address)
        assert leaf.frame == driver.hfn(gfn) != gfn


# --- Hypercalls -----------------------------------------------------------------------


@pytest.mark.parametrize("pages", [34, 61, 62, 63, 93, 100, 310, 512, 700])
def test_a_hypercall_carries_31_writes(pages: int) -> None:
    # Given pages in tables that are known to Xen, when a range's protection is changed,
    driver = mapped(pages)
    driver.event(MPROTECT, GVA, pages * PAGE, PROT_READ)
    # then there is a hypercall for each 31 of them: 512 bytes of arguments, 16 for each, and
    # the last byte is never used (Linux, arch/x86/xen/multicalls.c). The flush of the TLB takes
    # 24 more: where they do not fit it goes alone.
    found = exits(driver)
    assert found.pop("mmu_update") == -(-pages // 31)
    alone = {"tlb_flush": 1} if pages % 31 == 0 else {}
    assert found == {"kernel_entry": 1, "iret": 1} | alone


def test_emulated_writes_trap_one_by_one() -> None:
    driver = mapped(100, "emulated")
    driver.event(MPROTECT, GVA, 100 * PAGE, PROT_READ)
    assert exits(driver) == {"emulated_write": 100, "tlb_flush": 1, "kernel_entry": 1, "iret": 1}


def test_a_first_touch_is_one_hypercall() -> None:
    driver = mapped(1)
    driver.event(MMAP, GVA + PAGE, 9 * PAGE, READ_WRITE)
    exits(driver)
    driver.run([GVA + page * PAGE for page in range(1, 10)], [LOAD] * 9)
    assert exits(driver) == {"kernel_entry": 9, "mmu_update": 9, "iret": 9}


def test_a_table_is_made_read_only_and_pinned_in_one_hypercall() -> None:
    # Given one page, when a page of the next 2 MiB is touched, then the new table is announced
    # and pinned by one multicall (xen_alloc_ptpage()), linked by another, and its entry written.
    driver = mapped(1)
    driver.access(GVA + PAGE_2M)
    assert exits(driver) == {"kernel_entry": 1, "table": 1, "mmu_update": 2, "iret": 1}


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        ("mmu_update", {"mmu_update": 1, "tlb_flush": 1}),
        ("update_va_mapping", {"update_va_mapping": 1}),
        ("emulated", {"emulated_write": 1, "tlb_flush": 1}),
    ],
)
def test_update_va_mapping_saves_the_flush(writes: str, expected: dict[str, int]) -> None:
    # Given a page shared copy-on-write, when it is stored to,
    driver = mapped(1, writes)
    driver.event(FORK, value=2)
    exits(driver)
    driver.access(GVA, STORE)
    # then the new entry and the flush are two calls, or one.
    assert exits(driver) == {"kernel_entry": 1, "iret": 1} | expected
    check(driver.simulator)


def test_fork_pins_and_exit_unpins() -> None:
    # Given a process of 100 pages, when it forks, then its entries and the child's are written
    # in one batch; the child's upper tables are plain memory until they are pinned: a root,
    # three tables on the way, of which the last is pinned itself, make one hypercall.
    driver = mapped(100)
    before = private(driver).total.sum()
    driver.event(FORK, value=2)
    assert exits(driver) == {"kernel_entry": 1, "mmu_update": 7, "table": 1, "iret": 1}
    check(driver.simulator)
    # When the child ends, its tables are unpinned first, and emptied without a hypercall.
    driver.event(EXIT, pid=2)
    assert exits(driver) == {"kernel_entry": 1, "table": 1, "iret": 1}
    check(driver.simulator)
    assert private(driver).total.sum() == before


def test_a_cr3_load_is_one_hypercall() -> None:
    driver = mapped(1)
    driver.event(FORK, value=2)
    exits(driver)
    driver.event(SWITCH, pid=2)
    assert exits(driver) == {"kernel_entry": 1, "cr3_load": 1, "iret": 1}


# --- Linux's buffer -------------------------------------------------------------------


@entry
def _play(machine: Machine, operations, sizes, joins):
    multicalls.flush(machine)
    machine.vcpu.exits[0] = 0
    for number in range(operations.size):
        if joins[number]:
            multicalls.extend(machine, operations[number], sizes[number], 0)
        else:
            multicalls.add(machine, operations[number], sizes[number], 0)
    multicalls.flush(machine)
    return machine.vcpu.exits[0]


def hypercalls(history: list[tuple[int, bool]]) -> int:
    """As arch/x86/xen/multicalls.c reads."""
    calls, slots, used = 0, [], 0
    for operation, joins in history:
        size = SIZES[operation]
        if joins and slots and slots[-1] == operation and used + size < 512:
            used += size
            continue
        if len(slots) == 32 or used + size >= 512:
            calls, slots, used = calls + 1, [], 0
        slots.append(operation)
        used += size
    return calls + bool(slots)


SIZES = (16, 24, 0)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=150))
def test_the_buffer_is_linuxs(one: Driver, history: list[tuple[int, bool]]) -> None:
    operations = np.array([operation for operation, _ in history], np.int64)
    sizes = np.array([SIZES[operation] for operation, _ in history], np.int64)
    joins = np.array([join for _, join in history], np.int64)
    assert _play(one.machine, operations, sizes, joins) == hypercalls(history)


@pytest.fixture(scope="module")
def one() -> Driver:
    return mapped(1)


# --- Types ----------------------------------------------------------------------------


def private(driver: Driver):  # type: ignore[no-untyped-def]
    return driver.machine.vm.private


def test_a_page_is_writable_once_a_mapping() -> None:
    driver = mapped(1)
    gfn = _gfn_at(driver.machine, GVA)
    xen = private(driver)
    assert (xen.type[gfn], xen.type_count[gfn], xen.total[gfn]) == (WRITABLE, 1, 1)
    driver.event(FORK, value=2)  # both are read-only now
    assert (xen.type[gfn], xen.type_count[gfn], xen.total[gfn]) == (0, 0, 2)


@pytest.mark.parametrize("field", ["total", "type_count", "type", "pinned"])
def test_the_check_finds_wrong_counts(field: str) -> None:
    driver = mapped(1)
    check(driver.simulator)
    gfn = int(driver.process()["cr3"]) if field == "pinned" else _gfn_at(driver.machine, GVA)
    getattr(private(driver), field)[gfn] ^= 1
    with pytest.raises(CheckFailed, match="gfn"):
        check(driver.simulator)


# --- Memory ---------------------------------------------------------------------------


def test_a_vm_larger_than_its_host_does_not_start() -> None:
    with pytest.raises(RunError, match="memory is too small"):
        Driver("paravirt", memory=64 << 20, host_memory=32 << 20)


def test_all_memory_is_there_from_the_start() -> None:
    assert int((Driver("paravirt").machine.vm.p2m > 0).sum()) == (64 << 20) // PAGE


def test_what_a_balloon_took_is_asked_for_again() -> None:
    # Given a guest some of whose free pages the host has taken back,
    driver = mapped(600)
    driver.event(MUNMAP, GVA, 600 * PAGE)
    taken = [gfn for gfn in range(5000, 6000)]
    for gfn in taken:
        if driver.machine.vm.p2m[gfn] > 0:
            drop_backing(driver.machine, gfn)
    exits(driver)
    # when it uses all of its memory in 2 MiB pages, they are populated by 2 MiB.
    driver.event(MMAP, GVA, 40 << 20, READ_WRITE)
    driver.run([GVA + step for step in range(0, 40 << 20, PAGE)], [STORE] * (10 << 10))
    found = exits(driver)
    assert 0 < found["memory_op"] <= 4
    check(driver.simulator)


@entry
def _scramble(machine: Machine, gfn):
    """Two neighbours of a large host page change frames."""
    backing.split(machine, gfn)
    for other in (gfn, gfn + 1):
        backing.release(machine, other)
    for other in (gfn + 1, gfn):
        backing.back(machine, other)


def test_a_large_page_over_scattered_frames_is_exchanged() -> None:
    # Given a guest with 2 MiB pages none of whose free ones lies together in the machine,
    driver = Driver("paravirt", page_size="2m")
    free = driver.machine.vm.frames.frame["kind"].reshape(-1, 512).max(axis=1) == 0
    for block in np.flatnonzero(free).tolist():
        _scramble(driver.machine, 512 * block)
        assert driver.hfn(512 * block) != driver.hfn(512 * block + 1) - 1
    exits(driver)
    # when it touches one, then it is exchanged for one that does (XENMEM_exchange),
    driver.access(GVA, STORE)
    assert exits(driver)["memory_op"] == 1
    assert driver.machine.vcpu.own[EXCHANGED] == 512
    # and the walk ends at a large leaf.
    assert driver.access(GVA + PAGE_2M - PAGE) == 0
    check(driver.simulator)


def vm(**changes: object) -> VMSettings:
    return VMSettings(
        name="a",
        workload="gups:size=4M,accesses=1K",
        memory=16 << 20,
        technique="paravirt",
        **changes,  # type: ignore[arg-type]
    )


def test_a_host_that_pages_refuses_it() -> None:
    with pytest.raises(InputError, match="vm a: technique paravirt cannot page .* machine frames"):
        System(HostSettings(memory=64 << 20, swap=16 << 20), [vm()], 1, of_vm)
    with pytest.raises(InputError, match="leave map_disk out"):
        vm(map_disk=True, disk=16 << 20)


SCENARIO = """
[host]
memory = "64M"
[ksm]
[[vm]]
name = "a"
technique = "paravirt"
memory = "16M"
workload = "gups:size=4M,accesses=1K"
"""


def test_ksm_refuses_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "scenario.toml"
    path.write_text(SCENARIO)
    with pytest.raises(InputError, match="cannot merge pages: .*; set mergeable = false"):
        run(parsing.load(str(path)), of_vm)


BALLOONED = """
[host]
memory = "100M"
[balloon]
policy = "fixed"
period = "1ms"
[reporting]
order = 0
period = "1ms"
[[vm]]
name = "a"
technique = "paravirt"
memory = "32M"
disk = "64M"
workload = "churn:heap=4M,work=20K,arena=2M,accesses=400K"
[[event]]
at = "1ms"
vm = "a"
balloon = "12M"
[[event]]
at = "5ms"
vm = "a"
balloon = 0
"""


@pytest.mark.parametrize("technique", ["paravirt", "tpt"])
def test_a_balloon_and_free_page_reporting_take_what_is_not_in_use(tmp_path, technique) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "scenario.toml"
    path.write_text(BALLOONED.replace("paravirt", technique))
    result = run(parsing.load(str(path)), of_vm, check=True)
    assert result.services["reporting"]["frames_freed"] > 1000
    (one,) = result.vms
    assert one.exits["memory_op"] > 0
