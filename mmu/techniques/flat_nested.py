"""Nested paging whose nested table is flat: one array of entries, indexed by guest frame.

A walk locates each of the guest's tables, and the page, by one reference: 2g + 1. The array takes 8
bytes for each 4 KiB of the guest's memory, in one piece of the host's. All else is nested
paging's. The paper was read in its abstract alone: how the array is laid out, and what becomes of
large pages, is made up here. Its other half, speculative inverted shadow paging, is not here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.hardware.walks.flat import SIZE_SHIFT, WALK
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import (
    ENTRIES,
    EPT_R,
    EPT_RWX,
    EPT_WB,
    EPT_X,
    FRAME,
    INDEX_BITS,
    pages_in,
)
from mmulab.mmu.memory.p2m import hfn_of, host_size_of
from mmulab.mmu.memory.runs import take_small_run
from mmulab.mmu.memory.state import NPT_PAGE
from mmulab.mmu.memory.status import NIL, NOT_CONTIGUOUS, OK, OUT_OF_TABLES
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE
from mmulab.mmu.techniques.reference import Entry, fail
from mmulab.mmu.techniques.second_dimension import WITH_PML, hooks_for
from mmulab.mmu.techniques.technique import Counter, Technique
from mmulab.mmu.techniques.unshare import is_read_only

COPIES = 0  # index of the counter

_state = as_struct(nested.NestedState)


@kernel
def start(machine):
    """Makes the table, for all of the guest's memory, and turns EPT on."""
    vm, host = machine.vm, machine.host
    count = (vm.p2m.size + ENTRIES - 1) // ENTRIES
    root = take_small_run(host.frames, count, NPT_PAGE, vm.record[0].id)
    if root == NIL:
        return NOT_CONTIGUOUS
    for hfn in range(root, root + count):
        if not memory.open_table(host.memory, hfn):
            return OUT_OF_TABLES
    vm.record[0].host_tables += count
    _state(vm.private).root[0] = root
    machine.vcpu.regs[0].root = root
    return OK


@kernel
def _leaf_address(machine, gfn):
    """HPA of a gfn's entry, which is for 4 KiB always."""
    return (_state(machine.vm.private).root[0] << 12) + (gfn << 3), 1


@kernel
def _map_page(machine, gfn):
    """Maps the host page that backs gfn: an entry for each of its frames. Returns a status."""
    size = host_size_of(machine, gfn)
    count = pages_in(size)
    first = gfn & ~(count - 1)
    rights = EPT_R | EPT_X if is_read_only(machine, first) else EPT_RWX
    flags = rights | EPT_WB | size << SIZE_SHIFT
    hpa, _ = _leaf_address(machine, first)
    for offset in range(count):
        entry = ((hfn_of(machine, first) + offset) << 12) | flags
        memory.store(machine.host.memory, hpa + (offset << 3), entry)
    machine.vcpu.own[COPIES] += count - 1
    return OK


class FlatReference(nested.NestedReference):
    """The guest's tables, and each of their frames through the array."""

    def _entry(self, gfn: int) -> int:
        contents = self.tables.contents(self.root + gfn // ENTRIES)
        assert contents is not None
        return int(contents[gfn % ENTRIES])

    def nested_entries(self) -> Iterator[Entry]:
        return iter(())

    def below(self, gfn: int) -> tuple[int, int, int] | None:
        entry = self._entry(gfn)
        return (entry, (entry & FRAME) >> 12, entry >> SIZE_SHIFT & 3) if entry & EPT_RWX else None

    def physical_uppers(self) -> dict[tuple[int, int], int]:
        return {}

    def host_tables(self) -> dict[int, int]:
        count = -(-len(self.tables.vm.p2m) // ENTRIES)
        return dict.fromkeys(range(self.root, self.root + count), NPT_PAGE)

    def check(self) -> None:
        for table in self.host_tables():
            contents = self.tables.contents(table)
            assert contents is not None
            first = (table - self.root) << INDEX_BITS
            for index in np.flatnonzero(contents & EPT_RWX).tolist():
                gfn, entry = first + index, int(contents[index])
                backed = (int(self.tables.hfn_of(gfn)), int(self.tables.vm.p2m[gfn]) & 3)
                if ((entry & FRAME) >> 12, entry >> SIZE_SHIFT & 3) != backed:
                    what = f"gfn {gfn:#x}: {entry:#x}, p2m {backed}"
                    fail(self.tables.where, "the flat table holds what backs a frame", what)


TECHNIQUE = Technique(
    name="flat-nested",
    summary="nested paging with a flat nested table: one reference locates a frame",
    source="Ahn, Jin and Huh, Revisiting hardware-assisted page walks, ISCA 2012 (abstract)",
    module=__name__,
    walk=WALK,
    reference=FlatReference,
    hooks={"start": start, "stop": nested.stop, **hooks_for(_leaf_address, _map_page)},
    parameters=(HOST_PAGE_SIZE,),
    exits=WITH_PML,
    counters=(
        Counter(
            "copies",
            "entries written beside the first of a large host page",
            Cited(
                1,
                "assumption: a store of eight bytes in a row of such. From two a cycle to one "
                "every four cycles, where each line of eight comes from beyond the L1 cache",
                0.5,
                4,
            ),
            category="exit_fault",
        ),
    ),
    state=lambda sizes, values: nested.NestedState(root=np.full(1, NIL, np.int64)),
    movable=True,
    assumptions=(
        "the nested TLB of the preset is kept; paging-structure caches of guest-physical "
        "addresses have nothing to hold",
        "the array is made whole when the VM starts, in one piece, and never shrinks",
        "a large host page has an entry for each of its 4 KiB, with its size in bits that EPT "
        "ignores; its A and D bits are the OR of them",
    ),
    dumps=True,
)
