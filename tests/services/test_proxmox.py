"""Proxmox's automatic ballooning: its own examples, what always holds, whole runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import run
from mmulab.mmu.services.policies import proxmox
from mmulab.workloads import of_vm

MB, STEP, SLACK = 10**6, 100 * 10**6, 10 << 20  # its examples count in powers of ten

#: (most, least, now, free) in MB and shares of each VM; {goal in MB: what they have afterwards}.
#: pve-manager, test/balloontest.pl: what its test expects of one look, or of looks until the end.
TWO = [(2000, 1000, 1000, 0, 2000), (2000, 1000, 1000, 0, 1000)]
FULL = [(2000, 2000, 2000, 0, 2000), (2000, 1000, 1000, 0, 1000)]
THREE = [
    (2000, 2000, 2000, 0, 2000), (2000, 1000, 1007, 0, 1000), (2000, 1000, 1000, 512, 1000),
]  # fmt: skip
LOOKS = [
    (TWO, {0: (1000, 1000), 90: (1060, 1030), 150: (1100, 1050), 270: (1100, 1090)}),
    (FULL, {18: (2000, 1018), 500: (2000, 1100)}),
    (THREE, {11: (2000, 1018, 1000), 80: (2000, 1087, 1000), 200: (2000, 1107, 1000)}),
]
ENDS = [
    (TWO, {180: (1120, 1060), 270: (1180, 1090), 600: (1300, 1300), 900: (1600, 1300)}),
    (THREE, {593: (2000, 1300, 1300)}),
    (
        [(2000, 2000, 2000, 0, 2000), (2000, 1000, 1300, 293, 1000), (2000, 1000, 1300, 812, 1000)],
        {-200: (2000, 1200, 1200), -400: (2000, 1200, 1000), -593: (2000, 1007, 1000)},
    ),
]


def looked(vms: list, goal: int) -> list[int]:
    most, least, now, free, shares = (
        np.array(column, np.int64) for column in zip(*vms, strict=True)
    )
    after = proxmox.sizes(
        most * MB, least * MB, now * MB, free * MB, shares, goal * MB, STEP, SLACK
    )
    assert (after % MB == 0).all()
    return (after // MB).tolist()


@pytest.mark.parametrize(("vms", "expected"), LOOKS)
def test_one_look_gives_what_its_own_test_expects(vms: list, expected: dict) -> None:
    for goal, sizes in expected.items():
        assert looked(vms, goal) == list(sizes), goal


@pytest.mark.parametrize(("vms", "expected"), ENDS)
def test_looks_end_where_its_own_test_expects(vms: list, expected: dict) -> None:
    for goal, sizes in expected.items():
        state, left = list(vms), goal
        while (after := looked(state, left)) != [vm[2] for vm in state]:
            left -= sum(after) - sum(vm[2] for vm in state)
            state = [
                (most, least, size, max(0, free + size - now), shares)
                for (most, least, now, free, shares), size in zip(state, after, strict=True)
            ]
        assert after == list(sizes), goal


@st.composite
def hosts(draw: st.DrawFn) -> tuple:
    vms = []
    for _ in range(draw(st.integers(1, 5))):
        least = draw(st.integers(0, 50))
        most = least + draw(st.integers(1, 60))
        now = draw(st.integers(least, most))
        vms.append((most, least, now, draw(st.integers(0, now)), draw(st.integers(1, 9))))
    return vms, draw(st.integers(-150, 150)), draw(st.integers(1, 40))


@given(hosts())
def test_nobody_passes_a_bound_or_changes_by_more_than_a_step(host: tuple) -> None:
    vms, goal, step = host
    most, least, now, free, shares = (np.array(column) for column in zip(*vms, strict=True))
    after = proxmox.sizes(most, least, now, free, shares, goal, step, 3)
    assert (after >= least).all() and (after <= most).all()
    assert (abs(after - now) <= step).all()
    assert (after[least == 0] == now[least == 0]).all()  # without a minimum it takes no part
    if abs(goal) <= 3:
        assert (after == now).all()
    if goal < 0:
        assert (after <= now).all()


SCENARIO = """
name = "proxmox"
[host]
memory = "96M"
swap = "256M"
quantum = 20_000
[[vm]]
name = "a"
count = 2
memory = "64M"
{vm}
disk = "256M"
workload = "guest:size=56M,accesses=400k,active=1,zero=0,file=0"
[balloon]
policy = "proxmox"
period = "500us"
step = "2M"
"""


def test_a_host_comes_to_its_target_and_vms_keep_their_minimum() -> None:
    text = SCENARIO.format(vm='reservation = "24M"')
    result = run(parsing.parse(text, "proxmox.toml"), of_vm, check=True)
    used = (96 << 8) - result.host["free"][-1]
    assert used == pytest.approx(0.8 * (96 << 8), abs=proxmox.SLACK >> 12)
    for vm in result.vms:
        assert vm.series["balloon"].max() <= 40 << 8  # 64 MiB less 24
        assert (np.diff(vm.series["balloon"]) >= 0).all()
    assert result.services["balloon"]["inflated"] > 0 and result.notes == ()


def test_vms_without_a_minimum_are_left_alone_and_that_is_said() -> None:
    result = run(parsing.parse(SCENARIO.format(vm=""), "proxmox.toml"), of_vm)
    assert result.services["balloon"]["inflated"] == 0
    assert "balloon: never acted: no VM has a minimum; give [[vm]] a reservation" in result.notes


def test_no_pages_are_sampled_for_it() -> None:
    """What a policy does not go by costs nothing: no mapping is dropped to see who uses it."""
    text = SCENARIO.format(vm='reservation = "64M"').replace('"96M"', '"144M"')
    scenario = parsing.parse(text, "proxmox.toml")
    by = {
        policy: run(parsing.override(scenario, "balloon.policy", policy), of_vm)
        for policy in ("proxmox", "esx")
    }
    exits = {policy: result.vms[0].exits["ept_violation"] for policy, result in by.items()}
    assert exits["esx"] > exits["proxmox"]
