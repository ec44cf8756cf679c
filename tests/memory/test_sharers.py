"""Chains of those that share a frame, against a dict; and that a broken one is noticed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from drivers.vms_at_rest import AtRest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmulab.mmu.check.host import check_system
from mmulab.mmu.hardware.state import Machine
from mmulab.mmu.host import reclaim, sharing
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory import sharers
from mmulab.mmu.memory.state import MERGED_PAGE, SHARER, SHARERS_RECORD, Host, Sharers
from mmulab.mmu.memory.status import OK
from mmulab.mmu.techniques import seam
from mmulab.mmu.techniques.reference import CheckFailed
from mmulab.mmu.vmm import backing, exits

Key = tuple[int, int]  # VM, site

VMS, SITES = 3, 6


@entry
def _chain(host: Host, hfn, found):
    """Writes the nodes of a frame's chain, as many as there is place for; returns how many."""
    count = 0
    node = sharers.following(host, hfn, 0)
    while node and count < found.size:
        found[count] = node
        count += 1
        node = sharers.following(host, hfn, node)
    return count


@entry
def _own(machine: Machine, gfn):
    """What a store to a shared page comes to."""
    seam.drop_mapping(machine, gfn)
    status = backing.own(machine, gfn)
    exits.flush_vm(machine)
    return status


def chain(rest: AtRest, hfn: int) -> list[Key]:
    """(number of the VM, gfn) of each sharer, as the chain has them."""
    found = np.zeros(VMS * SITES + 1, np.int64)
    count = int(_chain(rest.system.host, hfn, found))
    nodes = rest.system.host.sharers.node[found[:count]]
    return list(zip(nodes["vm"].tolist(), nodes["gfn"].tolist(), strict=True))


class Shared:
    """Pages of some VMs, and the dict: (VM, site) -> the frame that it shares."""

    def __init__(self, technique: str) -> None:
        self.rest = AtRest(VMS, technique)
        self.shared: dict[Key, int] = {}
        self.content = {(vm, site): 7 for vm in range(VMS) for site in range(SITES)}
        for vm in range(VMS):
            self.rest.fill(vm, 0, 7, SITES)

    def _backed(self, key: Key) -> bool:
        return key in self.content and self.rest.hfn(*key) >= 0

    def _join(self, key: Key, hfn: int) -> None:
        """With the reference that `join_held` drops, as a service holds it."""
        if not self._backed(key) or key in self.shared:
            return
        rest = self.rest
        rest.frame["references"][hfn] += 1
        gfns, tags = rest.gfns(*key), np.array([self.content[key]], np.int64)
        machine = rest.guest(key[0]).machine
        merged, _ = sharing.join_held(machine, gfns, np.array([hfn], np.int64), tags)
        assert merged == 1
        self.shared[key] = hfn

    def share(self, key: Key, _: Key) -> None:
        """A page's own frame is shared from now on."""
        if self._backed(key):
            self._join(key, self.rest.hfn(*key))

    def join(self, key: Key, other: Key) -> None:
        if other in self.shared and self.content.get(key) == self.content[other]:
            self._join(key, self.shared[other])

    def own(self, key: Key, _: Key) -> None:
        if self.shared.pop(key, None) is not None:
            assert _own(self.rest.guest(key[0]).machine, self.rest.gfn(*key)) == OK

    def fill(self, key: Key, other: Key) -> None:
        if key in self.content:
            self.content[key] = 7 + other[1] % 2
            self.rest.fill(*key, self.content[key])
            self.shared.pop(key, None)

    def discard(self, key: Key, _: Key) -> None:
        if key in self.content:
            self.rest.discard(*key)
            self.content[key] = 0
            self.shared.pop(key, None)

    def page_out(self, key: Key, _: Key) -> None:
        """Shared pages stay."""
        if key in self.content:
            machine = self.rest.guest(key[0]).machine
            reclaim.page_out(machine, self.rest.gfns(*key), False)

    def off(self, key: Key, other: Key) -> None:
        if key in self.content and key[1] == other[1] == 0:
            self.rest.guest(key[0]).switch_off()
            for site in range(SITES):
                self.shared.pop((key[0], site), None)
                del self.content[key[0], site]

    def check(self) -> None:
        for hfn in set(self.shared.values()):
            names = sorted(
                (self.rest.guest(vm).number, self.rest.gfn(vm, site))
                for (vm, site), theirs in self.shared.items()
                if theirs == hfn
            )
            assert sorted(chain(self.rest, hfn)) == names
            assert int(self.rest.frame["references"][hfn]) == len(names)
        merged = np.flatnonzero(self.rest.frame["kind"] == MERGED_PAGE)
        assert set(merged.tolist()) == set(self.shared.values())
        check_system(self.rest.system)


pages = st.tuples(st.integers(0, VMS - 1), st.integers(0, SITES - 1))
steps = st.tuples(
    st.sampled_from(
        ["share", "share", "join", "join", "join", "own", "fill", "discard", "page_out", "off"]
    ),
    pages,
    pages,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["nested", "shadow"]), st.lists(steps, max_size=40))
def test_against_a_dict(technique: str, history: list[tuple[str, Key, Key]]) -> None:
    model = Shared(technique)
    for what, key, other in history:
        getattr(model, what)(key, other)
        model.check()


def test_a_page_that_was_paged_out_comes_back_unshared_and_may_be_shared() -> None:
    model = Shared("nested")
    for what, key in (("page_out", (0, 0)), ("fill", (0, 0)), ("share", (0, 0))):
        getattr(model, what)(key, key)
        model.check()
    assert len(chain(model.rest, model.shared[0, 0])) == 1


# --- A pool that is full -------------------------------------------------------------


def test_a_full_pool_shares_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a node is free again; pages that find none stay as they are."""
    monkeypatch.setattr(
        "mmulab.mmu.machine.build.make_sharers",
        lambda frames, sites=0: Sharers(
            record=np.zeros(1, SHARERS_RECORD), node=np.zeros(6, SHARER)
        ),
    )
    rest = AtRest(2)
    rest.fill(0, 0, 7, 10)
    rest.fill(1, 0, 7, 10)
    for _ in range(4):
        rest.full_scan()
        check_system(rest.system)
    pool = rest.system.host.sharers.record[0]
    assert rest.ksm.counters(rest.system)["pages_sharing"] == 4
    assert int(pool["used"]) == 5 and int(pool["refused"]) > 0
    sharing_now = [site for site in range(10) if rest.frame["kind"][rest.hfn(0, site)]
                   == MERGED_PAGE]  # fmt: skip
    rest.fill(0, sharing_now[0], 8)
    rest.full_scan()
    check_system(rest.system)
    assert rest.ksm.counters(rest.system)["pages_sharing"] == 4


# --- What a broken chain would do is noticed ------------------------------------------


def busy() -> AtRest:
    """Two frames, each shared by pages of two VMs; a free node; a page that is not shared."""
    rest = AtRest(2)
    for vm in range(2):
        rest.fill(vm, 0, 7, 4)
        rest.fill(vm, 4, 8, 4)
        rest.fill(vm, 8, 10 + vm)
    for _ in range(3):
        rest.full_scan()
    rest.fill(0, 0, 9)
    assert len(chain(rest, rest.hfn(0, 1))) == 7 and len(chain(rest, rest.hfn(0, 4))) == 8
    check_system(rest.system)
    return rest


def node_of(rest: AtRest, vm: int, site: int) -> int:
    return int(rest.guest(vm).machine.vm.sharer[rest.gfn(vm, site)])


def lose_a_node(rest: AtRest) -> None:
    hfn = rest.hfn(0, 1)
    nodes = rest.system.host.sharers.node
    second = int(nodes[int(rest.frame["reverse"][hfn])]["next"])
    rest.frame["reverse"][hfn] = second
    nodes[second]["previous"] = 0


def cut_a_chain(rest: AtRest) -> None:
    rest.frame["reverse"][rest.hfn(0, 1)] = 0


def double_a_node(rest: AtRest) -> None:
    nodes = rest.system.host.sharers.node
    first = int(rest.frame["reverse"][rest.hfn(0, 1)])
    last = first
    while nodes[last]["next"]:
        last = int(nodes[last]["next"])
    nodes[last]["next"] = first


def add_a_sharer_twice(rest: AtRest) -> None:
    """A second node for a page, in the same chain."""
    hfn, pool = rest.hfn(0, 1), rest.system.host.sharers
    first, new = int(rest.frame["reverse"][hfn]), int(pool.record[0]["free"])
    pool.record[0]["free"] = pool.node[new]["next"]
    named = pool.node[first]
    pool.node[new] = (named["vm"], named["gfn"], first, 0)
    pool.node[first]["previous"] = new
    rest.frame["reverse"][hfn] = new


def name_a_wrong_gfn(rest: AtRest) -> None:
    rest.system.host.sharers.node["gfn"][node_of(rest, 1, 2)] += 1


def name_a_wrong_vm(rest: AtRest) -> None:
    rest.system.host.sharers.node["vm"][node_of(rest, 1, 2)] = 1


def exchange_chains(rest: AtRest) -> None:
    ours, theirs = rest.hfn(0, 1), rest.hfn(0, 4)
    rest.frame["reverse"][[ours, theirs]] = rest.frame["reverse"][[theirs, ours]]


def forget_the_node(rest: AtRest) -> None:
    rest.guest(1).machine.vm.sharer[rest.gfn(1, 2)] = 0


def keep_a_node(rest: AtRest) -> None:
    """A page that shares nothing any more still has one."""
    rest.guest(0).machine.vm.sharer[rest.gfn(0, 0)] = node_of(rest, 0, 1)


def link_back_wrongly(rest: AtRest) -> None:
    nodes = rest.system.host.sharers.node
    first = int(rest.frame["reverse"][rest.hfn(0, 1)])
    nodes["previous"][int(nodes[first]["next"])] = 0


def lose_a_free_node(rest: AtRest) -> None:
    rest.system.host.sharers.record[0]["free"] = 0


def free_a_node_in_use(rest: AtRest) -> None:
    rest.system.host.sharers.record[0]["free"] = node_of(rest, 1, 2)


def name_another_gfn(rest: AtRest) -> None:
    rest.frame["reverse"][rest.hfn(1, 8)] += 1


NAMES = "names exactly those that share it"
POOL = "in one chain, or free"
BREAKS: dict[str, tuple[Callable[[AtRest], None], str]] = {
    "node lost": (lose_a_node, NAMES),
    "chain cut": (cut_a_chain, NAMES),
    "node doubled": (double_a_node, NAMES),
    "sharer twice": (add_a_sharer_twice, NAMES),
    "wrong gfn": (name_a_wrong_gfn, NAMES),
    "wrong VM": (name_a_wrong_vm, NAMES),
    "other frame's chain": (exchange_chains, NAMES),
    "node forgotten": (forget_the_node, NAMES),
    "node kept": (keep_a_node, NAMES),
    "link back": (link_back_wrongly, NAMES),
    "free node lost": (lose_a_free_node, POOL),
    "node in use freed": (free_a_node_in_use, POOL),
    "reverse map": (name_another_gfn, "a frame that is not shared names its gfn"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_chain_is_caught(name: str) -> None:
    damage, message = BREAKS[name]
    rest = busy()
    damage(rest)
    with pytest.raises(CheckFailed, match=message):
        check_system(rest.system)
