"""What is pinned stays where it is: paging, merging, balloons and the end of a VM."""

from __future__ import annotations

import numpy as np
import pytest
from drivers.vms_at_rest import AtRest, pin, unpin

from mmulab.mmu.check.host import check_system
from mmulab.mmu.guest.drivers import balloon
from mmulab.mmu.host import reclaim
from mmulab.mmu.memory.state import MERGED_PAGE
from mmulab.mmu.techniques.reference import CheckFailed


@pytest.fixture(params=["nested", "shadow"])
def technique(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_paging_leaves_it(technique: str) -> None:
    rest = AtRest(1, technique)
    rest.fill(0, 0, 5, 8)
    machine, host = rest.guest(0).machine, rest.system.host
    frame = rest.hfn(0, 3)
    assert pin(host, frame) and pin(host, frame)
    gfns = rest.gfns(0, *range(8))
    assert reclaim.page_out(machine, gfns, False) == 7
    assert rest.hfn(0, 3) == frame
    check_system(rest.system)
    assert unpin(host, frame) == 1
    assert reclaim.page_out(machine, gfns, False) == 0
    assert unpin(host, frame) == 0
    assert reclaim.page_out(machine, gfns, False) == 1
    check_system(rest.system)


def test_a_large_host_page_is_pinned_whole_and_not_cut(technique: str) -> None:
    rest = AtRest(1, technique, host_page_size="2m")
    rest.fill(0, 0, 5, 600)
    machine, host = rest.guest(0).machine, rest.system.host
    whole = [gfn for gfn in rest.gfns(0, *range(600)).tolist() if machine.vm.p2m[gfn] & 3]
    assert len(whole) > 300
    gfns = np.array(whole, np.int64)
    heads = np.unique(gfns >> 9)
    for head in heads.tolist():
        assert pin(host, (int(machine.vm.p2m[head << 9]) >> 2) - 1 + 77)
    before = machine.vm.p2m.copy()
    assert reclaim.page_out(machine, gfns, False) == 0
    reclaim.discard(machine, gfns[:9])
    assert (machine.vm.p2m == before).all()
    check_system(rest.system)
    for head in heads.tolist():
        assert unpin(host, (int(machine.vm.p2m[head << 9]) >> 2) - 1) == 0
    reclaim.discard(machine, gfns[:9])
    assert not machine.vm.p2m[gfns[:9]].any()
    check_system(rest.system)


@pytest.mark.parametrize("pinned", [0, 1])
def test_merging_leaves_it(technique: str, pinned: int) -> None:
    """Whether the page stands in the unstable tree or meets one that does."""
    rest = AtRest(2, technique)
    for vm in range(2):
        rest.fill(vm, 0, 5)
    frame = rest.hfn(pinned, 0)
    assert pin(rest.system.host, frame)
    for _ in range(4):
        rest.full_scan()
        check_system(rest.system)
    assert rest.hfn(pinned, 0) == frame and rest.frame["kind"][frame] != MERGED_PAGE
    assert rest.hfn(1 - pinned, 0) != frame
    unpin(rest.system.host, frame)
    for _ in range(3):
        rest.full_scan()
    assert rest.hfn(0, 0) == rest.hfn(1, 0)
    check_system(rest.system)


def test_a_shared_page_is_not_pinned(technique: str) -> None:
    rest = AtRest(2, technique)
    for vm in range(2):
        rest.fill(vm, 0, 5)
    for _ in range(3):
        rest.full_scan()
    frame = rest.hfn(0, 0)
    assert frame == rest.hfn(1, 0)
    assert not pin(rest.system.host, frame)
    rest.fill(0, 0, 6)  # now it has a frame of its own
    assert pin(rest.system.host, rest.hfn(0, 0))
    check_system(rest.system)


def test_what_the_guest_gives_up_keeps_it(technique: str) -> None:
    """Given to a balloon, reported free or discarded: a device may still write there. A large
    host page backs what the guest uses and what it does not."""
    rest = AtRest(1, technique, host_page_size="2m")
    rest.fill(0, 0, 5, 2)
    guest, host = rest.guest(0), rest.system.host
    vm = guest.machine.vm
    heads = [int(entry >> 2) - 1 for entry in np.unique(vm.p2m[(vm.p2m & 3) > 0])[::512]]
    assert heads and all(pin(host, hfn) for hfn in heads)
    before = vm.p2m.copy()
    assert balloon.inflate(guest.machine, 200)[1] == 200
    given = vm.balloon[:200]
    assert (vm.p2m[given] > 0).sum() > 100
    assert reclaim.report_free(guest.machine, 0) == 0
    rest.discard(0, 0, 1)
    assert (vm.p2m == before).all()
    check_system(rest.system)
    for hfn in heads:
        unpin(host, hfn)
    assert reclaim.report_free(guest.machine, 0) > 100
    reclaim.discard(guest.machine, given.astype(np.int64))
    assert not vm.p2m[given].any()
    check_system(rest.system)


def test_the_end_of_a_vm_frees_it_with_the_last_pin(technique: str) -> None:
    rest = AtRest(2, technique)
    rest.fill(0, 0, 5)
    host, frame = rest.system.host, rest.hfn(0, 0)
    assert pin(host, frame) and pin(host, frame)
    rest.guest(0).switch_off()
    check_system(rest.system)
    free = rest.system.free
    assert unpin(host, frame) == 1 and rest.system.free == free
    check_system(rest.system)
    assert unpin(host, frame) == 0 and rest.system.free == free + 1
    check_system(rest.system)


@pytest.mark.parametrize("what", ["free", "merged", "not the first of its block", "below 0"])
def test_a_wrong_pin_is_caught(what: str) -> None:
    rest = AtRest(1, host_page_size="2m")
    rest.fill(0, 0, 5, 600)
    rest.fill(0, 600, 6, 2)
    for _ in range(3):
        rest.full_scan()
    kinds, orders = rest.frame["kind"], rest.frame["order"]
    wrong = {
        "free": (kinds == 0) & (orders > 0),
        "merged": (kinds == MERGED_PAGE) & (orders > 0),
        "not the first of its block": orders == 0,
        "below 0": (kinds > 0) & (orders > 0),
    }[what]
    rest.frame["pins"][np.flatnonzero(wrong)[0]] = -1 if what == "below 0" else 1
    with pytest.raises(CheckFailed, match="a pinned frame is in use and not shared"):
        check_system(rest.system)
