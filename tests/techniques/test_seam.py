"""The hooks: each is called where its event is, and its default does what a processor does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drivers import technique_files as files
from drivers.one_machine import Driver

from mmulab import workloads
from mmulab.mmu import presets, simulate
from mmulab.mmu.config import Config
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host import power, reclaim, world_switch
from mmulab.mmu.host.devices import disk
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory.status import OK
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import (
    BRK,
    EXEC,
    EXIT,
    FORK,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    STORE,
    SWITCH,
)

PAGE = 4096
BASE = 0x7F00_0000_0000
HEAP = 0x5555_5600_0000
READ, WRITE = 1, 2

#: Hooks that nothing in the program calls yet.
NOT_YET = {"protect", "test_dirty"}


@entry
def _disk_reads(machine: Machine, gfn):
    return disk.read(machine, gfn)


@entry
def _call_not_yet(machine: Machine, gfn):
    return seam.protect(machine, gfn), seam.test_dirty(machine, gfn)


def every_gfn(driver: Driver) -> np.ndarray:
    return np.arange(len(driver.machine.vm.p2m))


def touch_pages(pages: int, kind: int) -> Callable[[Driver], None]:
    return lambda driver: driver.run([BASE + i * PAGE for i in range(pages)], [kind] * pages)


def event(kind: int, *args: int, **more: int) -> Callable[[Driver], None]:
    return lambda driver: driver.event(kind, *args, **more)


#: (what happens, hooks that it must call), in order.
STEPS: list[tuple[str, Callable[[Driver], object], set[str]]] = [
    ("mmap", event(MMAP, BASE, 64 * PAGE, READ | WRITE), {"mapping_made", "mapping_removed"}),
    ("first touch", touch_pages(64, STORE), {
        "fault", "touch", "store", "table_allocated", "kernel_enter", "kernel_leave",
    }),
    ("brk", event(BRK, HEAP), {"kernel_enter", "kernel_leave"}),
    ("brk again", event(BRK, HEAP + 4 * PAGE), {"mapping_made"}),
    ("brk back", event(BRK, HEAP), {"mapping_removed", "batch_begin", "batch_end"}),
    ("mprotect one page", event(MPROTECT, BASE, PAGE, READ), {
        "store", "invlpg", "batch_begin", "batch_end",
    }),
    ("mprotect many", event(MPROTECT, BASE, 64 * PAGE, READ), {"flush_range", "load_cr3"}),
    ("mprotect back", event(MPROTECT, BASE, 64 * PAGE, READ | WRITE), {"flush_range"}),
    ("fork", event(FORK, value=2), {
        "new_root", "pin", "mapping_made", "table_allocated", "flush_range", "batch_begin",
    }),
    ("copy on write", touch_pages(2, STORE), {"fault", "read", "touch", "store", "invlpg"}),
    ("switch", event(SWITCH, pid=2), {"load_cr3"}),
    ("exec", event(EXEC, pid=2), {"mapping_removed", "table_freed", "flush_range"}),
    ("switch back", event(SWITCH), {"load_cr3"}),
    ("exit", event(EXIT, pid=2), {"mapping_removed", "table_freed"}),
    ("munmap", event(MUNMAP, BASE + 8 * PAGE, PAGE), {"mapping_removed", "invlpg"}),
    ("VM out", lambda driver: world_switch.leave(driver.machine), {"world_out"}),
    ("VM in", lambda driver: world_switch.enter(driver.machine), {"world_in"}),
    ("look", lambda driver: reclaim.watch(driver.machine, every_gfn(driver)), {"drop_mapping"}),
    ("use", touch_pages(8, LOAD), {"fault", "elapsed"}),
    ("look again", lambda driver: reclaim.reached(driver.machine, every_gfn(driver)),
     {"is_mapped"}),
    ("page out", lambda driver: reclaim.page_out(driver.machine, every_gfn(driver), True),
     {"was_accessed"}),
    ("discard", lambda driver: reclaim.discard(driver.machine, every_gfn(driver)[-64:]),
     {"drop_mapping", "split"}),
    ("disk", lambda driver: _disk_reads(driver.machine, 0), {"pin_dma"}),
    ("power off", lambda driver: power.power_off(driver.machine), {"stop"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """A machine of the probe, on host pages of 2 MiB, of which the last few are backed."""
    name = files.write(tmp_path_factory.mktemp("probe"), "probe", files.probe())
    return Driver(name, memory=8 << 20, host_memory=64 << 20, host_page_size="2m")


def calls(driver: Driver) -> dict[str, int]:
    counted = driver.machine.vm.private.calls  # type: ignore[attr-defined]
    return dict(zip(seam.HOOKS, counted.tolist(), strict=True))


def test_every_hook_is_called_where_its_event_is(driver: Driver) -> None:
    # Given a machine that has booted,
    seen = {name for name, count in calls(driver).items() if count}
    assert seen >= {"start", "new_root", "pin", "load_cr3", "touch", "table_allocated"}
    # when one thing after another happens to it,
    for what, happen, expected in STEPS:
        before = calls(driver)
        if what == "discard":  # of a page that the guest has and never used
            reclaim_target(driver)
        happen(driver)
        now = calls(driver)
        called = {name for name in now if now[name] > before[name]}
        # then the hooks for it are called,
        assert called >= expected, (what, expected - called)
        seen |= called
        if what == "munmap":
            check_counts(driver)
    # and in the end each that there is.
    assert seen == seam.HOOKS.keys() - NOT_YET
    before = calls(driver)
    assert _call_not_yet(driver.machine, 0) == (OK, 0)
    assert {name for name, count in calls(driver).items() if count > before[name]} == NOT_YET


def reclaim_target(driver: Driver) -> None:
    """Backs the last pages of the guest with a large host page."""
    assert _disk_reads(driver.machine, len(driver.machine.vm.p2m) - 1) == OK
    assert driver.machine.vm.p2m[-1] & 3 == 1


def check_counts(driver: Driver) -> None:
    """What is counted besides is as often."""
    counted, stats = calls(driver), driver.machine.vcpu.stats[0]
    assert counted["kernel_enter"] == counted["kernel_leave"]
    assert counted["batch_begin"] == counted["batch_end"]
    tables = int(driver.machine.vm.record[0]["tables"])
    assert counted["table_allocated"] - counted["table_freed"] == tables > 0
    booted = 1  # counters are zeroed after the boot, which loads CR3 once
    assert counted["load_cr3"] + counted["flush_range"] >= int(stats["cr3_loads"]) > 0
    assert counted["load_cr3"] == int(stats["cr3_loads"]) + booted
    assert counted["invlpg"] == int(stats["invlpgs"]) > 0
    assert counted["kernel_enter"] == int(stats["kernel_entries"]) > 0
    assert counted["store"] == int(stats["pte_writes"]) > 0


# --- Defaults -----------------------------------------------------------------------------


@entry
def _call_all(machine: Machine, results):
    """Each hook whose default does nothing, by its number."""
    results[0] = seam.start(machine)
    results[1] = seam.stop(machine)
    results[2] = seam.touch(machine, 1)
    results[3] = seam.read(machine, 1)
    results[4] = seam.table_allocated(machine, 1, 1, 0)
    results[5] = seam.table_freed(machine, 1)
    results[6] = seam.new_root(machine, 0, 1)
    results[7] = seam.pin(machine, 0, 1)
    results[8] = seam.kernel_enter(machine)
    results[9] = seam.kernel_leave(machine)
    results[10] = seam.batch_begin(machine)
    results[11] = seam.batch_end(machine)
    results[12] = seam.mapping_made(machine, 0, 0, 1)
    results[13] = seam.mapping_removed(machine, 0, 0, 1)
    results[14] = seam.drop_mapping(machine, 1)
    results[15] = seam.split(machine, 1)
    results[16] = seam.protect(machine, 1)
    results[17] = seam.test_dirty(machine, 1)
    results[18] = seam.is_mapped(machine, 1)
    results[19] = seam.was_accessed(machine, 1)
    results[20] = seam.world_in(machine)
    results[21] = seam.world_out(machine)
    results[22] = seam.pin_dma(machine, 1)
    results[23] = seam.elapsed(machine, 1)


def test_defaults_do_nothing(tmp_path: Path) -> None:
    driver = Driver(files.write(tmp_path, "bare", files.BARE))
    driver.run([BASE], [STORE])
    before = state_of(driver)
    results = np.full(24, -1, np.int64)
    _call_all(driver.machine, results)
    assert not results.any()
    driver.machine.vcpu.stats["kernel_entries"] -= 1  # which are counted, as stores and others are
    assert state_of(driver) == before
    # Those that do something are driven by the run below.
    others = ["store", "invlpg", "load_cr3", "flush_range", "fault"]
    others += ["place_table", "place_page"]
    assert len(results) + len(others) == len(seam.HOOKS)


def state_of(driver: Driver) -> tuple[bytes, ...]:
    machine = driver.machine
    arrays = (machine.vm.record, machine.vm.p2m, machine.vcpu.regs, machine.vcpu.stats,
              machine.vcpu.exits, machine.core.tag, machine.core.data, machine.host.memory.entry,
              machine.host.frames.frame)  # fmt: skip
    return tuple(array.tobytes() for array in arrays)


@pytest.mark.parametrize("text", [files.BARE, files.OWN_WALK], ids=["defaults", "own walk"])
def test_defaults_and_the_radix_walk_are_bare_metal(tmp_path: Path, text: str) -> None:
    name = files.write(tmp_path, "mine", text)
    trace = workloads.resolve("microchurn:heap=64K,arena=32K,work=100,accesses=20K")
    found = simulate.compare(
        trace, presets.load("haswell"), Config(memory=64 << 20), f"native,{name}", check=True
    )
    native, mine = found.results
    assert mine.counts == native.counts and mine.references == native.references
    assert mine.cycles == native.cycles and mine.structures == native.structures
    assert native.counts["walks"] > 0
