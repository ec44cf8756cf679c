"""Flattened tables: pairs of levels merged where there are 2 MiB for it.

Levels 4 and 3, and 2 and 1, of the guest's table, the host's or both, or of bare metal's (`sides`),
become one table of 2 MiB
(`hardware.walks.flattened`). Each pair is merged for itself: the software asks for an aligned
block of 2 MiB when it makes the upper table, and where there is none the pair stays two levels.
Cold, a walk of both makes (2 + 1)(2 + 1) - 1 = 8 references, with one side flattened 14, and on
bare metal 2.

The paper was read in its abstract alone. Left out are its biased cache replacement, which needs
the program's own data in the caches, and its nodes of 1 GiB.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.walks.flattened import WALK, is_directory, node_of
from mmulab.mmu.hardware.walks.segments import LINEAR, PHYSICAL
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.kernels.parts import as_struct
from mmulab.mmu.kernels.structs import ArrayField
from mmulab.mmu.memory import frames
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import ENTRIES, INDEX_BITS, PS, index_of
from mmulab.mmu.memory.guest_tables import load_entry
from mmulab.mmu.memory.runs import take_small_run
from mmulab.mmu.memory.state import GPT_PAGE, NPT_PAGE
from mmulab.mmu.memory.status import NIL, NOT_CONTIGUOUS, OK, OUT_OF_HOST_FRAMES, OUT_OF_TABLES
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.techniques import nested
from mmulab.mmu.techniques.bare_metal import BareMetalReference, or_bare_metal
from mmulab.mmu.techniques.parameters import HOST_PAGE_SIZE, Parameter
from mmulab.mmu.techniques.reference import Tables
from mmulab.mmu.techniques.second_dimension import EXITS, hooks_for
from mmulab.mmu.techniques.technique import Counter, Sizes, Technique

NATIVE = 1 << 2  # there is no host's dimension
SIDES = {
    "both": 1 << LINEAR | 1 << PHYSICAL,
    "guest": 1 << LINEAR,
    "host": 1 << PHYSICAL,
    "native": 1 << LINEAR | NATIVE,
}
NODES, FALLBACKS, COPIES = range(3)  # indices of the counters
NODE = ENTRIES  # frames of a node


class FlattenedState(nested.NestedState):
    sides: np.ndarray  # [1]: of SIDES
    node: np.ndarray  # [2 MiB blocks of the guest]: 1 where the guest has a node there

    FIELDS = {
        **nested.NestedState.FIELDS,
        "sides": ArrayField(np.int64),
        "node": ArrayField(np.int8),
    }


_state = as_struct(FlattenedState)


@kernel
def _is_native(machine):
    return _state(machine.vm.private).sides[0] & NATIVE != 0


@kernel
def _is_flattened(machine, which):
    return _state(machine.vm.private).sides[0] >> which & 1 != 0


@kernel
def _set_region(machine, allocator, which, kind):
    """Sets aside a frame for the directory of each block of 2 MiB of an address space. Returns a
    status."""
    if not _is_flattened(machine, which):
        return OK
    count = allocator.frame.size // NODE
    start = take_small_run(allocator, count, kind, machine.vm.record[0].id)
    if start == NIL:
        return NOT_CONTIGUOUS
    regs = machine.vcpu.regs[0]
    regs.directory_start[which] = start
    regs.directory_end[which] = start + count
    return OK


@kernel
def _new_node(machine, allocator, which, kind):
    """A node: frame of its directory, NIL where there are no 2 MiB."""
    owner = machine.vm.record[0].id
    first = NIL
    if frames.available(allocator) >= allocator.counts[frames.MIN] + 2 * NODE:
        first = frames.allocate(allocator, INDEX_BITS, kind, owner, NIL)
    if first == NIL:
        machine.vcpu.own[FALLBACKS] += 1
        return NIL
    frames.split(allocator, first, 0)
    machine.vcpu.own[NODES] += 1
    return machine.vcpu.regs[0].directory_start[which] + (first >> INDEX_BITS)


# --- The host's table ----------------------------------------------------------------


@kernel
def _open(machine, hfn, count):
    """(status, hfn) of a new nPT page; count: frames that the VM has more for it."""
    machine.vm.record[0].host_tables += count
    return (OK if memory.open_table(machine.host.memory, hfn) else OUT_OF_TABLES), hfn


@kernel
def _new_table(machine, above, index, level):
    """An empty nPT page below entry `index` of the one in frame `above`: (status, hfn)."""
    host = machine.host.frames
    if above != NIL and is_directory(machine.vcpu, PHYSICAL, above, level + 1):
        return _open(machine, node_of(machine.vcpu, PHYSICAL, above) + index, 0)
    if _is_flattened(machine, PHYSICAL) and level & 1 == 0:
        directory = _new_node(machine, host, PHYSICAL, NPT_PAGE)
        if directory != NIL:
            return _open(machine, directory, NODE)
    hfn = frames.allocate(host, 0, NPT_PAGE, machine.vm.record[0].id, NIL)
    if hfn == NIL:
        return OUT_OF_HOST_FRAMES, hfn
    return _open(machine, hfn, 1)


@kernel
def _start_host(machine):
    """Says where directories lie, makes the nPT's top-level table and turns EPT on."""
    regs = machine.vcpu.regs[0]
    status = _set_region(machine, machine.vm.frames, LINEAR, GPT_PAGE)
    if status == OK:
        status = _set_region(machine, machine.host.frames, PHYSICAL, NPT_PAGE)
    if status != OK:
        return status
    machine.vm.record[0].host_tables += (
        regs.directory_end[PHYSICAL] - regs.directory_start[PHYSICAL]
    )
    status, hfn = _new_table(machine, NIL, 0, regs.root_levels)
    if status == OK:
        _state(machine.vm.private).root[0] = hfn
        regs.root = hfn
    return status


_map_page = nested.make_map_page(_new_table)


@kernel
def _map_and_copy(machine, gfn):
    """Maps a page; a large one in a merged pair has an entry for each of its 4 KiB."""
    status = _map_page(machine, gfn)
    hpa, level = nested.leaf_address(machine, gfn)
    if status == OK and level == 2 and is_directory(machine.vcpu, PHYSICAL, hpa >> 12, level):
        machine.vcpu.own[COPIES] += NODE - 1
    return status


_HOOKS = or_bare_metal(
    {
        **hooks_for(nested.leaf_address, _map_and_copy),
        "start": _start_host,
        "stop": nested.stop,
    },
    _is_native,
)
_start, _touch, _store = _HOOKS["start"], _HOOKS["touch"], _HOOKS["store"]


@kernel
def start(machine):
    status = _start(machine)
    if status != OK or not _is_native(machine):
        return status
    return _set_region(machine, machine.vm.frames, LINEAR, GPT_PAGE)


# --- The guest's table ---------------------------------------------------------------


@kernel
def _release_node(machine, directory):
    """The frames of a node that hold no table are free; others are like any gPT page now."""
    first = node_of(machine.vcpu, LINEAR, directory)
    _state(machine.vm.private).node[first >> INDEX_BITS] = 0
    for gfn in range(first, first + NODE):
        frames.release(machine.vm.frames, gfn)


@kernel
def _new_guest_node(machine):
    """A node that the guest kernel has filled with zeros: gfn of its directory, or NIL."""
    vm = machine.vm
    directory = _new_node(machine, vm.frames, LINEAR, GPT_PAGE)
    if directory == NIL:
        return NIL
    first = node_of(machine.vcpu, LINEAR, directory)
    _state(vm.private).node[first >> INDEX_BITS] = 1
    for gfn in range(first, first + NODE):
        if _touch(machine, gfn) != OK:
            _release_node(machine, directory)
            return NIL
    vm.frames.frame[directory].references += 1
    return directory


@kernel
def place_table(machine, above, gva, level):
    """A lower table of a merged pair lies in the node of the upper one, which is its directory."""
    vm = machine.vm
    if not _is_flattened(machine, LINEAR):
        return NIL
    if above != NIL and is_directory(machine.vcpu, LINEAR, above, level + 1):
        gfn = node_of(machine.vcpu, LINEAR, above) + index_of(gva, level + 1)
        vm.frames.frame[gfn].references += 1
        return gfn
    if level & 1:
        return NIL
    return _new_guest_node(machine)


@kernel
def table_freed(machine, gfn):
    """The node of a directory goes with it."""
    start = machine.vcpu.regs[0].directory_start[LINEAR]
    if is_directory(machine.vcpu, LINEAR, gfn, 0):
        if _state(machine.vm.private).node[gfn - start]:
            _release_node(machine, gfn)
    return OK


@kernel
def store(machine, table, index, entry):
    """A large page in a merged pair has an entry for each of its 4 KiB."""
    start = machine.vcpu.regs[0].directory_start[LINEAR]
    if is_directory(machine.vcpu, LINEAR, table, 0):
        if _state(machine.vm.private).node[table - start]:
            if (entry | load_entry(machine, table, index)) & PS:
                machine.vcpu.own[COPIES] += NODE - 1
    return _store(machine, table, index, entry)


# --- The same, slowly ----------------------------------------------------------------


class FlattenedReference(BareMetalReference):
    """What a walk gives is what it gives under nested paging, or on bare metal; fewer tables are
    read for it."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables, bool(tables.vm.private.sides[0] & NATIVE))  # type: ignore
        self._starts = tables.regs["directory_start"].tolist()
        self._ends = tables.regs["directory_end"].tolist()

    def _is_directory(self, which: int, frame: int, level: int) -> bool:
        return level in (2, 4) and self._starts[which] <= frame < self._ends[which]

    def uppers(self, process: int) -> dict[tuple[int, int], tuple[int, int]]:
        found = super().uppers(process)
        for entry in self.entries(process):
            if not entry.is_leaf and self._is_directory(LINEAR, entry.frame, entry.level - 1):
                key = entry.level, entry.address >> (12 + 9 * (entry.level - 1))
                found[key] = entry.frame, found[key][1]
        return found

    def host_tables(self) -> dict[int, int]:
        found = super().host_tables()
        if self.native:
            return found
        found |= dict.fromkeys(range(self._starts[PHYSICAL], self._ends[PHYSICAL]), NPT_PAGE)
        entries = (entry for entry in self.nested_entries() if not entry.is_leaf)
        levels = {entry.frame: entry.level - 1 for entry in entries}
        levels[self.root] = int(self.tables.regs["root_levels"])
        for table, level in levels.items():
            if self._is_directory(PHYSICAL, table, level):
                first = (table - self._starts[PHYSICAL]) * NODE
                found |= dict.fromkeys(range(first, first + NODE), NPT_PAGE)
        return found

    def reserved(self) -> dict[int, int]:
        found = dict.fromkeys(range(self._starts[LINEAR], self._ends[LINEAR]), GPT_PAGE)
        state = self.tables.vm.private
        for block in np.flatnonzero(state.node).tolist():  # type: ignore[attr-defined]
            found |= dict.fromkeys(range(block * NODE, (block + 1) * NODE), GPT_PAGE)
        return found


def _make_state(sizes: Sizes, values: object) -> FlattenedState:
    return FlattenedState(
        root=np.full(1, NIL, np.int64),
        sides=np.full(1, SIDES[values["sides"]], np.int64),  # type: ignore[index]
        node=np.zeros(sizes.guest_frames // NODE + 1, np.int8),
    )


TECHNIQUE = Technique(
    name="flattened",
    summary="nested paging with flattened tables: pairs of levels merged into tables of 2 MiB",
    source="Park et al., Every Walk's a Hit, ASPLOS 2022 (abstract)",
    module=__name__,
    walk=WALK,
    reference=FlattenedReference,
    hooks={
        **_HOOKS,
        "start": start,
        "store": store,
        "place_table": place_table,
        "table_freed": table_freed,
    },
    parameters=(
        Parameter(
            "sides", "dimensions whose tables are flattened; native: bare metal's", tuple(SIDES)
        ),
        HOST_PAGE_SIZE,
    ),
    exits=EXITS,
    counters=(
        Counter(
            "nodes",
            "tables of 2 MiB made",
            Cited(
                60_000,
                "assumption: 2 MiB filled with zeros at 32 bytes a cycle and line. Low: without "
                "reads for ownership, twice as fast. High: from memory, a line every 16 cycles",
                30_000,
                500_000,
            ),
            category="guest_kernel",
        ),
        Counter("fallbacks", "pairs that stayed two levels for want of 2 MiB"),
        Counter(
            "copies",
            "entries of a large page beside the first, in merged tables",
            Cited(
                1,
                "assumption: a store of eight bytes in a row of such. From two a cycle to one "
                "every four cycles, where each line of eight comes from beyond the L1 cache",
                0.5,
                4,
            ),
            category="guest_kernel",
        ),
    ),
    state=_make_state,
    assumptions=(
        "the upper table of a merged pair stays as its software's directory, so that the guest's "
        "own code is the same; 4 KiB are set aside for one in each 2 MiB of memory, 0.2 %, and "
        "the hardware's look into it is free",
        "one entry stands for the 512 copies of a large page: A and D bits are the OR of them",
        "the kernel half is shared by entry, as without flattening",
        "a fifth level is not merged",
        "bare metal is a VM whose memory lies in one segment that costs nothing",
        "nodes are made as long as 2 MiB and as much again are free; none is broken up for want "
        "of memory",
    ),
)
