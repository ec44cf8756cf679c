"""Redundant memory mappings (Karakostas et al., ISCA 2015), under nested paging.

Ranges of a process's pages that lie together in memory are kept in a range table, beside the page
tables that say the same: so that a range TLB of 32 entries, searched where the last TLB misses,
reaches most of a program's memory. The guest kernel sets contiguous frames aside when memory is
mapped (eager allocation), and enters them as a range. The VMM backs the VM's memory at its start,
frame after frame, so that a guest's range is one of the host's, too.

The paper was read in its abstract alone, and it has no virtual machines: what is here of its
structures (a B-tree of 4 KiB nodes, 128 ranges each; a register that points to it; a walker in the
background) follows a summary of it, and their use under nested paging is this project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmulab.mmu.hardware import instructions
from mmulab.mmu.hardware.state import RANGES
from mmulab.mmu.hardware.walks.ranges import WALK
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.entries import INDEX_BITS, PAGE_SHIFT, level_shift, pages_in
from mmulab.mmu.memory.runs import give_back, take_kept, take_small_run
from mmulab.mmu.memory.state import GUEST_PAGE
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.memory.watermarks import frames_at_hand
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.reference import Tables, fail
from mmulab.mmu.techniques.second_dimension import EXITS
from mmulab.mmu.techniques.technique import Counter, Sizes, Technique
from mmulab.mmu.vmm.calls import back

PLACED, ESCAPED = 3, 4  # indices of counters, after the walk's

_WHOLE = 1 << INDEX_BITS  # ranges begin and end at a multiple of 2 MiB
_UNTOLD = 1 << 14  # pages that are set aside at a time where a trace tells of no mapping
_PIECES = 16  # ranges of one mapping at most

RECORD = np.dtype(
    [
        ("room", np.int64),  # pages that may still be set aside
        ("used", np.int64),  # ranges of all processes
        ("told", np.int64),  # 1: the trace tells of mappings
    ]
)
OWNED = np.dtype(
    [
        ("process", np.int64),
        ("start", np.int64),  # first page
        ("end", np.int64),
        ("offset", np.int64),  # from a page's number to its gfn
    ]
)


class RmmState(nested.NestedState):
    record: np.ndarray  # [1]
    owned: np.ndarray  # [RANGES]: ranges of all processes, in no order
    kept: np.ndarray  # [gfns]: 1: set aside for a range, and not in use yet

    FIELDS = {
        **nested.NestedState.FIELDS,
        "record": ArrayField(RECORD),
        "owned": ArrayField(OWNED),
        "kept": ArrayField(np.int8),
    }


_state = as_struct(RmmState)

# --- The range table --------------------------------------------------------------------


@kernel
def _load(machine, process):
    """The register points to the process's table: its ranges, in order."""
    state, vcpu = _state(machine.vm.private), machine.vcpu
    count = 0
    for number in range(state.record[0].used):
        mine = state.owned[number]
        if mine.process != process:
            continue
        at = count
        while at > 0 and vcpu.range[at - 1].start > mine.start:
            vcpu.range[at].start = vcpu.range[at - 1].start
            vcpu.range[at].end = vcpu.range[at - 1].end
            vcpu.range[at].offset = vcpu.range[at - 1].offset
            at -= 1
        vcpu.range[at].start, vcpu.range[at].end = mine.start, mine.end
        vcpu.range[at].offset = mine.offset
        count += 1
    vcpu.regs[0].ranges = count


@kernel
def _changed(machine, process):
    if machine.vm.record[0].current == process:
        _load(machine, process)


@kernel
def _add(machine, process, start, end, offset):
    """Enters a range, where there is one and room for it."""
    state = _state(machine.vm.private)
    if start < end and state.record[0].used < RANGES:
        new = state.owned[state.record[0].used]
        new.process, new.start, new.end, new.offset = process, start, end, offset
        state.record[0].used += 1


@kernel
def _range_of(machine, process, page, end):
    """A range of a process that overlaps pages [page, end), or NIL."""
    state = _state(machine.vm.private)
    for number in range(state.record[0].used):
        one = state.owned[number]
        if one.process == process and one.start < end and page < one.end:
            return number
    return NIL


@kernel
def _give_back(machine, first, end):
    """Frames that were set aside and never used are free again."""
    state = _state(machine.vm.private)
    state.record[0].room += give_back(machine.vm.frames, state.kept, first, end)


@kernel
def _set_aside(machine, process, start, end):
    """Ranges for pages from `start` on, in as few pieces as the allocator has."""
    state = _state(machine.vm.private)
    pieces = 0
    count = (end - start) & ~(_WHOLE - 1)
    while start < end and pieces < _PIECES and state.record[0].used < RANGES:
        count = min(count, end - start, state.record[0].room) & ~(_WHOLE - 1)
        if count <= 0:
            break
        first = take_small_run(machine.vm.frames, count, GUEST_PAGE, machine.vm.record[0].id)
        if first == NIL:
            count >>= 1
            continue
        state.kept[first : first + count] = 1
        state.record[0].room -= count
        _add(machine, process, start, start + count, first - start)
        start += count
        pieces += 1
    _changed(machine, process)


@kernel
def mapping_made(machine, process, start, end):
    whole = 1 << (level_shift(machine.vm.record[0].levels + 1) - 1)
    if end == whole:
        return OK  # a fork's: the child shares its pages, and has no range
    _state(machine.vm.private).record[0].told = 1
    first = ((start >> PAGE_SHIFT) + _WHOLE - 1) & ~(_WHOLE - 1)
    last = (end >> PAGE_SHIFT) & ~(_WHOLE - 1)
    if first < last and _range_of(machine, process, first, last) == NIL:
        _set_aside(machine, process, first, last)
    return OK


@kernel
def mapping_removed(machine, process, start, end):
    """What is unmapped of a range is cut out of it."""
    state = _state(machine.vm.private)
    first, last = start >> PAGE_SHIFT, (end + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT
    while True:
        number = _range_of(machine, process, first, last)
        if number == NIL:
            break
        old = state.owned[number]
        begin, stop, offset = old.start, old.end, old.offset
        state.record[0].used -= 1
        moved = state.owned[state.record[0].used]
        old.process, old.start = moved.process, moved.start
        old.end, old.offset = moved.end, moved.offset
        _give_back(machine, max(begin, first) + offset, min(stop, last) + offset)
        _add(machine, process, begin, min(stop, first), offset)
        if max(begin, last) < stop and state.record[0].used == RANGES:
            _give_back(machine, max(begin, last) + offset, stop + offset)
        _add(machine, process, max(begin, last), stop, offset)
    _changed(machine, process)
    return OK


# --- Pages ------------------------------------------------------------------------------


@kernel
def _take_place(machine, first, size):
    vm = machine.vm
    state = _state(vm.private)
    taken, freed = take_kept(vm.frames, state.kept, first, size, GUEST_PAGE, vm.record[0].id)
    state.record[0].room += freed
    return taken


@kernel
def place_page(machine, process, gva, size):
    """A page of a range has one place; elsewhere it escapes, and is walked for."""
    state = _state(machine.vm.private)
    page = (gva >> PAGE_SHIFT) & ~(pages_in(size) - 1)
    if gva < 0:
        return NIL
    number = _range_of(machine, process, page, page + 1)
    if number == NIL and not state.record[0].told:
        start = page & ~(_UNTOLD - 1)
        if _range_of(machine, process, start, start + _UNTOLD) == NIL:
            _set_aside(machine, process, start, start + _UNTOLD)
            number = _range_of(machine, process, page, page + 1)
    if number == NIL or page + pages_in(size) > state.owned[number].end:
        return NIL
    first = page + state.owned[number].offset
    if _take_place(machine, first, size):
        machine.vcpu.own[PLACED] += pages_in(size)
        return first
    machine.vcpu.own[ESCAPED] += pages_in(size)
    return NIL


@kernel
def load_cr3(machine, process, keep):
    _load(machine, process)
    target = machine.vm.process[process]
    return instructions.load_cr3(machine, target.cr3, target.asid, keep)


@kernel
def start(machine):
    """Memory is backed in order, as far as the host has it to spare, beside tables to come."""
    status = nested.start(machine)
    host, count = machine.host.frames, machine.vm.p2m.size
    gfn = 0
    while status == OK and gfn < count and frames.available(host) > count >> 6:
        if frames_at_hand(machine, 0) != OK or back(machine, gfn) != OK:
            break
        gfn += 1
    return status


# --- The same, slowly -------------------------------------------------------------------


class RmmReference(nested.NestedReference):
    """What a walk gives is what it gives under nested paging."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        state = tables.vm.private
        assert isinstance(state, RmmState)
        self.state = state

    def reserved(self) -> dict[int, int]:
        return dict.fromkeys(np.flatnonzero(self.state.kept).tolist(), GUEST_PAGE)

    def check(self) -> None:
        super().check()
        owned = self.state.owned[: int(self.state.record[0]["used"])]
        spans = sorted((int(o["process"]), int(o["start"]), int(o["end"])) for o in owned)
        for (process, _, end), (other, start, _) in zip(spans, spans[1:], strict=False):
            if process == other and start < end:
                fail(self.tables.where, "ranges of a process do not overlap", f"page {start:#x}")
        gfns = np.zeros(len(self.state.kept), np.int64)
        for one in owned:
            gfns[int(one["start"] + one["offset"]) : int(one["end"] + one["offset"])] = 1
        if (self.state.kept > gfns).any():
            fail(self.tables.where, "what is set aside is a range's", "a frame is of none")
        current = int(self.tables.record["current"])
        mine = [span[1:] for span in spans if span[0] == current]
        loaded = self.tables.machine.vcpu.range[: int(self.tables.regs["ranges"])]
        if mine != [(int(one["start"]), int(one["end"])) for one in loaded]:
            fail(self.tables.where, "the register points to the process's ranges", str(mine))


def _make_state(sizes: Sizes, values: Mapping[str, Any]) -> RmmState:
    record = np.zeros(1, RECORD)
    record[0]["room"] = sizes.guest_frames * values["part"] // 100
    return RmmState(
        root=np.full(1, NIL, np.int64),
        record=record,
        owned=np.zeros(RANGES, OWNED),
        kept=np.zeros(sizes.guest_frames, np.int8),
    )


TECHNIQUE = Technique(
    name="rmm",
    summary="redundant memory mappings: nested paging, and a range TLB beside the last TLB",
    source="Karakostas et al., Redundant Memory Mappings, ISCA 2015 (abstract)",
    module=__name__,
    walk=WALK,
    reference=RmmReference,
    hooks={
        **nested.HOOKS,
        "start": start,
        "stop": nested.stop,
        "mapping_made": mapping_made,
        "mapping_removed": mapping_removed,
        "place_page": place_page,
        "load_cr3": load_cr3,
    },
    parameters=(
        Parameter(
            "part",
            "percent of the guest's memory that may be set aside for ranges at a time",
            low=0,
            high=90,
            default=50,
        ),
        HOST_PAGE_SIZE,
    ),
    exits=EXITS,
    counters=(
        Counter(
            "range_hits",
            "misses of the last TLB that a range served",
            Cited(
                8,
                "assumption: a search of 32 entries and two additions, the latency that "
                "Virtuoso's configuration has for the structure. From half to twice",
                4,
                16,
            ),
            category="guest_walk",
        ),
        Counter("range_fills", "ranges that the background walker brought"),
        Counter("range_references", "nodes of the range table that it read, unwaited for"),
        Counter("placed", "pages that got their place in a range"),
        Counter("escaped", "pages of a range that lie elsewhere"),
    ),
    state=_make_state,
    assumptions=(
        "a range is of whole pieces of 2 MiB: heads, tails and small mappings are paged",
        "pages of a range are entered into the page tables at their first touch, with a fault, and "
        "keep their own rights",
        "where a trace tells of no mapping, 64 MiB are set aside around a first touch",
        "a process that was forked has no ranges of its own",
        "the hardware knows how far the host's memory lies together without a table of the host's",
        "references of the background walker take no room in the caches",
    ),
    eager=True,
)
