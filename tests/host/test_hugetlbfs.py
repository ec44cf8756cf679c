"""Guest memory in hugetlbfs: all there from the start, and nobody else's until the VM is off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmulab.mmu.check.host import check_system
from mmulab.mmu.errors import InputError
from mmulab.mmu.host.settings import HostSettings
from mmulab.mmu.host.system import System
from mmulab.mmu.memory.state import MERGED_PAGE
from mmulab.mmu.scenario import parsing
from mmulab.mmu.scenario.run import build, compare, run
from mmulab.mmu.scenario.settings import Scenario
from mmulab.workloads import of_vm

SCENARIO = """
name = "hugetlb"
[host]
memory = "54M"
swap = "128M"
quantum = 20_000
[[vm]]
name = "large"
memory = "32M"
disk = "64M"
backing = "hugetlbfs"
host_page_size = "2m"
{vm}
workload = "guest:size=16M,accesses=60k,active=0.5,zero=0.3,file=0.3"
[[vm]]
name = "small"
memory = "32M"
disk = "64M"
workload = "guest:size=28M,accesses=60k,active=1,zero=0.3,file=0.3"
{rest}
"""


def scenario(vm: str = "", rest: str = "", **changes: str) -> Scenario:
    found = parsing.parse(SCENARIO.format(vm=vm, rest=rest), "hugetlb.toml")
    for key, text in changes.items():
        found = parsing.override(found, f"vm.large.{key}", text)
    return found


MECHANISMS = {
    "host paging": "",
    "esx": '[balloon]\nperiod = "200us"\nsample_period = "1ms"\n',
    "ksm": '[ksm]\nsleep = "100us"\npages_to_scan = 2000\n',
}


@pytest.mark.parametrize("technique", ["nested", "shadow"])
@pytest.mark.parametrize("name", MECHANISMS)
def test_no_mechanism_takes_a_frame_of_it(name: str, technique: str) -> None:
    """The other VM pays for what the host lacks."""
    system = build(scenario(rest=MECHANISMS[name], technique=technique), of_vm)
    large, small = system.guests
    before = large.vm.p2m.copy()
    assert (before > 0).all() and (before & 3 == 1).all() and large.held == 32 << 8
    assert system.total - system.free == 32 << 8  # before anything ran
    while system.step():
        check_system(system)
        assert (large.vm.p2m == before).all()
    heads = system.host.frames.frame
    assert (heads["kind"][(before >> 2) - 1] != MERGED_PAGE).all()
    assert min(large.accesses, small.accesses) >= 60_000
    taken = {
        "host paging": int(small.vcpu.stats[0]["host_swap_outs"]),
        "esx": small.ballooned,
        "ksm": int(small.vm.record[0]["merged"]),
    }
    assert taken[name] > 0


REPORTING = '[reporting]\norder = 0\nperiod = "100us"\n'


@pytest.mark.parametrize("backing", ["anonymous", "hugetlbfs"])
def test_what_is_reported_of_it_frees_nothing(backing: str) -> None:
    alone = scenario(rest=REPORTING, backing=backing, workload="microchurn:accesses=100k")
    system = build(replace(alone, vms=alone.vms[:1]), of_vm)
    while system.step():
        check_system(system)
    assert (system.services[0].freed > 0) == (backing == "anonymous")
    assert (system.guests[0].held == 32 << 8) == (backing == "hugetlbfs")


def large_page(host: str) -> Scenario:
    text = SCENARIO.replace("54M", host, 1).replace("32M", "1G", 1).replace('"2m"', '"1g"')
    return parsing.parse(text.format(vm="", rest=""), "large.toml")


def test_pages_of_1g() -> None:
    large = large_page("1200M")
    system = build(large, of_vm)
    assert (system.guests[0].vm.p2m & 3 == 2).all()
    while system.step():
        pass
    check_system(system)
    # All of the host is the pool, and no frame is left for a page table.
    assert run(large_page("1G"), of_vm).end == "out of memory"


def test_what_a_fixed_balloon_takes_frees_nothing() -> None:
    fixed = '[balloon]\npolicy = "fixed"\nperiod = "100us"\n'
    system = build(scenario('balloon = "8M"', fixed), of_vm)
    large = system.guests[0]
    while system.step():
        check_system(system)
    assert large.ballooned == 8 << 8 and large.held == 32 << 8


def test_it_is_there_before_the_vm_begins_and_goes_back_when_it_is_off() -> None:
    found = scenario('start = "1ms"\nstop = "22ms"\n')
    system = build(parsing.override(found, "host.quantum", "2000"), of_vm)
    large, small = system.guests
    seen = set()
    while system.step():
        check_system(system)
        seen.add((large.started, large.off, large.held > 0))
    assert {(False, False, True), (True, False, True), (True, True, False)} <= seen
    assert system.free > 32 << 8 and (system.host.frames.frame["pins"] == 0).all()


def test_variants_and_notes() -> None:
    rest = MECHANISMS["esx"] + MECHANISMS["ksm"] + REPORTING
    results = compare(scenario(rest=rest), of_vm)
    for result in results:
        private = result["large"].series["private"]
        assert (private == 32 << 8).all(), result.variant
        assert not np.any(result["large"].series["merged"])
    note = (
        "vm large lies in hugetlbfs: the host does not page it out, ksm does not merge it, what "
        "its balloon takes and free-page reporting tells frees nothing"
    )
    assert note in results[-1].notes


ALONE = scenario().vms[:1]


def test_services_that_have_nothing_else_say_so() -> None:
    alone = replace(scenario(rest=REPORTING), vms=ALONE)
    assert "reporting: never acted: what is reported of hugetlbfs frees nothing" in (
        run(alone, of_vm).notes
    )
    with pytest.raises(InputError, match="no VM is mergeable; hugetlbfs never is"):
        build(replace(scenario(rest=MECHANISMS["ksm"]), vms=ALONE), of_vm)


REFUSED = {
    'host_page_size = "4k"': r"hugetlbfs has pages of 2m and 1g; set host_page_size",
    'host_page_size = "2m"\nmemory = "33M"': "34,603,008 bytes .* no whole number of pages",
    'host_page_size = "2m"\nlimit = "16M"': "a limit below its memory, all of which hugetlbfs",
    'host_page_size = "2m"\nreservation = "1M"': "reservation does nothing: .* the VM's own",
    'host_page_size = "2m"\nmap_disk = true': "map_disk does nothing: the host never pages out",
    'host_page_size = "2m"\nemulate_writes = true': "emulate_writes does nothing",
}


@pytest.mark.parametrize("vm", REFUSED)
def test_what_does_not_go_together_is_refused(vm: str) -> None:
    text = SCENARIO.replace('host_page_size = "2m"\n', "")
    if "memory" in vm:
        text = text.replace('memory = "32M"\n', "", 1)
    with pytest.raises(InputError, match=REFUSED[vm]):
        parsing.parse(text.format(vm=vm, rest=""), "hugetlb.toml")


def test_a_host_that_has_too_few_pages_is_refused() -> None:
    with pytest.raises(InputError, match="reservations of 128 MiB in all; the host has 54 MiB"):
        scenario(memory="128M")
    late = 'start = "9ms"\nstop = "10ms"'
    with pytest.raises(InputError, match="reservations of 128 MiB"):  # taken at the host's start
        parsing.parse(SCENARIO.replace("32M", "128M", 1).format(vm=late, rest=""), "late.toml")
    host = HostSettings(memory=48 << 20)  # without a scenario's own check
    vms = [replace(ALONE[0], name=name) for name in ("one", "two")]
    with pytest.raises(InputError, match=r"vm two: .* 16 pages of 2m, and the host had 8 left"):
        System(host, vms, 1, of_vm)
