"""What the guest kernel and the VMM do for elastic cuckoo page tables."""

from __future__ import annotations

from mmulab.mmu.hardware import instructions
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import guest_tables
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import (
    ENTRIES,
    EPT_LARGE,
    EPT_R,
    EPT_RWX,
    EPT_WB,
    EPT_X,
    INDEX_BITS,
    PAGE_SHIFT,
    PS,
    P,
    level_shift,
    pages_in,
)
from mmulab.mmu.memory.hashed_lines import position_of, tag_of
from mmulab.mmu.memory.p2m import hfn_of, host_size_of, is_merged
from mmulab.mmu.memory.runs import take_small_run
from mmulab.mmu.memory.state import NPT_PAGE
from mmulab.mmu.memory.status import NIL, NOT_CONTIGUOUS, OK, OUT_OF_TABLES
from mmulab.mmu.techniques import nested, partition
from mmulab.mmu.techniques.elastic_cuckoo.regions import region_changed
from mmulab.mmu.techniques.elastic_cuckoo.state import HOST, KERNEL, PROCESSES, state_of
from mmulab.mmu.techniques.elastic_cuckoo.tables import find, free_all, publish, put
from mmulab.mmu.techniques.second_dimension import hooks_for

# --- The host's tables --------------------------------------------------------------------


@kernel
def _leaf_address(machine, gfn):
    """HPA of the entry that maps a gfn, and its level; where none does, an entry that is always
    empty, the first frame's."""
    for size in range(2, -1, -1):
        hpa, _ = find(machine, HOST, size, tag_of(gfn << PAGE_SHIFT, size))
        if hpa != NIL:
            at = hpa | position_of(gfn << PAGE_SHIFT, size) << 3
            if memory.load(machine.host.memory, at) & EPT_RWX:
                return at, size + 1
    return state_of(machine).root[0] << PAGE_SHIFT, 1


@kernel
def _map_page(machine, gfn):
    """Maps the host page that backs gfn, a merged one read-only. Returns a status."""
    size = host_size_of(machine, gfn)
    first = gfn & ~(pages_in(size) - 1)
    rights = EPT_R | EPT_X if is_merged(machine, first) else EPT_RWX
    flags = rights | EPT_WB | (EPT_LARGE if size else 0)
    entry = hfn_of(machine, first) << PAGE_SHIFT | flags
    return put(machine, HOST, size, first << PAGE_SHIFT, entry)


@kernel
def _clear(machine, gfn, hpa, level):
    if hpa >> PAGE_SHIFT != state_of(machine).root[0]:
        put(machine, HOST, level - 1, gfn << PAGE_SHIFT, 0)


_HOOKS = hooks_for(_leaf_address, _map_page, _clear)


@kernel
def _start_host(machine):
    """Makes the walk table, of words, behind a frame that stays empty, and turns EPT on."""
    vm, host = machine.vm, machine.host
    regions = (vm.p2m.size + ENTRIES - 1) >> INDEX_BITS
    words = regions + 2 * ((regions + ENTRIES - 1) >> INDEX_BITS)
    count = 1 + ((words + ENTRIES - 1) >> INDEX_BITS)
    root = take_small_run(host.frames, count, NPT_PAGE, vm.record[0].id)
    if root == NIL:
        return NOT_CONTIGUOUS
    for hfn in range(root, root + count):
        if not memory.open_table(host.memory, hfn):
            return OUT_OF_TABLES
    vm.record[0].host_tables += count
    state_of(machine).root[0] = root
    machine.vcpu.regs[0].root = root
    machine.vcpu.hashing[0].walk_table = root + 1
    machine.vcpu.hashing[0].regions = regions
    return OK


@kernel
def start(machine):
    record = state_of(machine).record[0]
    machine.vcpu.hashing[0].ways = record.ways
    machine.vcpu.hashing[0].of_guest = record.of_guest
    return partition.start(machine) if record.native else _start_host(machine)


@kernel
def _is_native(machine):
    return state_of(machine).record[0].native != 0


@kernel
def stop(machine):
    return partition.stop(machine) if _is_native(machine) else nested.stop(machine)


_touch, _read, _fault = _HOOKS["touch"], _HOOKS["read"], _HOOKS["fault"]
_drop_mapping, _is_mapped = _HOOKS["drop_mapping"], _HOOKS["is_mapped"]
_was_accessed = _HOOKS["was_accessed"]


@kernel
def touch(machine, gfn):
    return OK if _is_native(machine) else _touch(machine, gfn)


@kernel
def read(machine, gfn):
    return OK if _is_native(machine) else _read(machine, gfn)


@kernel
def fault(machine, status, gva, kind, user):
    return status if _is_native(machine) else _fault(machine, status, gva, kind, user)


@kernel
def drop_mapping(machine, gfn):
    return OK if _is_native(machine) else _drop_mapping(machine, gfn)


@kernel
def is_mapped(machine, gfn):
    return 1 if _is_native(machine) else _is_mapped(machine, gfn)


@kernel
def was_accessed(machine, gfn):
    return 1 if _is_native(machine) else _was_accessed(machine, gfn)


# --- The guest's tables -------------------------------------------------------------------


@kernel
def place_table(machine, above, gva, level):
    """A table of the record belongs to whom the one above it does."""
    state = state_of(machine)
    state.record[0].above = NIL if above == NIL else state.owner[above]
    return NIL


@kernel
def table_allocated(machine, gfn, level, gva):
    state = state_of(machine)
    state.owner[gfn] = state.record[0].above
    state.level[gfn] = level
    state.first[gfn] = gva
    return OK


@kernel
def new_root(machine, process, cr3):
    state_of(machine).owner[cr3] = PROCESSES + process
    return OK


@kernel
def table_freed(machine, gfn):
    """A process's tables go with its root."""
    state = state_of(machine)
    if state.record[0].of_guest and state.level[gfn] == machine.vm.record[0].levels:
        free_all(machine, state.owner[gfn])
    return OK


@kernel
def load_cr3(machine, process, keep):
    publish(machine, PROCESSES + process)
    target = machine.vm.process[process]
    return instructions.load_cr3(machine, target.cr3, target.asid, keep)


@kernel
def _is_leaf(entry, level):
    return entry & P != 0 and (level == 1 or entry & PS != 0)


@kernel
def store(machine, table, index, entry):
    """The guest kernel writes an entry of its record; a leaf goes to the hashed table."""
    state = state_of(machine)
    old = guest_tables.load_entry(machine, table, index)
    guest_tables.store_entry(machine, table, index, entry)
    status = touch(machine, table)
    level = state.level[table]
    if status != OK or not state.record[0].of_guest or level > 3:
        return status
    gva = state.first[table] + (index << level_shift(level))
    owner = KERNEL if gva < 0 else state.owner[table]
    if level > 1:
        region_changed(machine, owner, level, gva)
    if _is_leaf(entry, level):
        return put(machine, owner, level - 1, gva, entry)
    if _is_leaf(old, level):
        return put(machine, owner, level - 1, gva, 0)
    return OK
