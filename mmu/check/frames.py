"""Invariant 3: every frame is free or accounted for exactly once per reference; a shared frame
is mapped read-only everywhere."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.guest.reservations import ORDER
from mmulab.mmu.memory.entries import RW
from mmulab.mmu.memory.frames import OF_KIND
from mmulab.mmu.memory.state import (
    FRAME_KINDS,
    FREE,
    GPT_PAGE,
    GUEST_PAGE,
    MERGED_PAGE,
    Frames,
)
from mmulab.mmu.memory.vm import VM
from mmulab.mmu.techniques.reference import Reference, fail


def check_frames(reference: Reference) -> None:
    """Invariant 3, for the host's frames and the guest's."""
    tables = reference.tables
    guest = guest_references(reference)
    if not tables.virtual:
        account(tables.where, "host", tables.machine.host.frames, guest)
        return
    account(tables.where, "guest", tables.vm.frames, guest)
    account(tables.where, "host", tables.machine.host.frames, host_references(reference))


def host_references(reference: Reference) -> dict[int, tuple[int, int]]:
    """Host frame -> (kind, references) that one VM has: pages, and the VMM's tables."""
    tables = reference.tables
    host: dict[int, tuple[int, int]] = {}
    p2m = tables.vm.p2m
    kinds = tables.machine.host.frames.frame["kind"]
    backed = np.flatnonzero(p2m > 0)
    heads = backed[backed & ((1 << (9 * (p2m[backed] & 3))) - 1) == 0]
    for hfn in ((p2m[heads] >> 2) - 1).tolist():
        kind = MERGED_PAGE if kinds[hfn] == MERGED_PAGE else GUEST_PAGE
        host[hfn] = kind, host.get(hfn, (kind, 0))[1] + 1
    return host | {hfn: (kind, 1) for hfn, kind in reference.host_tables().items()}


def guest_references(reference: Reference) -> dict[int, tuple[int, int]]:
    """frame -> (kind, references) as the processes' tables have them, and the frames that the
    guest keeps for tables to come."""
    tables = reference.tables
    references: dict[int, tuple[int, int]] = {}
    seen: set[tuple[int, int]] = set()
    writable: set[int] = set()
    for process in tables.processes():
        cr3 = int(tables.vm.process[process]["cr3"])
        references[cr3] = (GPT_PAGE, 1)
        for entry in tables.guest_entries(cr3):
            if (entry.table, entry.position) in seen:
                continue  # the kernel half hangs below every root
            seen.add((entry.table, entry.position))
            if entry.is_leaf:
                kind, count = references.get(entry.frame, (GUEST_PAGE, 0))
                references[entry.frame] = (kind, count + 1)
                if entry.value & RW:
                    writable.add(entry.frame)
            else:
                references[entry.frame] = (GPT_PAGE, 1)
    for frame, (kind, count) in references.items():
        if count > 1 and frame in writable:
            fail(tables.where, "a shared frame is mapped read-only", f"frame {frame:#x}")
        if kind != GPT_PAGE:
            continue
        contents = tables.contents(tables.hfn_of(frame))
        if contents is None or int(tables.vm.used[frame]) != np.count_nonzero(contents):
            fail(tables.where, "entries in use are counted", f"gPT page {frame:#x}")
    for frame in reserved_pages(tables.vm):
        references[frame] = (GUEST_PAGE, 1)
    for frame, kind in reference.reserved().items():
        references[frame] = (kind, references.get(frame, (kind, 0))[1] + 1)
    return references


def reserved_pages(vm: VM) -> list[int]:
    """Frames that a guest has reserved for pages to come (`guest.reservations`)."""
    records = vm.reservation
    blocks = np.flatnonzero(records["process"])
    return [
        (block << ORDER) + page
        for block in blocks.tolist()
        for page in range(1 << ORDER)
        if int(records[block]["unused"]) >> page & 1
    ]


def account(where: str, whose: str, frames: Frames, expected: dict) -> None:
    """Every block in use is expected with its references, the rest is free, once each."""
    what = f"every {whose} frame is accounted for exactly once"
    records = frames.frame
    heads = np.flatnonzero(records["order"])
    covered = 0
    free = 0
    for head, order, kind, count, pinned in zip(
        heads.tolist(),
        records["order"][heads].tolist(),
        records["kind"][heads].tolist(),
        records["references"][heads].tolist(),
        records["pins"][heads].tolist(),
        strict=True,
    ):
        if head < covered or head & ((1 << (order - 1)) - 1):
            fail(where, what, f"block at {head:#x} overlaps or is not aligned")
        if head != covered:
            fail(where, what, f"frames {covered:#x} to {head - 1:#x} belong to no block")
        covered = head + (1 << (order - 1))
        if kind == FREE:
            free += 1 << (order - 1)
        elif count == 0 and pinned and head not in expected:
            pass  # only its pins keep it
        elif expected.get(head) != (kind, count):
            fail(
                where,
                what,
                f"{FRAME_KINDS[kind]} frame {head:#x} has {count} references; expected "
                f"{expected.get(head, 'none')}",
            )
        else:
            del expected[head]
    if covered != len(records):
        fail(where, what, f"frames from {covered:#x} on belong to no block")
    if expected:
        fail(where, what, f"frame {min(expected):#x} is used but not allocated")
    _check_counts(where, whose, frames, heads, free)
    _check_pins(where, whose, records)


def _check_counts(where: str, whose: str, frames: Frames, heads: np.ndarray, free: int) -> None:
    """What the allocator counts is so; heads: of its blocks. free: frames."""
    records = frames.frame
    what = f"every {whose} frame is accounted for exactly once"
    by_kind = np.zeros(len(FRAME_KINDS), np.int64)
    used = heads[records["kind"][heads] != FREE]
    np.add.at(by_kind, records["kind"][used], 1 << (records["order"][used].astype(np.int64) - 1))
    if (by_kind != frames.counts[OF_KIND:]).any():
        fail(where, what, f"{by_kind} frames in use by kind; counted {frames.counts[OF_KIND:]}")
    in_use = int(frames.counts[1])
    if in_use + free != len(records):
        fail(where, what, f"{in_use} in use and {free} free of {len(records)}")


def _check_pins(where: str, whose: str, records: np.ndarray) -> None:
    """Pins are of blocks in use that nobody else shares, and stand at their first frame."""
    loose = (records["order"] == 0) | np.isin(records["kind"], (FREE, MERGED_PAGE))
    loose |= (records["references"] > 1) | (records["pins"] < 0)
    wrong = np.flatnonzero(loose & (records["pins"] != 0))
    if len(wrong):
        fail(where, "a pinned frame is in use and not shared", f"{whose} frame {wrong[0]:#x}")
