"""The invariants of a host with several VMs: frame conservation and content integrity."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.check.cached import check_cached, check_vcpu
from mmulab.mmu.check.frames import account, guest_references, host_references
from mmulab.mmu.check.sharers import check_sharers
from mmulab.mmu.guest.drivers import hot_plug
from mmulab.mmu.host.system import Frozen, System
from mmulab.mmu.host.vm import Guest
from mmulab.mmu.memory.entries import INDEX_BITS
from mmulab.mmu.memory.p2m import IN_IMAGE, ON_GUEST_DISK, ON_OTHER_HOST, ON_SWAP, elsewhere
from mmulab.mmu.memory.state import BALLOON_PAGE, GPT_PAGE, GUEST_PAGE, MERGED_PAGE, Frames
from mmulab.mmu.memory.vm import VM
from mmulab.mmu.techniques.reference import CheckFailed, Reference, Tables, fail

_DISKS = {
    ON_SWAP: "the swap device",
    IN_IMAGE: "the store of images",
    ON_OTHER_HOST: "what is on another host",
}


def check_system(system: System) -> None:
    """Raises CheckFailed where the host or one of its VMs breaks an invariant.

    Frames and blocks: each is free, or accounted for once for each reference. Contents:
    what a guest last wrote to a page is what the host frame, or the block, behind it
    holds. Shared frames: each knows who shares it. Translations: as for a machine alone.
    """
    expected: dict[int, tuple[int, int]] = {}
    host = system.host
    disks = {ON_SWAP: host.swap, IN_IMAGE: host.images, ON_OTHER_HOST: host.remote}
    blocks_of = {where: np.zeros(len(disk.references), np.int64) for where, disk in disks.items()}
    for guest in system.guests:
        if guest.started and not guest.off:
            _check_guest(system, guest, expected, blocks_of)
        elif not guest.off:
            _expect_reserved(guest, expected, blocks_of)
    for frozen in system.frozen:
        _check_frozen(system, frozen, expected, blocks_of)
    for service in system.services:
        held = getattr(service, "held", None)
        for frame in held() if held else ():
            kind, count = expected.get(frame, (MERGED_PAGE, 0))
            expected[frame] = kind, count + 1
    for where, counted in blocks_of.items():
        wrong = np.flatnonzero(counted != disks[where].references)
        if len(wrong):
            what = f"every block of {_DISKS[where]} is accounted for"
            at = int(wrong[0])
            raise CheckFailed(f"invariant broken: {what}: block {at} has {counted[at]} pages")
    account("the host", "host", system.host.frames, expected)
    check_sharers(system)


def _expect_reserved(
    guest: Guest, expected: dict[int, tuple[int, int]], blocks_of: dict[int, np.ndarray]
) -> None:
    """What a VM has before it begins: its pages of hugetlbfs, or what a migration has brought."""
    entries = guest.machine.vm.p2m
    backed = np.flatnonzero(entries > 0)
    heads = backed[backed & ((1 << (INDEX_BITS * (entries[backed] & 3))) - 1) == 0]
    for entry in entries[heads].tolist():
        expected[(entry >> 2) - 1] = GUEST_PAGE, 1
    _, kinds, blocks = elsewhere(entries)
    for kind, counted in blocks_of.items():
        np.add.at(counted, blocks[kinds == kind], 1)


def _check_guest(
    system: System,
    guest: Guest,
    expected: dict[int, tuple[int, int]],
    blocks_of: dict[int, np.ndarray],
) -> None:
    tables = Tables(guest.machine, guest.name)
    reference = guest.spec.technique.reference(tables)
    check_cached(reference, system.units)
    for number in range(len(guest.vcpus)):
        if number != guest.turns.at:
            machine = guest.machine_of(number)
            check_vcpu(machine, guest.spec.technique, system.units, guest.name)
    reference.check()
    mine = guest_references(reference)
    for gfn in guest.machine.vm.balloon[: guest.ballooned].tolist():
        mine[gfn] = BALLOON_PAGE, 1
    for gfn in unplugged_blocks(guest.machine.vm.frames):
        mine[gfn] = BALLOON_PAGE, 1
    account(tables.where, "guest", guest.machine.vm.frames, mine)
    for frame, (kind, count) in host_references(reference).items():
        had = expected.get(frame, (kind, 0))[1]
        expected[frame] = kind, had + count
    _check_counters(guest, reference)
    _check_contents(system, guest.machine.vm, tables.where, blocks_of)
    _check_disk(guest, tables)


def unplugged_blocks(frames: Frames) -> list[int]:
    """The first frame of each: balloons have single ones."""
    frame = frames.frame
    found = (frame["kind"] == BALLOON_PAGE) & (frame["order"] == hot_plug.ORDER + 1)
    return [int(first) for first in np.flatnonzero(found)]


def _check_frozen(
    system: System,
    frozen: Frozen,
    expected: dict[int, tuple[int, int]],
    blocks_of: dict[int, np.ndarray],
) -> None:
    """A snapshot shares every page that it has, and what each holds has not changed."""
    vm = frozen.vm
    backed = vm.p2m[vm.p2m > 0]
    for hfn in ((backed >> 2) - 1).tolist():
        kind, count = expected.get(hfn, (MERGED_PAGE, 0))
        expected[hfn] = kind, count + 1
    counts = {"held": len(backed), "merged": len(backed), "paged_out": int((vm.p2m < 0).sum())}
    for name, count in counts.items():
        if int(vm.record[0][name]) != count:
            fail(frozen.name, "counters are right", f"{name}: {vm.record[0][name]}, not {count}")
    _check_contents(system, vm, frozen.name, blocks_of)


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


def _check_contents(system: System, vm: VM, where: str, blocks_of: dict[int, np.ndarray]) -> None:
    what = "a page holds what its guest wrote"
    memory = system.host.memory
    heads = system.host.frames.frame
    holds_table = vm.frames.frame["kind"] == GPT_PAGE
    backed = np.flatnonzero((vm.p2m > 0) & ~holds_table)
    hfns = (vm.p2m[backed] >> 2) - 1
    differ = memory.contents[hfns] != vm.contents[backed]
    if differ.any():
        gfn = int(backed[differ][0])
        fail(where, what, f"gfn {gfn:#x} reads {memory.contents[int(hfns[differ][0])]}")
    shared = heads["kind"][hfns] == MERGED_PAGE
    if memory.written[hfns[shared]].any():
        fail(where, "a merged page is mapped read-only everywhere", "one was stored to")
    host = system.host
    disks = {
        ON_SWAP: host.swap, ON_GUEST_DISK: vm.disk, IN_IMAGE: host.images,
        ON_OTHER_HOST: host.remote,
    }  # fmt: skip
    for kind, disk in disks.items():
        gfns, kinds, blocks = elsewhere(vm.p2m)
        gfns, blocks = gfns[kinds == kind], blocks[kinds == kind]
        if kind in blocks_of:
            np.add.at(blocks_of[kind], blocks, 1)
        wrong = disk.contents[blocks] != vm.contents[gfns]
        if wrong.any():
            gfn, block = int(gfns[wrong][0]), int(blocks[wrong][0])
            held = int(disk.contents[block])
            fail(where, what, f"gfn {gfn:#x}, paged out to block {block}, reads {held}")


def _check_disk(guest: Guest, tables: Tables) -> None:
    """Every block of the guest's disk is referred to by pages, gPTEs and the VMM as counted."""
    vm = guest.machine.vm
    counted = np.zeros(len(vm.disk.references), np.int64)
    np.add.at(counted, vm.block[vm.block > 0].astype(np.int64) - 1, 1)
    _, wheres, blocks = elsewhere(vm.p2m)
    np.add.at(counted, blocks[wheres == ON_GUEST_DISK], 1)
    for process in tables.processes():
        blocks = tables.paged_out(int(vm.process[process]["cr3"]))
        np.add.at(counted, np.array(blocks, np.int64), 1)
    if (counted != vm.disk.references).any():
        at = int(np.flatnonzero(counted != vm.disk.references)[0])
        fail(
            tables.where, "every block of the guest's disk is accounted for",
            f"block {at} is counted {vm.disk.references[at]} times, not {counted[at]}",
        )  # fmt: skip
