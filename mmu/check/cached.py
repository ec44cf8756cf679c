"""Invariant 1: a cached translation is what a walk would give now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mmulab.mmu.check.tables import RIGHTS, Entry, Tables, fail
from mmulab.mmu.hardware.state import (
    NESTED,
    ROUTE_COLUMNS,
    ROUTE_EPT_PSC,
    ROUTE_L2D,
    ROUTE_NTLB,
    ROUTE_PSC,
    SHADOW,
    Core,
)
from mmulab.mmu.hardware.tlb import GLOBAL, VPID_SHIFT
from mmulab.mmu.memory.entries import EPT_D, EPT_W, EPT_X, FRAME, RW, XD, D
from mmulab.mmu.memory.status import NIL

_PAGE_BITS = 45


class Page(NamedTuple):
    """What a walk gives for a page: hfn of its first 4 KiB, page size, rights, both D bits."""

    hfn: int
    size: int
    rights: int
    dirty: bool


def _hardware_leaves(tables: Tables, process: int) -> dict[tuple[int, int], Page]:
    """(page size, page number) -> translation, as the hardware walks for a process."""
    vm = tables.vm
    technique = int(tables.record["technique"])
    leaves = {}
    if technique == SHADOW:
        page = int(vm.process[process]["shadow"])
        entries = tables.shadow_entries(page) if page else iter(())
    else:
        entries = tables.guest_entries(int(vm.process[process]["cr3"]))
    for entry in entries:
        if entry.is_leaf:
            size = entry.level - 1
            leaves[size, entry.address >> (12 + 9 * size)] = Page(
                entry.frame, size, entry.rights & RIGHTS, bool(entry.value & D)
            )
    return leaves


def _nested_leaves(tables: Tables) -> dict[tuple[int, int], Entry]:
    return {
        (entry.level - 1, entry.address >> (12 + 9 * (entry.level - 1))): entry
        for entry in tables.nested_entries()
        if entry.is_leaf
    }


def _lookup(leaves: dict, page: int) -> tuple[int, object] | None:
    """(page size, leaf) that holds a 4 KiB page."""
    for size in range(3):
        leaf = leaves.get((size, page >> (9 * size)))
        if leaf is not None:
            return size, leaf
    return None


def _translate(tables: Tables, leaves: dict, nested: dict | None, page: int) -> Page | None:
    """What a walk gives for a 4 KiB page now."""
    found = _lookup(leaves, page)
    if found is None:
        return None
    size, leaf = found
    assert isinstance(leaf, Page)
    frame = leaf.hfn + (page & ((1 << (9 * size)) - 1))
    if nested is None:
        return Page(frame, size, leaf.rights, leaf.dirty)
    below = _lookup(nested, frame)
    if below is None:
        return None
    host_size, entry = below
    assert isinstance(entry, Entry)
    rights = leaf.rights
    rights &= ~0 if entry.value & EPT_W else ~RW
    rights |= 0 if entry.value & EPT_X else XD
    hfn = entry.frame + (frame & ((1 << (9 * host_size)) - 1))
    dirty = leaf.dirty and (not tables.regs["ept_ad"] or bool(entry.value & EPT_D))
    return Page(hfn, min(size, host_size), rights, dirty)


def _number(core: Core, row: int, column: int) -> int:
    """The unit that serves a route, or NIL."""
    return int(core.route[row * ROUTE_COLUMNS + column]["unit"])


def _slots(core: object, number: int) -> Iterator[tuple[int, int]]:
    """(tag, data) of a unit's valid slots."""
    unit = core.unit[number]  # type: ignore[attr-defined]
    start = int(unit["base"])
    end = start + int(unit["sets"]) * int(unit["stride"])
    tags = core.tag[start:end]  # type: ignore[attr-defined]
    for offset in np.flatnonzero(tags >= 0).tolist():
        yield int(tags[offset]), int(core.data[start + offset])  # type: ignore[attr-defined]


def _owner(tables: Tables, asid: int) -> int | None:
    """A process whose translations an entry of that ASID holds; None: of none that runs
    before the ASID is flushed."""
    shadow = int(tables.record["technique"]) == SHADOW
    current = int(tables.record["current"])
    if asid == GLOBAL or shadow or asid == int(tables.regs["asid"]):
        return current
    for process in tables.processes():
        one = tables.vm.process[process]
        if int(one["asid"]) == asid and not one["stale"]:
            return process
    return None


def check_cached(tables: Tables, units: Sequence[str]) -> None:
    """Invariant 1, for TLBs, paging-structure caches and the nested TLB."""
    core = tables.machine.core
    vpid = int(tables.regs["vpid"])
    nested = None
    if int(tables.record["technique"]) == NESTED:
        nested = _nested_leaves(tables)
    by_process: dict[int, dict] = {}
    for row in range(ROUTE_L2D + 1):
        for number in {_number(core, row, size) for size in range(3)} - {NIL}:
            for tag, data in _slots(core, number):
                if tag >> VPID_SHIFT != vpid:
                    continue
                size = (tag >> _PAGE_BITS) & 3
                asid = (tag >> (_PAGE_BITS + 2)) & 0xFFF
                process = _owner(tables, asid)
                if process is None:
                    continue
                if process not in by_process:
                    by_process[process] = _hardware_leaves(tables, process)
                page = _signed_page(tag, size) << (9 * size)
                now = _translate(tables, by_process[process], nested, page)
                _same(tables, units[number], page, size, data, now)
    _check_walk_caches(tables, units, nested)


def _signed_page(tag: int, size: int) -> int:
    page = tag & ((1 << _PAGE_BITS) - 1)
    return page - (1 << _PAGE_BITS) if page >> (_PAGE_BITS - 1) else page


def _same(tables: Tables, unit: str, page: int, size: int, data: int, now: Page | None) -> None:
    name = f"{unit}, page {page << 12:#x}"
    cached = Page((data & FRAME) >> 12, size, data & RIGHTS, bool(data & D))
    if now is None:
        fail(tables.where, "a TLB hit is what a walk gives", f"{name}: a walk faults")
    elif cached.hfn != now.hfn or cached.rights != now.rights or size > now.size:
        fail(tables.where, "a TLB hit is what a walk gives", f"{name}: {cached}, a walk: {now}")
    elif cached.dirty and not now.dirty:
        fail(tables.where, "a TLB hit is what a walk gives", f"{name}: D set there only")


def _check_walk_caches(tables: Tables, units: Sequence[str], nested: dict | None) -> None:
    core = tables.machine.core
    vpid = int(tables.regs["vpid"])
    what = "a walk cache holds what a walk reads"
    guest: dict[int, dict[tuple[int, int], tuple[int, int]]] = {}
    for level in range(2, 6):
        number = _number(core, ROUTE_PSC, level)
        for tag, data in _slots(core, number) if number != NIL else ():
            if tag >> (_PAGE_BITS + 12) != vpid:
                continue
            process = _owner(tables, (tag >> _PAGE_BITS) & 0xFFF)
            if process is None:
                continue
            if process not in guest:
                guest[process] = _uppers(tables, process)
            prefix = _signed_prefix(tag, level)
            now = guest[process].get((level, prefix))
            if now != ((data & FRAME) >> 12, data & RIGHTS):
                fail(tables.where, what, f"{units[number]} {prefix:#x}: {data:#x}, {now}")
    if nested is None:
        return
    uppers = {
        (e.level, e.address >> (12 + 9 * (e.level - 1))): e.frame
        for e in tables.nested_entries()
        if not e.is_leaf
    }
    for level in range(2, 6):
        number = _number(core, ROUTE_EPT_PSC, level)
        for tag, data in _slots(core, number) if number != NIL else ():
            if tag >> _PAGE_BITS != vpid:
                continue
            prefix = tag & ((1 << _PAGE_BITS) - 1)
            if uppers.get((level, prefix)) != (data & FRAME) >> 12:
                fail(tables.where, what, f"{units[number]} {prefix:#x}")
    number = _number(core, ROUTE_NTLB, 0)
    for tag, data in _slots(core, number) if number != NIL else ():
        if tag >> _PAGE_BITS != vpid:
            continue
        gfn = tag & ((1 << _PAGE_BITS) - 1)
        if tables.hfn_of(gfn) != data:
            fail(tables.where, what, f"ntlb gfn {gfn:#x}: {data:#x}, p2m {tables.hfn_of(gfn):#x}")


def _signed_prefix(tag: int, level: int) -> int:
    bits = _PAGE_BITS
    prefix = tag & ((1 << bits) - 1)
    return prefix - (1 << bits) if prefix >> (bits - 1) else prefix


def _uppers(tables: Tables, process: int) -> dict[tuple[int, int], tuple[int, int]]:
    """(level, prefix) -> (hfn of the table below, rights of the path)."""
    shadow = int(tables.record["technique"]) == SHADOW
    one = tables.vm.process[process]
    if shadow:
        page = int(one["shadow"])
        entries = tables.shadow_entries(page) if page else iter(())
    else:
        entries = tables.guest_entries(int(one["cr3"]))
    locate = (lambda frame: frame) if shadow else tables.hfn_of
    return {
        (e.level, e.address >> (12 + 9 * (e.level - 1))): (locate(e.frame), e.rights & RIGHTS)
        for e in entries
        if not e.is_leaf
    }
