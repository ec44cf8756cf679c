"""Direct segments: most of a program's memory, or of a VM's, is translated by an addition.

    native   bare metal: one segment of a program's addresses
    vmm      VMM Direct: the VM's memory is a segment of the host's, so that a walk has the
             guest's dimension alone
    guest    Guest Direct: a segment of a program's addresses in guest-physical memory, so that a
             walk has the host's dimension alone
    dual     Dual Direct: both, and inside of both no walk

A guest's segment begins with the first large mapping of its first program, or at its first touch
where the trace tells of none. The guest kernel sets contiguous frames aside for it, a part of its
memory, and gives each page its place at the first touch. A page that lies elsewhere, copied after
a fork for one, escapes: it is walked for. The host's segment is all of the VM's memory, backed and
pinned from the start: KSM, balloon and host paging pass it by.

Neither paper was read in the original: what is here follows summaries of Basu et al., and of
Gandhi et al. what their counts are known by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mmulab.mmu.hardware import instructions
from mmulab.mmu.hardware.walks.direct_segment import WALK
from mmulab.mmu.hardware.walks.segments import LINEAR, set_segment
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory.entries import PAGE_SHIFT, level_shift, pages_in
from mmulab.mmu.memory.runs import give_back, take_kept, take_small_run
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.techniques import nested, partition
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.reference import Entry, Page, Reference, Tables
from mmulab.mmu.techniques.second_dimension import EXITS
from mmulab.mmu.techniques.technique import Counter, Sizes, Technique

#: Modes: whether the guest has a segment, and whether the host has one.
MODES = {"dual": (1, 1), "vmm": (0, 1), "guest": (1, 0), "native": (1, 1)}
PLACED, ESCAPED = 0, 1  # indices of the counters
SEGMENT = np.dtype(
    [
        ("of_guest", np.int64),  # 1: there may be a linear segment
        ("of_host", np.int64),  # 1: there is a physical one
        ("pages", np.int64),  # that the guest sets aside at most
        ("process", np.int64),  # whose the linear segment is, + 1; 0: there is none
        ("start", np.int64),  # first page of it
        ("end", np.int64),
        ("offset", np.int64),
    ]
)


class DirectState(nested.NestedState):
    segment: np.ndarray  # [1]
    kept: np.ndarray  # [gfns]: 1: set aside for the segment, and not in use yet

    FIELDS = {
        **nested.NestedState.FIELDS,
        "segment": ArrayField(SEGMENT),
        "kept": ArrayField(np.int8),
    }


_state = as_struct(DirectState)

# --- The guest's segment ---------------------------------------------------------------


@kernel
def _load_registers(machine, process):
    """The guest kernel loads the registers for the process that is about to run."""
    segment = _state(machine.vm.private).segment[0]
    if segment.process == process + 1:
        set_segment(machine.vcpu, LINEAR, segment.start, segment.end, segment.offset)
    else:
        set_segment(machine.vcpu, LINEAR, 0, 0, 0)


@kernel
def _make_segment(machine, process, start, pages):
    """Sets frames aside for pages from `start` on, if there are as many in one piece."""
    state = _state(machine.vm.private)
    segment = state.segment[0]
    allocator = machine.vm.frames
    # Pages and frames begin at a multiple of 2 MiB, so that a large page has its place.
    count = min(pages, segment.pages) & ~(pages_in(1) - 1)
    if count == 0:
        return
    first = take_small_run(allocator, count, GUEST_PAGE, machine.vm.record[0].id)
    if first == NIL:
        return
    state.kept[first : first + count] = 1
    segment.process = process + 1
    segment.start = start
    segment.end = start + count
    segment.offset = first - start
    if machine.vm.record[0].current == process:
        _load_registers(machine, process)


@kernel
def mapping_made(machine, process, start, end):
    """The first large mapping is the primary region."""
    segment = _state(machine.vm.private).segment[0]
    whole = 1 << (level_shift(machine.vm.record[0].levels + 1) - 1)
    large = pages_in(1) << PAGE_SHIFT
    first = (start + large - 1) & ~(large - 1)
    if segment.of_guest and not segment.process and end != whole and end - first >= large:
        _make_segment(machine, process, first >> PAGE_SHIFT, (end - first) >> PAGE_SHIFT)
    return OK


@kernel
def mapping_removed(machine, process, start, end):
    """A program that ends, or becomes another, gives back what it has not used."""
    state = _state(machine.vm.private)
    segment = state.segment[0]
    if segment.process != process + 1:
        return OK
    if start >> PAGE_SHIFT <= segment.start and segment.end <= end >> PAGE_SHIFT:
        first, last = segment.start + segment.offset, segment.end + segment.offset
        give_back(machine.vm.frames, state.kept, first, last)
        segment.process = 0
        if machine.vm.record[0].current == process:
            set_segment(machine.vcpu, LINEAR, 0, 0, 0)
    return OK


@kernel
def _take_place(machine, first, size):
    vm = machine.vm
    kept = _state(vm.private).kept
    taken, _ = take_kept(vm.frames, kept, first, size, GUEST_PAGE, vm.record[0].id)
    return taken


@kernel
def place_page(machine, process, gva, size):
    """A page of the segment has one place."""
    segment = _state(machine.vm.private).segment[0]
    page = (gva >> PAGE_SHIFT) & ~(pages_in(size) - 1)
    if not segment.of_guest or gva < 0:
        return NIL
    if not segment.process:
        gigabyte = page & ~(pages_in(2) - 1)
        _make_segment(machine, process, gigabyte, pages_in(2))
    inside = segment.start <= page and page + pages_in(size) <= segment.end
    if segment.process != process + 1 or not inside:
        return NIL
    first = page + segment.offset
    if _take_place(machine, first, size):
        machine.vcpu.own[PLACED] += pages_in(size)
        return first
    machine.vcpu.own[ESCAPED] += pages_in(size)
    return NIL


@kernel
def load_cr3(machine, process, keep):
    _load_registers(machine, process)
    target = machine.vm.process[process]
    return instructions.load_cr3(machine, target.cr3, target.asid, keep)


# --- The host's ------------------------------------------------------------------------


@kernel
def _in_segment(machine):
    return _state(machine.vm.private).segment[0].of_host != 0


@kernel
def start(machine):
    """Backs all of the VM's memory and loads the host's segment, or makes the nPT."""
    return partition.start(machine) if _in_segment(machine) else nested.start(machine)


@kernel
def stop(machine):
    return partition.stop(machine) if _in_segment(machine) else nested.stop(machine)


@kernel
def touch(machine, gfn):
    return OK if _in_segment(machine) else nested.touch(machine, gfn)


@kernel
def read(machine, gfn):
    return OK if _in_segment(machine) else nested.read(machine, gfn)


@kernel
def fault(machine, status, gva, kind, user):
    return status if _in_segment(machine) else nested.fault(machine, status, gva, kind, user)


@kernel
def store(machine, table, index, entry):
    guest_tables.store_entry(machine, table, index, entry)
    return touch(machine, table)


_drop_mapping, _was_accessed = nested.HOOKS["drop_mapping"], nested.HOOKS["was_accessed"]


@kernel
def drop_mapping(machine, gfn):
    return OK if _in_segment(machine) else _drop_mapping(machine, gfn)


@kernel
def is_mapped(machine, gfn):
    return 1 if _in_segment(machine) else nested.is_mapped(machine, gfn)


@kernel
def was_accessed(machine, gfn):
    return 1 if _in_segment(machine) else _was_accessed(machine, gfn)


# --- The same, slowly ------------------------------------------------------------------


class DirectReference(nested.NestedReference):
    """The guest's tables, which record what lies in its segment, and the p2m or the nPT below."""

    def __init__(self, tables: Tables) -> None:
        self.segment = tables.vm.private.segment[0]  # type: ignore[attr-defined]
        super().__init__(tables)

    def nested_entries(self) -> Iterator[Entry]:
        return iter(()) if self.segment["of_host"] else super().nested_entries()

    def translate(self, process: int, page: int) -> Page | None:
        if not self.segment["of_host"]:
            return super().translate(process, page)
        found = Reference.translate(self, process, page)
        return found and found._replace(hfn=self.tables.hfn_of(found.hfn))

    def host_tables(self) -> dict[int, int]:
        return {} if self.segment["of_host"] else super().host_tables()

    def reserved(self) -> dict[int, int]:
        kept = self.tables.vm.private.kept  # type: ignore[attr-defined]
        return dict.fromkeys(np.flatnonzero(kept).tolist(), GUEST_PAGE)


def _make_state(sizes: Sizes, values: Mapping[str, Any]) -> DirectState:
    segment = np.zeros(1, SEGMENT)
    segment[0]["of_guest"], segment[0]["of_host"] = MODES[values["mode"]]
    segment[0]["pages"] = sizes.guest_frames * values["part"] // 100
    return DirectState(
        root=np.full(1, NIL, np.int64),
        segment=segment,
        kept=np.zeros(sizes.guest_frames, np.int8),
    )


TECHNIQUE = Technique(
    name="direct-segment",
    summary="direct segments: an addition in place of one dimension of a walk, or of both",
    source="Basu et al., ISCA 2013; Gandhi et al., MICRO 2014 (neither read in the original)",
    module=__name__,
    walk=WALK,
    reference=DirectReference,
    hooks={
        "start": start,
        "stop": stop,
        "touch": touch,
        "read": read,
        "fault": fault,
        "store": store,
        "load_cr3": load_cr3,
        "drop_mapping": drop_mapping,
        "is_mapped": is_mapped,
        "was_accessed": was_accessed,
        "mapping_made": mapping_made,
        "mapping_removed": mapping_removed,
        "place_page": place_page,
    },
    parameters=(
        Parameter("mode", "which dimensions have a segment; native: bare metal", tuple(MODES)),
        Parameter(
            "part",
            "percent of the guest's memory set aside for its segment at most",
            low=1,
            high=90,
            default=50,
        ),
        HOST_PAGE_SIZE,
    ),
    exits=EXITS,
    counters=(
        Counter("placed", "4 KiB pages of the guest's segment, at their first touch"),
        Counter("escaped", "those that found their place taken"),
    ),
    state=_make_state,
    assumptions=(
        "a page of the segment faults at its first touch and is recorded in the guest's tables, "
        "where the publications' guest has the whole segment from the start and no entries",
        "the record says which pages escape, without false positives of a filter",
        "a translation by segment fills TLBs like any other; it is looked for when they miss",
        "a segment's pages have the rights of their mapping, where a segment of the publications "
        "is readable and writable",
        "one process has a segment at a time",
        "bare metal is a VM whose memory lies in one segment that costs nothing",
    ),
)
