"""Nested paging whose guest leaves hold the host's leaf, too: one entry of 128 bits.

A walk ends at the guest's leaf, N(g, h) - h references: 20, or 12 with leaves of 2 MiB. What
fills the host half is made up here, for the artifact prices recorded walks and has no software: the
walker fills it when it has walked for the page, after each write of the gPTE; the VMM clears it
when what backs the page changes, by a reverse map of gfns to leaves, as shadow paging has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.hardware.walks.sagepte import WALK
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import BESIDE, ENTRIES, P, frame_of, index_of, level_shift, pages_in
from mmulab.mmu.memory.guest_tables import entry_address, next_leaf
from mmulab.mmu.memory.p2m import host_size_of
from mmulab.mmu.memory.state import GPT_PAGE
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.reference import fail
from mmulab.mmu.techniques.second_dimension import EXITS
from mmulab.mmu.techniques.technique import Counter, Sizes, Technique

CLEARED = 0  # index of the counter


class SageState(nested.NestedState):
    leaf_shift: np.ndarray  # [1]: log2 of a leaf's bytes, beyond 3
    #: [gfns]: where the latest gPTE lies that maps from there, table * 512 + index + 1; 0: none
    leaf: np.ndarray

    FIELDS = {
        **nested.NestedState.FIELDS,
        "leaf_shift": ArrayField(np.int64),
        "leaf": ArrayField(np.int64),
    }


_state = as_struct(SageState)
_drop_mapping, _was_accessed = nested.HOOKS["drop_mapping"], nested.HOOKS["was_accessed"]
_touch = nested.HOOKS["touch"]


@kernel
def start(machine):
    machine.vcpu.regs[0].leaf_shift = _state(machine.vm.private).leaf_shift[0]
    return nested.start(machine)


@kernel
def store(machine, table, index, entry):
    """A gPTE is written without its host half."""
    if entry & P:
        _state(machine.vm.private).leaf[frame_of(entry)] = table * ENTRIES + index + 1
    guest_tables.store_entry(machine, table, index, entry)
    return _touch(machine, table)


@kernel
def _clear(machine, table, index, first, count):
    """Clears the host half of an entry if it maps from one of the frames [first, first + count)."""
    hpa = entry_address(machine, table, index)
    entry = memory.load(machine.host.memory, hpa)
    if (
        entry & P
        and entry & BESIDE
        and first <= frame_of(entry)
        and frame_of(entry) < first + count
    ):
        memory.store(machine.host.memory, hpa, entry & ~BESIDE)
        machine.vcpu.own[CLEARED] += 1


@kernel
def _clear_halves(machine, gfn):
    """The host page behind gfn goes, and with it the host halves of all leaves that map it. Where
    several may, the reverse map is what all gPT pages say."""
    allocator = machine.vm.frames
    count = pages_in(host_size_of(machine, gfn))
    first = gfn & ~(count - 1)
    leaf = _state(machine.vm.private).leaf
    shared = False
    for other in range(first, first + count):
        shared |= allocator.frame[other].references > 1
        if leaf[other]:
            _clear(machine, (leaf[other] - 1) // ENTRIES, (leaf[other] - 1) % ENTRIES, first, count)
    if shared:
        for table in range(allocator.frame.size):
            if allocator.frame[table].kind == GPT_PAGE:
                for index in range(ENTRIES):
                    _clear(machine, table, index, first, count)


@kernel
def adopted(machine):
    """All leaves of tables that were dumped from a machine have their halves."""
    process = machine.vm.record[0].current
    cr3 = machine.vm.process[process].cr3
    gva, end = 0, 1 << level_shift(machine.vm.record[0].levels + 1) - 1
    while gva < end:
        gva, entry, level, table = next_leaf(machine, cr3, gva, end)
        mapped = level and nested.is_mapped(machine, frame_of(entry))
        if mapped and host_size_of(machine, frame_of(entry)) >= level - 1:
            hpa = entry_address(machine, table, index_of(gva, level))
            memory.store(machine.host.memory, hpa, entry | BESIDE)
        gva += 1 << level_shift(level)
    return OK


@kernel
def drop_mapping(machine, gfn):
    _clear_halves(machine, gfn)
    return _drop_mapping(machine, gfn)


@kernel
def was_accessed(machine, gfn):
    """Without EPT A bits the nested table's leaf goes."""
    if not machine.vcpu.regs[0].root_ad:
        _clear_halves(machine, gfn)
    return _was_accessed(machine, gfn)


class SageReference(nested.NestedReference):
    """What a walk gives is what it gives under nested paging; where the half is filled the host
    maps the page."""

    def check(self) -> None:
        for process in self.tables.processes():
            for entry in self.entries(process):
                if entry.is_leaf and entry.value & BESIDE and self.below(entry.frame) is None:
                    what = f"gva {entry.address:#x}: {entry.value:#x}, gfn {entry.frame:#x}"
                    fail(self.tables.where, "a filled host half is of a page that is mapped", what)


def _make_state(sizes: Sizes, values: Mapping[str, Any]) -> SageState:
    return SageState(
        root=np.full(1, NIL, np.int64),
        leaf_shift=np.full(1, int(values["entry"]) // 16, np.int64),
        leaf=np.zeros(sizes.guest_frames, np.int64),
    )


TECHNIQUE = Technique(
    name="sagepte",
    summary="nested paging whose guest leaves hold the host's leaf: no walk of the page itself",
    source="SagePTE, artifact of 2026 (amirmnoohi/SagePTE-AE; the paper was not read)",
    module=__name__,
    walk=WALK,
    reference=SageReference,
    hooks={
        **nested.HOOKS,
        "start": start,
        "stop": nested.stop,
        "store": store,
        "adopted": adopted,
        "drop_mapping": drop_mapping,
        "was_accessed": was_accessed,
    },
    parameters=(
        Parameter(
            "entry",
            "bytes of an entry of the levels that have leaves; 8: lines as the artifact prices",
            ("16", "8"),
        ),
        HOST_PAGE_SIZE,
    ),
    exits=EXITS,
    counters=(
        Counter(
            "cleared",
            "host halves that the VMM cleared, for what backs their page changed",
            Cited(
                60,
                "assumption: a reverse map's entry and the guest's leaf, two lines from L3 that "
                "are found one after the other, 54 cycles each in the artifact, half of it hidden. "
                "Low: both in L2, at 14. High: both from memory, at 200",
                28,
                400,
            ),
            category="exit_fault",
        ),
    ),
    state=_make_state,
    assumptions=(
        "the walker fills the host half of a leaf when it has walked for its page; a write of the "
        "gPTE empties it, and the VMM where the host page goes",
        "the half holds A and D bits of its own, which the VMM finds as it finds nested paging's",
        "a leaf whose page lies in smaller host pages has no host half",
        "the second 4 KiB that a table of 512 entries of 16 bytes takes are not allocated",
    ),
    dumps=True,
)
