"""A VM's limit: never above it, whether or not the host is short."""

from __future__ import annotations

import pytest

from mmulab.mmu.check.host import check_system
from mmulab.mmu.errors import InputError
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import build, compare, run
from mmulab.mmu.scenario.settings import Scenario
from mmulab.workloads import of_vm

LIMIT = 4 << 8  # frames

SCENARIO = """
name = "limited"
[host]
memory = "64M"
swap = "64M"
quantum = 20_000
[[vm]]
name = "guest"
memory = "8M"
limit = "4M"
disk = "32M"
workload = "guest:size=7M,accesses=20k,active=1,zero=0,file=0"
"""

BALLOONS = {
    "none": "",
    "esx": '[balloon]\nperiod = "1ms"\n',
    "fixed": '[balloon]\npolicy = "fixed"\nperiod = "1ms"\n',
}


def limited(balloon: str = "none", **changes: str) -> Scenario:
    scenario = parsing.parse(SCENARIO + BALLOONS[balloon], "limited.toml")
    for key, text in changes.items():
        scenario = parsing.override(scenario, f"vm.{key}", text)
    return scenario


@pytest.mark.parametrize("balloon", BALLOONS)
@pytest.mark.parametrize("technique", ["nested", "shadow"])
def test_a_vm_never_holds_more_than_its_limit(balloon: str, technique: str) -> None:
    system = build(limited(balloon, technique=technique), of_vm)
    (guest,) = system.guests
    most = 0
    while system.step():
        check_system(system)
        most = max(most, guest.held)
    assert guest.accesses >= 20_000
    assert LIMIT * 3 // 4 < most <= LIMIT  # it needs more, and gets that


@pytest.mark.parametrize("host_page_size", ["4k", "2m"])
def test_nor_with_other_pages_or_a_reservation_as_high(host_page_size: str) -> None:
    result = run(limited(host_page_size=host_page_size, reservation="4M"), of_vm, check=True)
    assert result.end == "finished"
    assert result.vms[0].series["private"].max() <= LIMIT


def test_the_balloon_comes_first_and_the_host_takes_what_is_left() -> None:
    by_balloon = run(limited("esx"), of_vm)
    assert by_balloon.total("host_swap_outs") == 0 < by_balloon.total("guest_swap_outs")
    assert by_balloon.vms[0].series["balloon"][-1] >= LIMIT  # 8 MiB less 4
    # 4 MiB at 250,000 pages a second: the guest waits for its driver.
    assert by_balloon.vms[0].stalled >= LIMIT / 250_000
    diskless = run(limited("esx", disk="0"), of_vm, check=True)
    assert diskless.total("host_swap_outs") > 0 and diskless.end == "finished"
    assert diskless.vms[0].series["private"].max() <= LIMIT


def test_every_variant_heeds_limits() -> None:
    results = compare(limited("esx"), of_vm)
    assert [result.variant for result in results] == ["ample", "fitted", "none", "balloon"]
    for result in results:
        assert result.vms[0].series["private"].max() <= LIMIT, result.variant
    assert results[1].total("host_swap_outs") == 0  # only the guest pages


def test_a_full_swap_device_ends_the_run_with_the_limit_named() -> None:
    scenario = parsing.override(limited(disk="0"), "host.swap", "1M")
    result = run(scenario, of_vm)
    assert result.end == "out of memory"
    assert "at its limit of 1,024 frames, and the host's swap device is full" in result.report


def test_a_limit_needs_a_place_for_what_is_above_it() -> None:
    with pytest.raises(InputError, match=r"a limit .* give \[host\] swap"):
        parsing.override(limited(), "host.swap", "0")
