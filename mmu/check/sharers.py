"""The chains of sharers and the reverse map of the host's frames, against the VMs' p2ms."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.host.system import System
from mmulab.mmu.memory.state import MERGED_PAGE
from mmulab.mmu.memory.vm import VM
from mmulab.mmu.techniques.reference import fail

CHAIN = "the chain of a shared frame names exactly those that share it"


def check_sharers(system: System) -> None:
    """Raises CheckFailed where a chain or the reverse map is wrong.

    The chain of a shared frame names each (VM, gfn) whose p2m leads there once, and that
    knows its node. With `check_system`, which counts the references of a frame, they are as
    many as its chain is long, and what services hold. No other frame has a chain: the
    reverse map names the gfn that it backs. Every node is in a chain or free.
    """
    frame, node = system.host.frames.frame, system.host.sharers.node
    used = int(system.host.sharers.record[0]["used"])
    owners = np.zeros(1 + used, np.int64)  # frame whose chain a node is in, + 1; 0: none
    shared = np.flatnonzero((frame["kind"] == MERGED_PAGE) & (frame["order"] > 0))
    links = node[: 1 + used][["next", "previous"]].tolist()
    for hfn, first in zip(shared.tolist(), frame["reverse"][shared].tolist(), strict=True):
        before, at = 0, first
        while at:
            if not 0 < at <= used:
                fail("the host", CHAIN, f"frame {hfn:#x}: node {at} of {used}")
            if owners[at] or links[at][1] != before:
                fail("the host", CHAIN, f"frame {hfn:#x}: node {at} is not linked to one before")
            owners[at] = hfn + 1
            before, at = at, links[at][0]
    live = [(g.name, g.vm) for g in system.guests if g.started and not g.off]
    live += [(frozen.name, frozen.vm) for frozen in system.frozen]
    sharing = sum(_check_vm(name, vm, frame, node, owners) for name, vm in live)
    chained = np.count_nonzero(owners)
    if sharing != chained:
        fail("the host", CHAIN, f"{chained} nodes in chains, {sharing} guest frames that share")
    _check_pool(system, links, owners)


def _check_vm(name: str, vm: VM, frame: np.ndarray, node: np.ndarray, owners: np.ndarray) -> int:
    """Each gfn on a shared frame stands in that frame's chain, by a node of its own; returns
    how many do."""
    backed = np.flatnonzero(vm.p2m > 0)
    hfns = (vm.p2m[backed] >> 2) - 1
    is_shared = frame["kind"][hfns] == MERGED_PAGE
    wrong = frame["reverse"][hfns] != backed + 1
    if (wrong & ~is_shared).any():
        at = int(np.flatnonzero(wrong & ~is_shared)[0])
        what = f"gfn {backed[at]:#x}: frame {hfns[at]:#x} names {frame['reverse'][hfns[at]] - 1:#x}"
        fail(name, "the reverse map of a frame that is not shared names its gfn", what)
    gfns, hfns = backed[is_shared], hfns[is_shared]
    mine = np.zeros(len(vm.sharer), np.int64)
    mine[gfns] = 1
    if ((vm.sharer != 0) != (mine != 0)).any():
        gfn = int(np.flatnonzero((vm.sharer != 0) != (mine != 0))[0])
        fail(name, CHAIN, f"gfn {gfn:#x} has node {vm.sharer[gfn]}")
    nodes = vm.sharer[gfns]
    named = (node["vm"][nodes] == int(vm.record[0]["id"])) & (node["gfn"][nodes] == gfns)
    right = named & (owners[nodes] == hfns + 1)
    if not right.all():
        at = int(np.flatnonzero(~right)[0])
        fail(name, CHAIN, f"gfn {gfns[at]:#x} is not in the chain of frame {hfns[at]:#x}")
    return len(gfns)


def _check_pool(system: System, links: list, owners: np.ndarray) -> None:
    what = "every node of a chain of sharers is in one chain, or free"
    at = int(system.host.sharers.record[0]["free"])
    free = 0
    while at:
        if not 0 < at < len(owners) or owners[at]:
            fail("the host", what, f"node {at} is on the free list")
        owners[at] = -1
        free += 1
        at = links[at][0]
    if np.count_nonzero(owners) != len(owners) - 1:
        fail("the host", what, f"{len(owners) - 1} used, {free} of them free")
