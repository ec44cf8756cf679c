"""The KSM service against what Linux's own ksmd counted over the same pages."""

from __future__ import annotations

import numpy as np
import pytest
from drivers import ksm_scenarios
from drivers.vms_at_rest import BASE, PAGE, Silent, fill, gfn_of
from hypothesis import given, settings
from hypothesis import strategies as st
from models.linux_ksm import KSM as LinuxKSM

from mmulab.mmu.check.host import check_system
from mmulab.mmu.host import reclaim
from mmulab.mmu.host.settings import HostSettings, VMSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.machine.simulator import FIRST_PID
from mmulab.mmu.memory.status import OK
from mmulab.mmu.services.ksm import KSM, KSMSettings


class Pages:
    """Pages of one or two VMs that ksmd scans, by site: those of the first VM first."""

    def __init__(self, scenario: dict, technique: str, vms: int = 1) -> None:
        given_settings = scenario.get("settings", {})
        count = len(scenario["pages"])
        ksm = KSMSettings(
            method=given_settings.get("method", "ksm"),
            max_page_sharing=given_settings.get("max_page_sharing", 256),
            use_zero_pages=bool(given_settings.get("use_zero_pages", 0)),
            smart_scan=bool(given_settings.get("smart_scan", 1)),
        )
        machines = tuple(
            VMSettings(name=f"vm{i}", workload="-", memory=4 << 20, technique=technique)
            for i in range(vms)
        )
        host = HostSettings(memory=16 << 20)
        self.system = System(host, machines, 1, lambda vm: Silent())
        for guest in self.system.guests:
            assert guest.start() == OK
        self.each = -(-count // vms)
        self.ksm = KSM(ksm, self.system)
        self.system.services.append(self.ksm)
        for site, content in enumerate(scenario["pages"]):
            if content is not None:
                self.write(site, content)

    def _place(self, site: int) -> tuple:
        return self.system.guests[site // self.each], BASE + site % self.each * PAGE

    def write(self, site: int, content: int) -> None:
        guest, gva = self._place(site)
        assert fill(guest.machine, FIRST_PID, gva, PAGE, content) == OK

    def discard(self, site: int) -> None:
        guest, gva = self._place(site)
        gfn = int(gfn_of(guest.machine, gva))
        reclaim.discard(guest.machine, np.array([gfn], np.int64))

    def full_scan(self) -> None:
        scans = self.ksm.full_scans
        while self.ksm.full_scans == scans:
            self.ksm.scan(self.system, 1 << 20)

    def play(self, step: dict) -> None:
        """One step of a scenario: see drivers/ksm_program.py."""
        for site, content in step.get("write", []):
            self.write(site, content)
        for site in step.get("discard", []):
            self.discard(site)
        if "batch" in step:
            self.ksm.scan(self.system, step["batch"])
        for _ in range(step.get("scans", 0)):
            self.full_scan()

    def counters(self) -> dict[str, float]:
        return self.ksm.counters(self.system)


COUNTERS = (
    "pages_shared", "pages_sharing", "pages_unshared", "pages_volatile", "ksm_zero_pages",
    "full_scans", "pages_scanned", "pages_skipped",
)  # fmt: skip
NAMED = [
    run for run in ksm_scenarios.recorded()["runs"]
    if not run["name"].startswith("random")
    and not any("unmerge" in step for step in run["scenario"]["steps"])
]  # fmt: skip


def counted(counters: dict) -> dict[str, float]:
    return {name: counters[name] for name in COUNTERS}


@pytest.mark.parametrize("run", NAMED, ids=lambda run: run["name"])
@pytest.mark.parametrize("technique", ["nested", "shadow"])
def test_equals_a_recorded_kernel(run: dict, technique: str) -> None:
    """Every counter that both have, after each scan of a recorded run of Linux 6.18; right
    after a write Linux's still count what the next visit finds gone."""
    pages = Pages(run["scenario"], technique)
    names = ksm_scenarios.recorded()["counters"]
    for step, record in zip(run["scenario"]["steps"], run["records"], strict=True):
        pages.play(step)
        check_system(pages.system)
        linux = dict(zip(names, record, strict=True))
        if step.get("scans") and not on_zero_pages(run["scenario"]):
            assert counted(pages.counters()) == counted(linux), step
        elif step.get("scans"):
            for name in ("pages_shared", "pages_sharing", "ksm_zero_pages"):
                assert pages.counters()[name] == linux[name], step


def on_zero_pages(scenario: dict) -> bool:
    """A page that goes to the page of zeros is forgotten at once here, by Linux at the next
    scan: the counts of items differ in between."""
    return bool(scenario.get("settings", {}).get("use_zero_pages"))


populations = st.lists(st.integers(0, 6), min_size=1, max_size=60)
limits = st.sampled_from([2, 3, 5, 8, 256])


@settings(max_examples=60, deadline=None)
@given(populations, limits, st.booleans(), st.sampled_from([1, 2, 3]), st.integers(1, 9))
def test_equals_the_model_on_a_population_that_keeps_still(
    contents: list[int], limit: int, smart: bool, vms: int, scans: int
) -> None:
    """However many VMs the pages lie in: ksmd knows no VMs."""
    scenario = {
        "pages": contents,
        "settings": {"max_page_sharing": limit, "smart_scan": int(smart)},
        "steps": [],
    }
    mine = Pages(scenario, "nested", vms)
    linux = LinuxKSM(contents, max_page_sharing=limit, smart_scan=smart)
    for _ in range(scans):
        mine.full_scan()
        linux.full_scan()
        assert counted(mine.counters()) == counted(linux.counters())
    check_system(mine.system)


writes = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 6)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(populations, st.booleans(), st.lists(st.tuples(writes, st.integers(0, 3)), max_size=6))
def test_settles_where_the_model_settles(
    contents: list[int], zeros: bool, steps: list[tuple[list[tuple[int, int]], int]]
) -> None:
    """After writes between and within full scans, and then rest, as much is shared."""
    scenario = {
        "pages": contents,
        "settings": {"smart_scan": 0, "use_zero_pages": int(zeros)},
        "steps": [],
    }
    mine = Pages(scenario, "shadow")
    linux = LinuxKSM(contents, smart_scan=False, use_zero_pages=zeros)
    for written, scans in [*steps, ([], 4)]:
        for site, content in written:
            mine.write(site % len(contents), content)
            linux.write(site % len(contents), content)
        for _ in range(scans):
            mine.full_scan()
            linux.full_scan()
        check_system(mine.system)
    for name in ("pages_shared", "pages_sharing", "pages_unshared", "ksm_zero_pages"):
        assert mine.counters()[name] == linux.counters()[name], name


@settings(max_examples=40, deadline=None)
@given(populations, st.sampled_from([1, 2]))
def test_hints_share_at_first_sight_all_that_there_is(contents: list[int], vms: int) -> None:
    """One scan is enough on a population that keeps still; ksmd needs three."""
    mine = Pages({"pages": contents, "settings": {"method": "hints"}, "steps": []}, "nested", vms)
    bound = mine.counters()["upper_bound"]
    assert bound == len(contents) - len(set(contents))
    mine.full_scan()
    assert mine.counters()["pages_sharing"] == bound
    check_system(mine.system)


def test_sleeps_once_its_work_is_done() -> None:
    """A batch of 60 pages at 1,000 cycles each, and 20 ms of sleep; never more than one core."""
    pages = Pages({"pages": list(range(1, 61)), "steps": []}, "nested")
    assert pages.ksm.next_tick == 0.020
    pages.ksm.tick(pages.system)
    work = 60 * 1000 / pages.system.hertz
    assert pages.ksm.next_tick == pytest.approx(0.040 + work)
    assert pages.system.cycles_of["ksm"] == 60_000
