"""Elastic cuckoo page tables: the hash tables against a dictionary, and steps and probes of walks.

A *probe* is one reference, to a line of one way of one table. A *step* is what goes out at once and
is waited for together; each reference that stands alone is one. References in the background are
in no step.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from drivers.guest import Guest
from drivers.one_machine import Driver
from drivers.walks import GVA, LARGE_MEMORY, PAGE, PAGE_2M, cold
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmulab.mmu import presets
from mmulab.mmu.by_hand import walkthrough
from mmulab.mmu.check import check, compare_contents
from mmulab.mmu.config import Config
from mmulab.mmu.hardware import tlb
from mmulab.mmu.hardware.state import MOST_WAYS, PAGE_SIZES, Machine
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.machine.simulator import build
from mmulab.mmu.memory.entries import EPT_RWX
from mmulab.mmu.report.counts import hidden_of, read_dimensions, read_references, references_of
from mmulab.mmu.techniques.elastic_cuckoo.reference import CuckooReference
from mmulab.mmu.techniques.elastic_cuckoo.state import HOST, PROCESSES
from mmulab.mmu.techniques.elastic_cuckoo.tables import free_all, put
from mmulab.mmu.techniques.reference import Tables
from mmulab.mmu.trace import MUNMAP
from mmulab.plots.terminal import walk as terminal

# --- The hash tables ------------------------------------------------------------------


@entry
def _put(machine: Machine, size, pages, entries):
    for at in range(len(pages)):
        status = put(machine, HOST, size, pages[at] << 12, entries[at])
        if status:
            return status
    return 0


@entry
def _free_all(machine: Machine):
    free_all(machine, HOST)


runs = st.tuples(
    st.sampled_from(["put", "put", "put", "drop"]),
    st.sampled_from([0, 0, 1]),  # page size
    st.integers(0, 3000),  # first, in pages of that size
    st.sampled_from([1, 7, 300, 1500]),  # pages
    st.sampled_from([1, 3, 8]),  # from one to the next
)


def _found(driver: Driver) -> dict[tuple[int, int], int]:
    """(page size, page) -> entry, of the host's tables as they lie in memory; also that each line
    is where it hashes to, and once."""
    lines = CuckooReference(Tables(driver.machine, "test")).lines(HOST)
    return {
        (size, tag << 3 | position): one
        for (size, tag), line in lines.items()
        for position, one in enumerate(line.entries)
        if one & EPT_RWX
    }


@pytest.mark.parametrize("variant", ["", ":ways=4,threshold=80", ":threshold=10"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(runs, min_size=1, max_size=14))
def test_tables_hold_what_a_dictionary_does(variant: str, history: list) -> None:
    driver = Driver(f"elastic-cuckoo{variant}", memory=128 << 20, host_memory=8 << 30)
    _free_all(driver.machine)
    record = driver.machine.vm.private.record[0]
    expected: dict[tuple[int, int], int] = {}
    number = 1
    for what, size, first, count, step in history:
        pages = np.arange(first, first + count * step, step)
        pages = pages[pages < (128 << 20 >> 12) // (512 if size else 1)]
        entries = (np.arange(number, number + len(pages)) << 12 | 7) * (what == "put")
        number += len(pages)
        assert _put(driver.machine, size, pages << 9 * size, entries) == 0
        expected |= {(size, int(p)): int(e) for p, e in zip(pages, entries, strict=True)}
        expected = {key: each for key, each in expected.items() if each}
        assert _found(driver) == expected
        for of in (0, 1):
            ways = driver.machine.vm.private.way[of * MOST_WAYS :][: record["ways"]]
            lines = len({page >> 3 for size, page in expected if size == of})
            # A table that grows takes in a line for every 8 that it looks at: at its end the new
            # one has those of the old one, and an eighth of its length more; and the lines that
            # began and ended it. So below an eighth a threshold does not hold.
            most = max(record["threshold"] / 100, record["threshold"] / 200 + 1 / 16, 1 / 8)
            if not ways["next_lines"].any():
                assert lines <= most * int(ways["lines"].sum()) + 3


@pytest.mark.parametrize("sides", ["both", "native", "host"])
def test_tables_grow_gradually_and_go_with_their_process(sides: str) -> None:
    driver = Driver(f"elastic-cuckoo:sides={sides}")
    pages = 9000
    for first in range(0, pages, 1000):
        addresses = [GVA + page * PAGE for page in range(first, first + 1000)]
        driver.run(addresses, [1] * len(addresses))
        check(driver.simulator)
    own = driver.machine.vcpu.own
    owner = HOST if sides == "host" else PROCESSES
    way = driver.machine.vm.private.way[owner * PAGE_SIZES * MOST_WAYS]
    assert int(own[3]) >= 2 and int(own[2]) > 0 and int(own[4]) == 0
    # Lines in use are at most the threshold, 60 %, of three ways, and more than half of what
    # would have been too few lines.
    need = ceil(pages / 8)
    assert need <= 0.6 * 3 * (int(way["lines"]) + int(way["next_lines"])) + 1
    assert int(way["lines"]) <= 2 * ceil(need / (0.6 * 3)) * 2


def test_guests_whose_tables_take_frames_of_their_own_are_compared() -> None:
    """Whichever of two techniques comes first: names of frames differ, contents do not."""
    preset = presets.load("skylake-sp")
    for names in (("native", "elastic-cuckoo"), ("elastic-cuckoo", "native")):
        machines = [build(name, preset, Config(memory=64 << 20)) for name in names]
        guest = Guest(machines)
        for step in (("access", 0, 3, 1, 4), ("fork",), ("access", 0, 4, 1, 2), ("brk", 9)):
            guest.play(step)
            compare_contents(machines)


# --- Walks ----------------------------------------------------------------------------

#: (sides, page size): probes and steps of a walk that finds every cache cold, where each side has
#: a table of one page size: d = 3 probes a step, and d * d where the guest's d are located.
COLD = {
    ("both", "4k"): (3 * 3 + 3 + 3, 3),
    ("both", "2m"): (3 * 3 + 3 + 3, 3),
    ("host", "4k"): (4 + 5 * 3, 9),
    ("host", "2m"): (3 + 4 * 3, 7),
    ("native", "4k"): (3, 1),
    ("native", "2m"): (3, 1),
}


@pytest.mark.parametrize(("sides", "size"), COLD)
def test_a_cold_walk_waits_once_a_step(sides: str, size: str) -> None:
    driver = Driver(
        f"elastic-cuckoo:sides={sides}",
        page_size=size,
        host_page_size=size,
        memory=LARGE_MEMORY,
        walk_caches=False,
    )
    vcpu = driver.machine.vcpu
    driver.access(GVA)
    driver.flush()
    for counts in (vcpu.references, vcpu.hidden, vcpu.own):
        counts[:] = 0
    probes, steps = COLD[sides, size]
    assert driver.access(GVA) == probes
    waited = read_dimensions(vcpu, driver.simulator.spec.technique.walk, 3)
    assert sum(map(sum, waited.values())) == steps
    hashed = steps if sides != "host" else (steps + 1) // 2
    assert int(vcpu.own[0] + vcpu.own[1]) == hashed


@entry
def _drop_tlbs(machine: Machine):
    tlb.flush_all(machine.core)


@pytest.mark.parametrize(
    ("sides", "size", "probes"),
    [
        # Best case: each step a direct walk. Published: 1 and 3 (ASPLOS 2022, abstract).
        ("native", "2m", 1),
        ("both", "2m", 3),
        # There is no walk table of the guest's 4 KiB pages: d probes of lines, each located by one.
        ("native", "4k", 3),
        ("both", "4k", 3 + 3 + 1),
    ],
)
def test_with_warm_walk_caches_walks_are_direct(sides: str, size: str, probes: int) -> None:
    driver = Driver(
        f"elastic-cuckoo:sides={sides}", page_size=size, host_page_size=size, memory=LARGE_MEMORY
    )
    driver.access(GVA)
    driver.flush()
    driver.access(GVA)
    _drop_tlbs(driver.machine)
    assert driver.access(GVA) == probes
    check(driver.simulator)


def test_walk_tables_are_fetched_in_the_background() -> None:
    driver = Driver("elastic-cuckoo", memory=LARGE_MEMORY)
    driver.access(GVA)
    driver.flush()
    vcpu = driver.machine.vcpu
    vcpu.references[:] = vcpu.hidden[:] = 0
    driver.access(GVA)
    sites = driver.simulator.spec.technique.walk.sites
    tables = [number for number, site in enumerate(sites) if site.dimension in ("gCWT", "hCWT")]
    references, hidden = references_of(vcpu), hidden_of(vcpu)
    assert references[tables].sum() > 3
    assert (references[tables] == hidden[tables]).all()
    reported = read_references(vcpu, driver.simulator.spec.technique.walk, 3)
    assert {each["site"]: each.get("hidden") == each["served_by"] for each in reported} == {
        "gL1": False,
        "nL1 of gL1": False,
        "nL1 of the page": False,
        "gCWT": True,
        "hCWT": True,
        "nL1 of gCWT": True,
    }
    assert (references - hidden).sum() == 3


def test_leaf_entries_are_cached_while_it_pays() -> None:
    """PTE entries of the host's walk table: off below half of hits, on again where PMD entries
    would hit above 85 %."""
    driver = Driver("elastic-cuckoo:sides=host", memory=256 << 20)
    pages = 48 << 20 >> 12
    near = [GVA + page * PAGE for page in range(pages)]
    driver.run(near + near, [0] * 2 * pages)  # the first time nothing is there to be found
    state = driver.machine.vcpu.hashing[0]
    assert state["off"] == 0  # eight pages a line: 7 of 8 hit
    rng = np.random.default_rng(1)
    far = (GVA + rng.permutation(pages) * PAGE).tolist()
    driver.run(far, [0] * pages)
    assert state["off"] == 1
    driver.run(near, [0] * pages)
    assert state["off"] == 0


def test_probes_of_a_step_are_printed_side_by_side() -> None:
    walk = walkthrough.walk(
        GVA, "elastic-cuckoo", presets.load("skylake-sp"), Config(walk_caches=False)
    )
    assert [len(step) for step in walk.steps] == [9, 3, 3]
    text = terminal.table(walk).splitlines()
    assert text[0] == f"elastic-cuckoo: 15 memory references in 3 steps for {GVA:#x}"
    assert [line[:3].strip() for line in text[2:]] == ["1", "", "", "2", "3"]
    assert all(line.count("0x") == 3 for line in text[2:])


def test_large_and_small_pages_of_a_region_are_both_found() -> None:
    """A large page is split while its neighbours stay: the walk tables say so at once."""
    driver = Driver("elastic-cuckoo", page_size="2m", host_page_size="2m", memory=LARGE_MEMORY)
    for page in range(4):
        driver.access(GVA + page * PAGE_2M, kind=1)
    driver.event(MUNMAP, GVA + PAGE_2M + PAGE, PAGE)
    check(driver.simulator)
    for page in range(4):
        driver.access(GVA + page * PAGE_2M)
    check(driver.simulator)
    probes = []
    for page in range(2):
        cold(driver, GVA + page * PAGE_2M)
        _drop_tlbs(driver.machine)
        probes.append(driver.access(GVA + page * PAGE_2M))
    assert probes == [3, 3 + 3 + 1]
