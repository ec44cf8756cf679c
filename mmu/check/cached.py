"""Invariant 1: a cached translation is what a walk would give now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mmulab.mmu.hardware.contexts import GLOBAL
from mmulab.mmu.hardware.state import (
    COALESCED,
    PAGE_SIZES,
    ROUTE_COLUMNS,
    ROUTE_EPT_PSC,
    ROUTE_NTLB,
    ROUTE_PREFETCH,
    ROUTE_PSC,
    Core,
    Machine,
)
from mmulab.mmu.hardware.tlb import CONTEXT_SHIFT, PAGE_BITS
from mmulab.mmu.hardware.walk_caches import PREFIX_BITS
from mmulab.mmu.memory.entries import FRAME, MAX_LEVELS, D
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.techniques.reference import RIGHTS, Page, Reference, Tables, fail
from mmulab.mmu.techniques.technique import Technique


def check_cached(reference: Reference, units: Sequence[str]) -> None:
    """Invariant 1, for TLBs, their prefetch buffer, paging-structure caches and the nested TLB, of
    the entries that belong to a machine's VM. A page walk cache has no copies of entries here: only
    where they lie."""
    _check_tlbs(reference, units)
    _check_paging_structures(reference, units)
    _check_physical(reference, units)


def check_vcpu(machine: Machine, technique: Technique, units: Sequence[str], where: str) -> None:
    """Invariant 1 of a vCPU whose turn it is not, on the core that it was on last. What it still
    owes, it drops before it runs."""
    record = machine.vm.record[0]
    number = int(machine.vcpu.regs[0]["number"])
    here = machine.vm.cpu[number]
    told = machine.vm.post["targets"][: int(record["posts"])] >> number & 1
    if int(here["process"]) == NIL or here["owes"] or told.any():
        return
    running = int(record["current"])
    record["current"] = int(here["process"])
    try:
        reference = technique.reference(Tables(machine, f"{where}, vCPU {number}"))
        check_cached(reference, units)
    finally:
        record["current"] = running


def _number(core: Core, row: int, column: int) -> int:
    """The unit that serves a route, or NIL."""
    return int(core.route[row * ROUTE_COLUMNS + column]["unit"])


def _slots(reference: Reference, number: int, shift: int) -> Iterator[tuple[int, int, int]]:
    """(PCID of its context, tag below the context, data) of a unit's valid slots that belong to
    the VM. shift: where a tag's context begins."""
    core = reference.tables.machine.core
    vpid = int(reference.tables.regs["vpid"])
    if number == NIL:
        return
    unit = core.unit[number]
    start = int(unit["base"])
    end = start + int(unit["sets"]) * int(unit["stride"])
    tags = core.tag[start:end]
    for offset in np.flatnonzero(tags >= 0).tolist():
        tag = int(tags[offset])
        context = core.context[tag >> shift]
        if context["vpid"] == vpid:
            yield int(context["pcid"]), tag & ((1 << shift) - 1), int(core.data[start + offset])


def _owner(reference: Reference, pcid: int) -> int | None:
    """A process whose translations an entry of that PCID holds; None: of none that runs
    before the PCID is flushed."""
    tables = reference.tables
    current = int(tables.record["current"])
    if pcid == GLOBAL:
        return current
    if reference.hides_pcid or pcid == int(tables.regs["pcid"]):
        stale = int(tables.vm.process[current]["stale"]) >> int(tables.regs["number"]) & 1
        return None if stale else current  # a lazy TLB
    return reference.process_of(pcid)


def _signed(number: int, bits: int) -> int:
    """A page number or prefix with the sign that its address has."""
    return number - (1 << bits) if number >> (bits - 1) else number


def _check_tlbs(reference: Reference, units: Sequence[str]) -> None:
    core = reference.tables.machine.core
    for row in range(ROUTE_PREFETCH + 1):
        for number in {_number(core, row, size) for size in range(PAGE_SIZES)} - {NIL}:
            for pcid, tag, data in _slots(reference, number, CONTEXT_SHIFT):
                process = _owner(reference, pcid)
                if process is None:
                    continue
                size = tag >> PAGE_BITS
                page = _signed(tag & ((1 << PAGE_BITS) - 1), PAGE_BITS)
                if size < COALESCED:
                    _same(reference, units[number], page << (9 * size), size, data, process)
                    continue
                group = int(core.record[0]["coalescing"])
                for each in range(1 << group):
                    of_page = data + (each << 12)
                    _same(reference, units[number], (page << group) + each, 0, of_page, process)


def _same(reference: Reference, unit: str, page: int, size: int, data: int, process: int) -> None:
    where, what = reference.tables.where, "a TLB hit is what a walk gives"
    name = f"{unit}, page {page << 12:#x}"
    now = reference.translate(process, page)
    cached = Page((data & FRAME) >> 12, size, data & RIGHTS, bool(data & D))
    if now is None:
        fail(where, what, f"{name}: a walk faults")
    elif cached.hfn != now.hfn or cached.rights != now.rights or size > now.size:
        fail(where, what, f"{name}: {cached}, a walk: {now}")
    elif cached.dirty and not now.dirty:
        fail(where, what, f"{name}: D set there only")


_WALK_CACHES = "a walk cache holds what a walk reads"


def _check_paging_structures(reference: Reference, units: Sequence[str]) -> None:
    core = reference.tables.machine.core
    uppers: dict[int, dict[tuple[int, int], tuple[int, int]]] = {}
    for level in range(2, MAX_LEVELS + 1):
        number = _number(core, ROUTE_PSC, level)
        for pcid, tag, data in _slots(reference, number, PREFIX_BITS):
            process = _owner(reference, pcid)
            if process is None:
                continue
            if process not in uppers:
                uppers[process] = reference.uppers(process)
            prefix = _signed(tag, PREFIX_BITS)
            now = uppers[process].get((level, prefix))
            if now != ((data & FRAME) >> 12, data & RIGHTS):
                what = f"{units[number]} {prefix:#x}: {data:#x}, {now}"
                fail(reference.tables.where, _WALK_CACHES, what)


def _check_physical(reference: Reference, units: Sequence[str]) -> None:
    """Paging-structure caches of guest-physical addresses, and the nested TLB."""
    tables = reference.tables
    core = tables.machine.core
    uppers = reference.physical_uppers()
    if uppers is None:
        return
    for level in range(2, MAX_LEVELS + 1):
        number = _number(core, ROUTE_EPT_PSC, level)
        for _, prefix, data in _slots(reference, number, PREFIX_BITS):
            if uppers.get((level, prefix)) != (data & FRAME) >> 12:
                fail(tables.where, _WALK_CACHES, f"{units[number]} {prefix:#x}")
    number = _number(core, ROUTE_NTLB, 0)
    for _, gfn, data in _slots(reference, number, PREFIX_BITS):
        if reference.locate(gfn) != data:
            what = f"ntlb gfn {gfn:#x}: {data:#x}, it lies in {reference.locate(gfn):#x}"
            fail(tables.where, _WALK_CACHES, what)
