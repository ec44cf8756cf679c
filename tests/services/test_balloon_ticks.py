"""The balloon service's ticks: when targets are seen, and how far a driver gets in one."""

from __future__ import annotations

import pytest

from mmulab.mmu.errors import RunError
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import build, run
from mmulab.workloads import of_vm

SCENARIO = """
name = "ticks"
[host]
memory = "16M"
quantum = 4_000_000
[[vm]]
name = "guest"
memory = "8M"
workload = "zipf:keys=4k,accesses=400k"
[balloon]
policy = "fixed"
period = "100us"
rate = {rate}
{more}
[[event]]
at = "{at}"
vm = "guest"
balloon = "{size}"
"""


def ticking(at: str = "0s", rate: float = 250_000, size: str = "4M", more: str = ""):
    text = SCENARIO.format(at=at, rate=rate, size=size, more=more)
    return parsing.parse(text, "ticks.toml")


def test_ticks_made_up_for_see_what_was_set_by_their_time() -> None:
    """The whole run is one turn, after which all ticks are made up for."""
    whole = build(ticking(), of_vm)
    while whole.step():
        pass
    ticks = whole.services[0].ticks
    assert ticks > 10 and whole.guests[0].ballooned == 25 * ticks
    late = build(ticking(at=f"{100 * (ticks - 1)}us"), of_vm)
    while late.step():
        pass
    # Those of its own time and of the end.
    assert late.services[0].ticks == ticks and late.guests[0].ballooned == 2 * 25


@pytest.mark.parametrize("rate", [100, 15_000, 3_333, 250_000])
def test_a_driver_moves_what_its_rate_allows_over_many_ticks(rate: float) -> None:
    system = build(ticking(rate=rate, size="3M"), of_vm)
    balloon = system.services[0]
    system.step()
    while balloon.ticks < 400:
        system.now = balloon.next_tick
        balloon.tick(system)
        moved = min(768, int(rate * balloon.ticks * 1e-4 + 1e-6))  # 3 MiB at most
        assert system.guests[0].ballooned == moved


OOM = dict(rate=100_000_000, size="7900K")


def test_a_guest_that_its_balloon_left_too_little_says_who_holds_it() -> None:
    scenario = parsing.override(ticking(**OOM), "host.quantum", "1000")
    with pytest.raises(RunError) as error:
        run(scenario, of_vm)
    text = str(error.value)
    assert "--memory" not in text
    assert "balloon 7." in text and "[[vm]] guest more memory" in text
    assert "deflate_on_oom = true" in text


def test_a_balloon_gives_way_where_it_may_and_not_before_its_target_changes() -> None:
    scenario = ticking(**OOM, more="deflate_on_oom = true")
    scenario = parsing.override(scenario, "host.quantum", "1000")
    result = run(scenario, of_vm, check=True)
    assert result.vms[0].accesses == 400_000
    counters = result.services["balloon"]
    assert counters["deflated_on_oom"] == counters["deflated"] > 0
    assert counters["deflated"] % 256 == 0  # Linux: VIRTIO_BALLOON_OOM_NR_PAGES
    # The driver does not take again what the guest needed.
    sizes = result.vms[0].series["balloon"]
    assert (sizes[sizes.argmax() :][1:] <= sizes[sizes.argmax() :][:-1]).all()
    assert sizes[-1] < sizes.max()


def test_other_lacks_are_told_as_before() -> None:
    scenario = parsing.override(ticking(at="1s"), "vm.workload", "gups:size=16M,accesses=20k")
    with pytest.raises(RunError, match="a disk to page to") as error:
        run(scenario, of_vm)
    assert "balloon" not in str(error.value)
