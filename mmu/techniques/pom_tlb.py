"""Nested paging with a third level of TLB in memory: a part-of-memory TLB.

What the L2 TLB lacks is looked for in memory, in an entry that caches can hold: one reference in
the place of a walk in two dimensions. All else is nested paging's. The paper was not read in the
original, but a summary of it (wangziqi2013.github.io, 5 May 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.hardware import instructions
from mmulab.mmu.hardware.contexts import GLOBAL, renew
from mmulab.mmu.hardware.walks.pom_tlb import (
    AREAS,
    HIGH,
    HIGH_SHIFT,
    LOW_BITS,
    PAGE_BITS,
    WALK,
    WAYS,
    drop,
)
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import FRAME, D
from mmulab.mmu.memory.runs import take_small_run
from mmulab.mmu.memory.state import NPT_PAGE
from mmulab.mmu.memory.status import NIL, NOT_CONTIGUOUS, OK, OUT_OF_TABLES
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.reference import RIGHTS, Page, fail
from mmulab.mmu.techniques.second_dimension import EXITS
from mmulab.mmu.techniques.technique import Counter, Sizes, Technique

_PER_FRAME = 256  # entries of 16 bytes


class PomState(nested.NestedState):
    entries: np.ndarray  # [1]: of an area

    FIELDS = {**nested.NestedState.FIELDS, "entries": ArrayField(np.int64)}


_state = as_struct(PomState)


@kernel
def start(machine):
    """Turns EPT on, and takes both areas from the host's memory."""
    status = nested.start(machine)
    entries = _state(machine.vm.private).entries[0]
    count = entries // _PER_FRAME
    machine.vcpu.regs[0].area_sets = entries // WAYS
    for area in range(AREAS):
        if status != OK:
            return status
        vm, host = machine.vm, machine.host
        first = take_small_run(host.frames, count, NPT_PAGE, vm.record[0].id)
        if first == NIL:
            return NOT_CONTIGUOUS
        for hfn in range(first, first + count):
            if not memory.open_table(host.memory, hfn):
                return OUT_OF_TABLES
        vm.record[0].host_tables += count
        machine.vcpu.regs[0].area[area] = first
    return status


@kernel
def invlpg(machine, gva):
    """The page's entry goes, wherever it is; all of the process's where pages lie in pieces."""
    status = instructions.invlpg(machine, gva)
    regs = machine.vcpu.regs[0]
    if regs.area_pieces:
        renew(machine.core, regs.context)
        renew(machine.core, regs.global_context)
    else:
        drop(machine.core, machine.vcpu, machine.host.memory, gva)
    return status


class PomReference(nested.NestedReference):
    """A walk gives what it gives under nested paging; what memory holds is what a walk gives."""

    def _areas(self) -> list[range]:
        count = int(self.tables.vm.private.entries[0]) // _PER_FRAME  # type: ignore[attr-defined]
        return [range(int(first), int(first) + count) for first in self.tables.regs["area"]]

    def host_tables(self) -> dict[int, int]:
        areas = (hfn for area in self._areas() for hfn in area)
        return super().host_tables() | dict.fromkeys(areas, NPT_PAGE)

    def _processes(self) -> dict[int, int]:
        """Generation -> a process whose translations have it, of those that are valid."""
        tables = self.tables
        context = tables.machine.core.context
        current, pcid_now = int(tables.record["current"]), int(tables.regs["pcid"])
        found = {}
        for at in np.flatnonzero(context["used"]).tolist():
            generation, pcid = int(context[at]["generation"]), int(context[at]["pcid"])
            if context[at]["vpid"] != tables.regs["vpid"] or generation <= tables.regs["void"]:
                continue
            of_current = pcid in (GLOBAL, pcid_now)
            process = current if of_current else self.process_of(pcid)
            if process is not None:
                found[generation] = process
        return found

    def check(self) -> None:
        processes = self._processes()
        for size, area in enumerate(self._areas()):
            for hfn in area:
                contents = self.tables.contents(hfn)
                assert contents is not None
                for word, leaf in contents.reshape(-1, 2)[contents[::2] != 0].tolist():
                    generation = word >> PAGE_BITS | (leaf >> HIGH_SHIFT & HIGH) << LOW_BITS
                    if generation in processes:
                        self._check_entry(size, word, leaf, processes[generation])

    def _check_entry(self, size: int, word: int, leaf: int, process: int) -> None:
        number = word & (1 << PAGE_BITS) - 1
        page = (number - (1 << PAGE_BITS) * (number >> (PAGE_BITS - 1))) << 9 * size
        cached = Page((leaf & FRAME) >> 12, size, leaf & RIGHTS, bool(leaf & D))
        now = self.translate(process, page)
        if now is None or (cached.hfn, cached.rights) != (now.hfn, now.rights):
            what = f"page {page << 12:#x}: {cached}, a walk: {now}"
            fail(self.tables.where, "a TLB in memory holds what a walk gives", what)
        elif size > now.size or (cached.dirty and not now.dirty):
            what = f"page {page << 12:#x}: {cached}, a walk: {now}"
            fail(self.tables.where, "a TLB in memory holds no more than a walk gives", what)


def _make_state(sizes: Sizes, values: Mapping[str, Any]) -> PomState:
    return PomState(
        root=np.full(1, NIL, np.int64), entries=np.full(1, int(values["entries"]), np.int64)
    )


TECHNIQUE = Technique(
    name="pom-tlb",
    summary="nested paging with a third level of TLB in memory, whose lines caches hold",
    source="Ryoo et al., Rethinking TLB Designs in Virtualized Environments, ISCA 2017 (summary)",
    module=__name__,
    walk=WALK,
    reference=PomReference,
    hooks={**nested.TECHNIQUE.hooks, "start": start, "invlpg": invlpg},
    parameters=(
        Parameter(
            "entries",
            "entries of each area, for 4 KiB and 2 MiB pages, of 16 bytes; 65536 are Virtuoso's, "
            "524288 make 16 MiB of both areas",
            ("65536", "1024", "16384", "262144", "524288"),
        ),
        HOST_PAGE_SIZE,
    ),
    exits=EXITS,
    counters=(
        Counter("pom_hits", "walks that the TLB in memory spared"),
        Counter("mispredicted", "look-ups whose page had the other size than was predicted"),
        Counter("pom_fills", "translations put into it"),
    ),
    state=_make_state,
    assumptions=(
        "a set is chosen by the page number alone, and replaces by LRU",
        "an area that has never had an entry is not looked into",
        "a flush of a process, or of the VM, makes its entries void at no cost, by a new number in "
        "their tags; so does INVLPG where a page of the guest's lies there in smaller pieces",
        "pages of 1 GiB are not put there",
        "without the predictor of cache bypass: what memory serves costs the same whether caches "
        "were asked before, and is known only after the walk",
    ),
)
