"""The guest kernel's page-table code: map, unmap, split, copy, free.

Frames of guest pages and tables come from the guest's own allocator. Every write
to a table goes through the technique's `store`; `VM.used` counts a table's entries
that are not zero, so that an empty table is known and freed.
"""

from __future__ import annotations

from mmulab.mmu.guest import reservations, vma
from mmulab.mmu.hardware import contents
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory import disk, frames
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import (
    COW,
    INDEX_BITS,
    PAGE_SHIFT,
    PS,
    RW,
    US,
    XD,
    A,
    G,
    P,
    frame_of,
    index_of,
    level_shift,
    pages_in,
)
from mmulab.mmu.memory.guest_tables import load_entry, lookup
from mmulab.mmu.memory.huge import FAULT
from mmulab.mmu.memory.p2m import hfn_of, is_merged
from mmulab.mmu.memory.state import GPT_PAGE, GUEST_PAGE
from mmulab.mmu.memory.status import (
    EPT_VIOLATION,
    GUEST_SHORT,
    NIL,
    OK,
    OUT_OF_GUEST_FRAMES,
    OUT_OF_TABLES,
)
from mmulab.mmu.memory.vm import HUGE_1G, HUGE_2M, HUGE_ALIGNED
from mmulab.mmu.techniques import seam
from mmulab.mmu.trace import PROT_EXEC, PROT_WRITE

TABLE_FLAGS = P | RW | US | A  # of an entry that points to a table, as in Linux _PAGE_TABLE


@kernel
def guest_frames_at_hand(machine, need):
    """GUEST_SHORT where a guest that can page, or whose balloon gives way, has too few free
    frames for anything to begin that may take them: it could not end. It pages out, or takes
    frames back, and begins again."""
    vm = machine.vm
    if vm.disk.references.size == 0 and not vm.record[0].deflate_on_oom:
        return OK  # nothing could be freed
    need = max(need, vm.frames.counts[frames.MIN])
    vm.record[0].guest_need = need
    if frames.available(vm.frames) < need:
        reservations.release_all(machine)
    return OK if frames.available(vm.frames) >= need else GUEST_SHORT


@kernel
def set_entry(machine, table, index, entry):
    """Writes a gPTE and keeps count of the entries in use. Returns a status."""
    old = load_entry(machine, table, index)
    machine.vm.used[table] += int(entry != 0) - int(old != 0)
    return seam.store(machine, table, index, entry)


@kernel
def _touch_page(machine, gfn, size):
    """The guest kernel writes all of a page: each host page below it must be there."""
    for other in range(gfn, gfn + pages_in(size)):
        status = seam.touch(machine, other)
        if status != OK:
            return status
    return OK


@kernel
def _allocate(machine, order, kind):
    """A block of the guest's frames, if need be of what is reserved; NIL where there is none."""
    vm = machine.vm
    gfn = frames.allocate(vm.frames, order, kind, vm.record[0].id, NIL)
    if gfn == NIL and reservations.release_all(machine):
        gfn = frames.allocate(vm.frames, order, kind, vm.record[0].id, NIL)
    return gfn


@kernel
def make_table(machine, gfn, level, gva):
    """A frame that is allocated becomes an empty gPT page. Returns a status."""
    vm = machine.vm
    vm.record[0].tables += 1
    status = seam.touch(machine, gfn)
    if status == OK and hfn_of(machine, gfn) == NIL:
        status = EPT_VIOLATION  # that a technique has not mended
    if status != OK:
        return status
    contents.write(machine, gfn, 0)
    if not memory.open_table(machine.host.memory, hfn_of(machine, gfn)):
        return OUT_OF_TABLES
    vm.used[gfn] = 0
    if vm.region.size > 1:
        vm.region[gfn].weight = 0
        vm.region[gfn].bucket = 0
    return seam.table_allocated(machine, gfn, level, gva)


@kernel
def new_table(machine, level, gva, above):
    """An empty gPT page: (status, gfn). gva: the first address that it will map. above: gfn of
    the table that will point to it, NIL of a top-level one."""
    gfn = seam.place_table(machine, above, gva, level)
    if gfn == NIL:
        gfn = _allocate(machine, 0, GPT_PAGE)
    if gfn == NIL:
        return OUT_OF_GUEST_FRAMES, gfn
    return make_table(machine, gfn, level, gva), gfn


@kernel
def free_table(machine, gfn):
    seam.table_freed(machine, gfn)
    if is_merged(machine, gfn):  # it stays another's
        machine.vm.record[0].shared_tables -= 1
    else:
        memory.close_table(machine.host.memory, hfn_of(machine, gfn))
    machine.vm.record[0].tables -= 1
    machine.vm.record[0].freed_tables = 1
    frames.release(machine.vm.frames, gfn)


@kernel
def free_page(machine, gfn):
    """Drops one reference to a guest page; with the last, its block on the disk too."""
    vm = machine.vm
    if frames.release(vm.frames, gfn) == 0 and vm.block[gfn]:
        disk.release(vm.disk, vm.block[gfn] - 1)
        vm.block[gfn] = 0


@kernel
def _share_kernel_entry(machine, index, entry):
    """A new top-level entry of the kernel half goes into every process (Linux
    arch/x86/mm/init_64.c, sync_global_pgds)."""
    vm = machine.vm
    for process in range(vm.record[0].processes_used):
        if vm.process[process].alive:
            cr3 = vm.process[process].cr3
            if load_entry(machine, cr3, index) != entry:
                status = set_entry(machine, cr3, index, entry)
                if status != OK:
                    return status
    return OK


@kernel
def map_leaf(machine, cr3, gva, size, entry):
    """Writes the leaf entry of gva at a page size; makes the tables above it."""
    level = machine.vm.record[0].levels
    table = cr3
    while level > size + 1:
        index = index_of(gva, level)
        below = load_entry(machine, table, index)
        if not below & P:
            start = gva & ~((1 << level_shift(level)) - 1)
            status, gfn = new_table(machine, level - 1, start, table)
            if status != OK:
                return status
            below = (gfn << PAGE_SHIFT) | TABLE_FLAGS
            status = set_entry(machine, table, index, below)
            if status == OK and gva < 0 and table == cr3:
                machine.vm.record[0].kernel_half = 1
                status = _share_kernel_entry(machine, index, below)
            if status != OK:
                return status
        table = frame_of(below)
        level -= 1
    flags = entry | (PS if size else 0)
    return set_entry(machine, table, index_of(gva, level), flags)


@inlined
def leaf_flags(gva, prot):
    """Flags of a leaf by protection; kernel addresses are supervisor and global."""
    flags = P | A | (G if gva < 0 else US)
    if prot & PROT_WRITE:
        flags |= RW
    if not prot & PROT_EXEC:
        flags |= XD
    return flags


@kernel
def page_size_for(machine, process, gva, area):
    """Page size that a first touch of gva asks for, by VMA and huge-page policy.

    Large pages need their whole aligned range inside the area, and no table there yet;
    memory that no area describes is taken as unbounded, except under HUGE_ALIGNED.
    """
    vm = machine.vm
    policy = vm.record[0].huge
    wanted = 0
    if policy == HUGE_1G:
        wanted = 2
    elif policy == HUGE_2M or policy == HUGE_ALIGNED:
        wanted = 1
    if area != NIL and vm.vma[area].size:
        wanted = vm.vma[area].size - 1
    elif policy == HUGE_ALIGNED and (area == NIL or not vm.huge[0].at_fault):
        wanted = 0
    entry, level, _ = lookup(machine, vm.process[process].cr3, gva)
    wanted = min(wanted, level - 1)
    while wanted:
        span = pages_in(wanted) << PAGE_SHIFT
        start = gva & ~(span - 1)
        if area != NIL:
            if vm.vma[area].start <= start and start + span <= vm.vma[area].end:
                break
        elif not vma.overlaps(vm, process, start, start + span):
            break
        wanted -= 1
    return wanted


@kernel
def new_page(machine, size, process, gva):
    """A guest page of a size or, where guest memory is too fragmented, a smaller one:
    (status, gfn, size). The kernel has written zeros to all of it. process, gva: whose first touch
    it is for; NIL and 0 where it is for none."""
    while True:
        gfn = NIL
        if process != NIL:
            gfn = seam.place_page(machine, process, gva, size)
        if gfn == NIL and process != NIL and size == 0:
            gfn = reservations.take(machine, process, gva)
        if gfn == NIL:
            gfn = _allocate(machine, INDEX_BITS * size, GUEST_PAGE)
        if gfn != NIL:
            status = _touch_page(machine, gfn, size)
            for page in range(gfn, gfn + pages_in(size)):
                contents.write(machine, page, 0)
            return status, gfn, size
        if size == 0:
            return OUT_OF_GUEST_FRAMES, gfn, size
        size -= 1


@kernel
def copy_page(machine, source, size):
    """A copy of a page, of exactly its size: (status, gfn)."""
    for page in range(source, source + pages_in(size)):
        status = seam.read(machine, page)
        if status != OK:
            return status, NIL
    status, gfn, got = new_page(machine, size, NIL, 0)
    if status == OK and got != size:
        frames.release(machine.vm.frames, gfn)
        return OUT_OF_GUEST_FRAMES, gfn
    machine.vcpu.stats[0].pages_copied += pages_in(size)
    for page in range(pages_in(size)):
        contents.write(machine, gfn + page, contents.look(machine, source + page))
    return status, gfn


@kernel
def split_leaf(machine, cr3, gva):
    """Replaces a large leaf by a table of the next smaller leaves. Returns a status.

    The caller flushes. A page that is shared copy-on-write is copied first, so that its
    block can be cut.
    """
    vm = machine.vm
    entry, level, table = lookup(machine, cr3, gva)
    size = level - 1
    gfn = frame_of(entry)
    flags = entry & ((1 << PAGE_SHIFT) - 1) | entry & XD
    if vm.frames.frame[gfn].references > 1:
        status, copy = copy_page(machine, gfn, size)
        if status != OK:
            return status
        frames.release(vm.frames, gfn)
        gfn = copy
        if flags & COW:
            flags = flags & ~COW | RW
    machine.vcpu.stats[0].thp_split_pmd += int(vm.huge[0].policy != FAULT)
    start = gva & ~((1 << level_shift(level)) - 1)
    status, lower = new_table(machine, size, start, table)
    if status != OK:
        return status
    frames.split(vm.frames, gfn, INDEX_BITS * (size - 1))
    step = pages_in(size - 1)
    small = flags if size > 1 else flags & ~PS
    for index in range(512):
        status = set_entry(machine, lower, index, ((gfn + index * step) << PAGE_SHIFT) | small)
        if status != OK:
            return status
    return set_entry(machine, table, index_of(gva, level), (lower << PAGE_SHIFT) | TABLE_FLAGS)


@kernel
def free_empty_tables(machine, cr3, gva):
    """Frees the tables on the path to gva that have no entry left, lowest first.

    Tables of the kernel half stay: every process points to them.
    """
    vm = machine.vm
    while gva >= 0:
        level = vm.record[0].levels
        table = cr3
        above = NIL
        above_index = 0
        while level > 1:
            index = index_of(gva, level)
            entry = load_entry(machine, table, index)
            if not entry & P or entry & PS:
                break
            above = table
            above_index = index
            table = frame_of(entry)
            level -= 1
        if above == NIL or vm.used[table] != 0:
            break
        status = set_entry(machine, above, above_index, 0)
        if status != OK:
            return status
        free_table(machine, table)
    return OK
