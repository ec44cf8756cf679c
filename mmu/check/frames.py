"""Invariant 3: every frame is free or accounted for exactly once per reference; a shared frame
is mapped read-only everywhere."""

from __future__ import annotations

import numpy as np

from mmu.bits import RW
from mmu.check.tables import Tables, fail
from mmu.machine import Simulator
from mmu.state import FRAME_KINDS, FREE, GPT_PAGE, GUEST_PAGE, NESTED, NPT_PAGE, SPT_PAGE


def check_frames(simulator: Simulator, tables: Tables) -> None:
    """Invariant 3, for the host's frames and the guest's."""
    guest = _guest_references(simulator, tables)
    if not tables.virtual:
        _account(simulator, "host", simulator.machine.host.frames, guest)
        return
    _account(simulator, "guest", tables.vm.frames, guest)
    host: dict[int, tuple[int, int]] = {}
    p2m = tables.vm.p2m
    for gfn in np.flatnonzero(p2m[: simulator.config.guest_frames]).tolist():
        size = int(p2m[gfn]) & 3
        if gfn & ((1 << (9 * size)) - 1) == 0:
            host[tables.hfn_of(gfn)] = (GUEST_PAGE, 1)
    if int(tables.record["technique"]) == NESTED:
        host[int(tables.record["npt_root"])] = (NPT_PAGE, 1)
        for entry in tables.nested_entries():
            if not entry.is_leaf:
                host[entry.frame] = (NPT_PAGE, 1)
    for number in range(1, int(tables.record["shadows_used"])):
        if tables.vm.shadow[number]["level"]:
            host[int(tables.vm.shadow[number]["hfn"])] = (SPT_PAGE, 1)
    _account(simulator, "host", simulator.machine.host.frames, host)


def _guest_references(simulator: Simulator, tables: Tables) -> dict[int, tuple[int, int]]:
    """frame -> (kind, references) as the processes' tables have them."""
    references: dict[int, tuple[int, int]] = {}
    seen: set[tuple[int, int]] = set()
    writable: set[int] = set()
    used: dict[int, int] = {}
    for process in tables.processes():
        cr3 = int(tables.vm.process[process]["cr3"])
        references[cr3] = (GPT_PAGE, 1)
        for entry in tables.guest_entries(cr3):
            if (entry.table, entry.position) in seen:
                continue  # the kernel half hangs below every root
            seen.add((entry.table, entry.position))
            used[entry.table] = used.get(entry.table, 0) + 1
            if entry.is_leaf:
                kind, count = references.get(entry.frame, (GUEST_PAGE, 0))
                references[entry.frame] = (kind, count + 1)
                if entry.value & RW:
                    writable.add(entry.frame)
            else:
                references[entry.frame] = (GPT_PAGE, 1)
    for frame, (kind, count) in references.items():
        if count > 1 and frame in writable:
            fail(simulator, "a shared frame is mapped read-only", f"frame {frame:#x}")
        if kind == GPT_PAGE and int(tables.vm.used[frame]) != used.get(tables.hfn_of(frame), 0):
            fail(simulator, "entries in use are counted", f"gPT page {frame:#x}")
    return references


def _account(simulator: Simulator, whose: str, frames: object, expected: dict) -> None:
    """Every block in use is expected with its references, the rest is free, once each."""
    what = f"every {whose} frame is accounted for exactly once"
    records = frames.frame  # type: ignore[attr-defined]
    heads = np.flatnonzero(records["order"])
    covered = 0
    free = 0
    for head, order, kind, count in zip(
        heads.tolist(),
        records["order"][heads].tolist(),
        records["kind"][heads].tolist(),
        records["references"][heads].tolist(),
        strict=True,
    ):
        if head < covered or head & ((1 << (order - 1)) - 1):
            fail(simulator, what, f"block at {head:#x} overlaps or is not aligned")
        if head != covered:
            fail(simulator, what, f"frames {covered:#x} to {head - 1:#x} belong to no block")
        covered = head + (1 << (order - 1))
        if kind == FREE:
            free += 1 << (order - 1)
        elif expected.get(head) != (kind, count):
            fail(
                simulator,
                what,
                f"{FRAME_KINDS[kind]} frame {head:#x} has {count} references; expected "
                f"{expected.get(head, 'none')}",
            )
        else:
            del expected[head]
    if covered != len(records):
        fail(simulator, what, f"frames from {covered:#x} on belong to no block")
    if expected:
        fail(simulator, what, f"frame {min(expected):#x} is used but not allocated")
    in_use = int(frames.counts[1])  # type: ignore[attr-defined]
    if in_use + free != len(records):
        fail(simulator, what, f"{in_use} in use and {free} free of {len(records)}")
