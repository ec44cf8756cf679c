"""VMs that come and go: when, where, and that nothing of them stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drivers.broken_off import COMING, scenario
from drivers.command_line import check_error

from mmulab import workloads
from mmulab.mmu.check.host import check_system
from mmulab.mmu.host import cluster
from mmulab.mmu.host.arrivals import ArrivalSettings
from mmulab.mmu.host.settings import VMSettings
from mmulab.mmu.memory import frames
from mmulab.mmu.scenario import parsing, run
from mmulab.mmu.scenario.settings import restored

VM = VMSettings(name="x", workload="zipf:keys=1k,accesses=500", memory=4 << 20)


def times(**changes: object) -> tuple[np.ndarray, np.ndarray]:
    settings = replace(ArrivalSettings(VM, rate=50.0, count=40_000, lifetime=0.5), **changes)
    return settings.times(np.random.default_rng(1))


def test_a_poisson_process() -> None:
    """Gaps of mean 1/rate, as much spread; lifetimes likewise. Four standard errors."""
    comes, stays = times()
    gaps = np.diff(comes)
    assert (gaps >= 0).all()
    assert np.mean(gaps) == pytest.approx(1 / 50, rel=4 / 200)
    assert np.std(gaps) == pytest.approx(1 / 50, rel=8 / 200)
    assert np.mean(stays) == pytest.approx(0.5, rel=4 / 200)
    assert (times(lifetimes="fixed")[1] == 0.5).all()


def test_a_diurnal_process_swings_as_it_says() -> None:
    """In each eighth of a day, as many as the rate has there, by the integral of its sine."""
    comes, _ = times(pattern="diurnal", day=2.0, swing=0.8)
    days = int(comes[-1] // 2)
    phase = comes[comes < 2 * days] % 2 / 2
    counted, edges = np.histogram(phase, bins=8, range=(0, 1))
    swing = np.diff(-np.cos(2 * np.pi * edges)) * 0.8 / (2 * np.pi)
    expected = 50 * 2 * days * (np.diff(edges) + swing)
    assert np.abs(counted - expected).max() < 5 * np.sqrt(expected.max())
    assert counted.max() > 3 * counted.min()


def test_all_that_come_go_and_leave_nothing() -> None:
    of = scenario("coming")
    systems = run.build_hosts(of, workloads.of_vm)
    (system,) = systems
    boots, copies = system.arrivals
    shared = 0
    while cluster.step(systems):
        check_system(system)
        shared += sum(int(place.vm.record[0]["merged"]) for place in copies.places)
    for kind in (boots, copies):
        assert kind.number == 30 == kind.turned_away + kind.ended
        assert kind.at_once == 0 and 1 < kind.most_at_once <= len(kind.places)
        rows = kind.lives[: kind.ended]
        assert (rows["arrived"] <= rows["ready"]).all()
        assert (rows["ready"] <= rows["departed"]).all()
        assert (rows["page_tables"] > 0).all()
        for place in kind.places:
            record = place.vm.record[0]
            assert not record["held"] and not record["host_tables"] and not place.vm.p2m.any()
            assert not place.vm.disk.record[0]["used"]
    assert boots.ended and copies.ended and shared
    assert (copies.lives["shared"][: copies.ended] > 0).all()
    base = system.guest("base")
    counts = system.host.frames.counts
    assert counts[frames.IN_USE] == base.held + int(base.vm.record[0]["host_tables"])


def test_who_finds_no_place_is_turned_away() -> None:
    of = scenario("coming")
    one = replace(of.arrivals[0], places=1, lifetimes="fixed", lifetime=1.0, pattern="poisson")
    (boots,) = run.run(replace(of, arrivals=(one,)), workloads.of_vm).arrivals
    assert (boots.came, boots.turned_away, boots.most_at_once) == (30, 29, 1)
    assert boots.lives["accesses"].tolist() == [4000]  # its workload, and no more


def test_a_life_is_as_one_that_is_alone() -> None:
    """A VM in a place that others had makes what a VM of the same seed makes in a new one."""
    of = scenario("coming")
    kind = replace(of.arrivals[0], lifetimes="fixed", lifetime=1e-2, rate=20.0, places=1, count=4)
    found = run.run(replace(of, vms=(), events=(), arrivals=(kind,)), workloads.of_vm).arrivals[0]
    assert found.turned_away == 0 and found.lives["accesses"].tolist() == [4000] * 4
    vm = replace(kind.come(3, "one"), start=0.0)
    alone = run.run(replace(of, vms=(vm,), events=(), arrivals=()), workloads.of_vm)
    assert found.lives["private"][3] == alone["one"].life[-1].private
    assert found.lives["page_tables"][3] == alone["one"].life[-1].page_tables


def test_a_thousand_lives_in_eight_places() -> None:
    of = scenario("coming")
    kind = ArrivalSettings(VM, rate=4000.0, count=1000, lifetime=1e-3, places=8)
    (found,) = run.run(replace(of, vms=(), events=(), arrivals=(kind,)), workloads.of_vm).arrivals
    assert found.came == 1000 and found.turned_away < 200
    assert len(found.lives["private"]) == 1000 - found.turned_away


@pytest.mark.long
def test_ten_thousand_lives() -> None:
    of = scenario("coming")
    kind = ArrivalSettings(VM, rate=4000.0, count=10_000, lifetime=1e-3, places=16)
    systems = run.build_hosts(replace(of, vms=(), events=(), arrivals=(kind,)), workloads.of_vm)
    while cluster.step(systems):
        pass
    assert systems[0].arrivals[0].number == 10_000
    assert systems[0].free == systems[0].total


def test_the_command_says_what_came(mmulab: Callable, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(COMING)
    found = mmulab("run", tmp_path / "s.toml", "--json", tmp_path / "a.json")
    (plain,) = json.loads((tmp_path / "a.json").read_text())
    boots, copies = plain["arrivals"]
    assert found.code == 0 and f"boots: {boots['came']} came" in found.out
    assert len(copies["lives"]["ready"]) == copies["came"] - copies["turned_away"]
    again = parsing.parse(COMING, "s.toml")
    assert restored(plain["input"]["scenario"]) == replace(again, name="coming")


@pytest.mark.parametrize(
    "old, new, said",
    [
        ('pattern = "diurnal"', 'pattern = "tidal"', "pattern"),
        ("places = 4", "places = 0", "places"),
        ('clone_of = "base"', 'clone_of = "bass"', "bass"),
        ('name = "copies"', 'name = "boots"', "two VMs are called 'boots'"),
        ("places = 4", 'places = 4\nstop = "1s"', "stop: VMs that come and go have none"),
        ("places = 4", "places = 4\nplases = 3", "plases"),
        ('start = "3ms"', 'start = "1us"', "base"),
    ],
)
def test_bad_arrivals(mmulab: Callable, tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "s.toml").write_text(COMING.replace(old, new, 1))
    if new == 'start = "1us"':  # a VM that runs can be copied, too
        assert mmulab("run", tmp_path / "s.toml").code == 0
        return
    check_error(mmulab("run", tmp_path / "s.toml"), 2, said)


def test_a_thousand_vms_are_no_limit() -> None:
    text = COMING[: COMING.index("[[arrivals]]")] + '[[vm]]\nname = "v"\ncount = 3000\n'
    found = parsing.parse(text + 'memory = "1M"\nworkload = "gups"\n', "many.toml")
    assert len(found.vms) == 3001
