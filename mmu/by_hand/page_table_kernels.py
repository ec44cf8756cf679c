"""What `mmu.by_hand.page_table` calls: one page table of either format, made and walked."""

from __future__ import annotations

from mmulab.mmu.hardware.caches import make_room
from mmulab.mmu.hardware.walks.one_dimensional import linear_walk
from mmulab.mmu.hardware.walks.two_dimensional import nested_walk
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory.entries import PS, frame_at, frame_of, index_of
from mmulab.mmu.memory.frames import allocate, release
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_HOST_FRAMES, OUT_OF_TABLES
from mmulab.mmu.memory.tables import close_table, load, open_table, store

OCCUPIED = -1  # status of `map_leaf`: something is mapped there already


@entry
def new_table(frames, memory, kind):
    """An empty table: (status, frame)."""
    frame = allocate(frames, 0, kind, 0, NIL)
    if frame == NIL:
        return OUT_OF_HOST_FRAMES, frame
    if not open_table(memory, frame):
        release(frames, frame)
        return OUT_OF_TABLES, frame
    return OK, frame


@entry
def map_leaf(frames, memory, table, level, address, target, leaf, kind, present, pointer):
    """Writes the leaf of an address into the table of level `target`, and makes the
    tables above it. Returns a status."""
    while True:
        hpa = (table << 12) | (index_of(address, level) << 3)
        below = load(memory, hpa)
        if level == target or below & PS:
            break
        if not below & present:
            status, frame = new_table(frames, memory, kind)
            if status != OK:
                return status
            below = (frame << 12) | pointer
            store(memory, hpa, below)
        table = frame_of(below)
        level -= 1
    if below & present:
        return OCCUPIED
    store(memory, hpa, leaf)
    return OK


@entry
def walk_x86(core, vcpu, memory, address, kind, user):
    """A walk from CR3: (status, frame of the leaf's 4 KiB page of address, level)."""
    make_room(core, vcpu)
    status, leaf, level = linear_walk(core, vcpu, memory, address, kind, user, 0)
    return status, frame_at(leaf, address, level), level


@entry
def walk_ept(core, vcpu, memory, address, kind, user):
    """The same of a guest-physical address, from the root of a nested table."""
    make_room(core, vcpu)
    status, leaf, level = nested_walk(core, vcpu, memory, address, kind, user, 0)
    return status, frame_at(leaf, address, level), level


@entry
def store_entry(memory, hpa, value):
    store(memory, hpa, value)


@entry
def free_table(frames, memory, frame):
    close_table(memory, frame)
    release(frames, frame)
