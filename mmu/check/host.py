"""The invariants of a host with several VMs: frame conservation and content integrity."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.check.cached import check_cached
from mmulab.mmu.check.frames import account, guest_references, host_references
from mmulab.mmu.check.sharers import check_sharers
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory.entries import INDEX_BITS
from mmulab.mmu.memory.state import BALLOON_PAGE, GPT_PAGE, GUEST_PAGE, MERGED_PAGE
from mmulab.mmu.techniques.reference import CheckFailed, Reference, Tables, fail


def check_system(system: System) -> None:
    """Raises CheckFailed where the host or one of its VMs breaks an invariant.

    Frames and blocks: each is free, or accounted for once for each reference. Contents:
    what a guest last wrote to a page is what the host frame, or the block, behind it
    holds. Shared frames: each knows who shares it. Translations: as for a machine alone.
    """
    expected: dict[int, tuple[int, int]] = {}
    swap = np.zeros(len(system.host.swap.references), np.int64)
    for guest in system.guests:
        if guest.started and not guest.off:
            _check_guest(system, guest, expected, swap)
        elif not guest.off:
            _expect_reserved(guest, expected)
    for service in system.services:
        held = getattr(service, "held", None)
        for frame in held() if held else ():
            kind, count = expected.get(frame, (MERGED_PAGE, 0))
            expected[frame] = kind, count + 1
    what = "every block of the swap device is accounted for"
    if (swap != system.host.swap.references).any():
        at = int(np.flatnonzero(swap != system.host.swap.references)[0])
        raise CheckFailed(f"invariant broken: {what}: block {at} has {swap[at]} pages")
    account("the host", "host", system.host.frames, expected)
    check_sharers(system)


def _expect_reserved(guest: Guest, expected: dict[int, tuple[int, int]]) -> None:
    """What a VM has before it begins: its pages of hugetlbfs."""
    entries = guest.machine.vm.p2m
    count = 1 << (INDEX_BITS * int(guest.machine.vm.record[0]["host_size"]))
    for entry in entries[::count][entries[::count] > 0].tolist():
        expected[(entry >> 2) - 1] = GUEST_PAGE, 1


def _check_guest(
    system: System, guest: Guest, expected: dict[int, tuple[int, int]], swap: np.ndarray
) -> None:
    tables = Tables(guest.machine, guest.name)
    reference = guest.spec.technique.reference(tables)
    check_cached(reference, system.units)
    reference.check()
    mine = guest_references(reference)
    for gfn in guest.machine.vm.balloon[: guest.ballooned].tolist():
        mine[gfn] = BALLOON_PAGE, 1
    account(tables.where, "guest", guest.machine.vm.frames, mine)
    for frame, (kind, count) in host_references(reference).items():
        had = expected.get(frame, (kind, 0))[1]
        expected[frame] = kind, had + count
    _check_counters(guest, reference)
    _check_contents(system, guest, tables, swap)
    _check_disk(guest, tables)


def _check_counters(guest: Guest, reference: Reference) -> None:
    """What a VM's record counts is so."""
    tables = reference.tables
    vm = guest.machine.vm
    backed = vm.p2m > 0
    kinds = guest.machine.host.frames.frame["kind"]
    merged = kinds[(vm.p2m[backed] >> 2) - 1] == MERGED_PAGE
    spare = [gfn for gfn, kind in reference.reserved().items() if kind == GPT_PAGE]
    unused = int((vm.frames.frame["references"][spare] == 1).sum())
    orders = tables.machine.host.frames.frame["order"]
    expected = {
        "held": int(backed.sum()),
        "merged": int(merged.sum()),
        "paged_out": int((vm.p2m < 0).sum()),
        "tables": int((vm.frames.frame["kind"] == GPT_PAGE).sum()) - unused,
        "host_tables": sum(1 << (int(orders[head]) - 1) for head in reference.host_tables()),
    }
    for name, count in expected.items():
        if int(tables.record[name]) != count:
            fail(tables.where, "counters are right", f"{name}: {tables.record[name]}, not {count}")


def _check_contents(system: System, guest: Guest, tables: Tables, swap: np.ndarray) -> None:
    what = "a page holds what its guest wrote"
    vm, memory = guest.machine.vm, system.host.memory
    heads = system.host.frames.frame
    holds_table = vm.frames.frame["kind"] == GPT_PAGE
    backed = np.flatnonzero((vm.p2m > 0) & ~holds_table)
    hfns = (vm.p2m[backed] >> 2) - 1
    differ = memory.contents[hfns] != vm.contents[backed]
    if differ.any():
        gfn = int(backed[differ][0])
        fail(tables.where, what, f"gfn {gfn:#x} reads {memory.contents[tables.hfn_of(gfn)]}")
    shared = heads["kind"][hfns] == MERGED_PAGE
    if memory.written[hfns[shared]].any():
        fail(tables.where, "a merged page is mapped read-only everywhere", "one was stored to")
    for gfn in np.flatnonzero(vm.p2m < 0).tolist():
        entry = -int(vm.p2m[gfn])
        block = (entry >> 1) - 1
        if entry & 1:
            held = int(vm.disk.contents[block])
        else:
            held = int(system.host.swap.contents[block])
            swap[block] += 1
        if held != int(vm.contents[gfn]):
            fail(tables.where, what, f"gfn {gfn:#x}, paged out to block {block}, reads {held}")


def _check_disk(guest: Guest, tables: Tables) -> None:
    """Every block of the guest's disk is referred to by pages, gPTEs and the VMM as counted."""
    vm = guest.machine.vm
    counted = np.zeros(len(vm.disk.references), np.int64)
    np.add.at(counted, vm.block[vm.block > 0].astype(np.int64) - 1, 1)
    out = -vm.p2m[vm.p2m < 0]
    np.add.at(counted, (out[(out & 1) > 0] >> 1) - 1, 1)
    for process in tables.processes():
        blocks = tables.paged_out(int(vm.process[process]["cr3"]))
        np.add.at(counted, np.array(blocks, np.int64), 1)
    if (counted != vm.disk.references).any():
        at = int(np.flatnonzero(counted != vm.disk.references)[0])
        fail(
            tables.where, "every block of the guest's disk is accounted for",
            f"block {at} is counted {vm.disk.references[at]} times, not {counted[at]}",
        )  # fmt: skip
