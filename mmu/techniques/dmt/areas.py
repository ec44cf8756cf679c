"""The guest kernel's side of DMT: which tables get an area, and when it grows.

As in the artifact's kernel (mm/hyperlane.c): an area is made with the first table of a mapping, for
all of it; a mapping that goes beyond, or one that adjoins, doubles it, in place where the frames
behind it are free, else in another run, to which its tables move. It goes with its last table.
"""

from __future__ import annotations

from mmulab.mmu.hardware import contents, instructions
from mmulab.mmu.hardware.state import MAX_TEAS
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames, guest_tables
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import (
    ENTRIES,
    FRAME,
    INDEX_BITS,
    PAGE_SHIFT,
    PS,
    P,
    frame_of,
    index_of,
    level_shift,
)
from mmulab.mmu.memory.guest_tables import entry_address, load_entry
from mmulab.mmu.memory.p2m import hfn_of
from mmulab.mmu.memory.runs import take_small_run
from mmulab.mmu.memory.state import GPT_PAGE
from mmulab.mmu.memory.status import NIL, OK
from mmulab.mmu.techniques.dmt import host
from mmulab.mmu.techniques.dmt.state import FALLBACKS, MIGRATED, SLOTS, TEA_PAGES, TEAS, state

UNTOLD = 5  # log2 of the tables of an area for memory whose mapping the trace does not tell
touch, _store = host.HOOKS["touch"], host.HOOKS["store"]


@kernel
def _load(machine, process):
    """Loads the registers: the first areas of a process that have leaves."""
    regs = machine.vcpu.regs[0]
    regs.tea_end[:] = 0
    used = 0
    for number in range(process * SLOTS, (process + 1) * SLOTS):
        tea = state(machine.vm.private).tea[number]
        if tea.loaded and used < MAX_TEAS:
            shift = INDEX_BITS * tea.level
            regs.tea_start[used] = tea.start << shift
            regs.tea_end[used] = (tea.start + tea.count) << shift
            regs.tea_level[used] = tea.level
            regs.tea_base[used] = tea.base
            regs.tea_host[used] = tea.host
            used += 1


@kernel
def areas_changed(machine, process):
    if machine.vm.record[0].current == process:
        _load(machine, process)


@kernel
def _entry_of(machine, process, gva, level):
    """(table, index) of the entry of a level on gva's path; (NIL, 0) where the path ends above."""
    table = machine.vm.process[process].cr3
    at = machine.vm.record[0].levels
    while at > level:
        entry = load_entry(machine, table, index_of(gva, at))
        if not entry & P or entry & PS:
            return NIL, 0
        table = frame_of(entry)
        at -= 1
    return table, index_of(gva, level)


@kernel
def _owner(machine, above, gva, level):
    """The process whose table of a level, on gva's path, is `above`; NIL: none."""
    for process in range(machine.vm.record[0].processes_used):
        if machine.vm.process[process].alive:
            table, _ = _entry_of(machine, process, gva, level)
            if table == above:
                return process
    return NIL


@kernel
def _mapping(machine, process, gva, level):
    """(first table, first after) of a level that gva's mapping needs: none where it is small."""
    vm = machine.vm
    shift = level_shift(level + 1)
    at = vm.process[process].vma - 1
    while at != NIL and vm.vma[at].end <= gva:
        at = vm.vma[at].next - 1
    if at == NIL or vm.vma[at].start > gva:
        first = (gva >> shift) >> UNTOLD << UNTOLD
        return first, first + (1 << UNTOLD)
    start, end = vm.vma[at].start, vm.vma[at].end
    if end - start < state(vm.private).least[0]:
        return 0, 0
    return start >> shift, ((end - 1) >> shift) + 1


@kernel
def _find(machine, process, level, first, end):
    """The area of a process that has one of the tables [first, end); NIL: none."""
    for number in range(process * SLOTS, (process + 1) * SLOTS):
        tea = state(machine.vm.private).tea[number]
        if tea.level == level and tea.start < end and first < tea.start + tea.count:
            return number
    return NIL


@kernel
def _take(machine, count):
    """A run of the guest's frames; NIL where there is none, or too few would be left."""
    allocator = machine.vm.frames
    if frames.available(allocator) < allocator.counts[frames.MIN] + 2 * count:
        return NIL
    base = take_small_run(allocator, count, GPT_PAGE, machine.vm.record[0].id)
    if base != NIL:
        machine.vcpu.own[TEA_PAGES] += count
    return base


@kernel
def back(machine, base, count):
    """hfn of an area that the host backs in one piece; NIL without pvDMT."""
    return host.back_in_one_piece(machine, base, count) if state(machine.vm.private).pv[0] else NIL


@kernel
def _make(machine, process, level, first, end):
    """A new area. Returns its number, or NIL."""
    slot = process * SLOTS + (level - 1) * MAX_TEAS
    for number in range(slot, slot + MAX_TEAS):
        tea = state(machine.vm.private).tea[number]
        if tea.level == 0:
            base = _take(machine, end - first)
            if base == NIL:
                return NIL
            tea.level = level
            tea.start = first
            tea.count = end - first
            tea.base = base
            tea.host = back(machine, base, end - first)
            tea.used = 0
            tea.loaded = int(level == 1)
            machine.vcpu.own[TEAS] += 1
            areas_changed(machine, process)
            return number
    return NIL


@kernel
def _release(machine, base, count, backed):
    """An area's frames are free, but for those that hold tables still. backed: its hfn, or NIL."""
    if backed != NIL:
        host.unpin(machine, base, count)
    for gfn in range(base, base + count):
        frames.release(machine.vm.frames, gfn)


# --- Growing ------------------------------------------------------------------------------


@kernel
def _larger(machine, process, tea, number):
    """(first table, first after) of an area, doubled until it has table `number`, but for what
    other areas have."""
    first, end = tea.start, tea.start + tea.count
    while number >= end:
        end += end - first
    while number < first:
        first -= end - first
    first = max(first, 0)
    for other in range(process * SLOTS, (process + 1) * SLOTS):
        one = state(machine.vm.private).tea[other]
        if one.level == tea.level and one.start != tea.start:
            if one.start < tea.start:
                first = max(first, one.start + one.count)
            else:
                end = min(end, one.start)
    return first, end


@kernel
def _append(machine, tea, end):
    """Whether the frames behind an area were free, and are its now. The host would have to put
    others behind those in use, to have it in one piece."""
    if tea.host != NIL:
        return False
    allocator = machine.vm.frames
    more = end - tea.start - tea.count
    first = tea.base + tea.count
    if frames.available(allocator) < allocator.counts[frames.MIN] + 2 * more:
        return False
    for gfn in range(first, first + more):
        if not frames.take(allocator, gfn, 0, GPT_PAGE, machine.vm.record[0].id, NIL):
            for other in range(first, gfn):
                frames.release(allocator, other)
            return False
    machine.vcpu.own[TEA_PAGES] += more
    tea.count += more
    return True


@kernel
def _move_table(machine, process, old, new, gva, level, number):
    """A table goes to another frame, which the guest kernel has touched."""
    vm, host_memory = machine.vm, machine.host.memory
    memory.open_table(host_memory, hfn_of(machine, new))
    for index in range(ENTRIES):
        entry = memory.load(host_memory, entry_address(machine, old, index))
        memory.store(host_memory, entry_address(machine, new, index), entry)
    vm.used[new] = vm.used[old]
    table, index = _entry_of(machine, process, gva, level + 1)
    above = load_entry(machine, table, index)
    guest_tables.store_entry(machine, table, index, above & ~FRAME | new << PAGE_SHIFT)
    memory.close_table(host_memory, hfn_of(machine, old))
    state(vm.private).of[new] = number + 1
    state(vm.private).of[old] = 0
    vm.frames.frame[new].references += 1
    frames.release(vm.frames, old)
    machine.vcpu.own[MIGRATED] += 1


@kernel
def _migrate(machine, process, number, first, end):
    """Whether there was a run for a larger area, and its tables lie there now."""
    tea = state(machine.vm.private).tea[number]
    base = _take(machine, end - first)
    if base == NIL:
        return False
    backed = back(machine, base, end - first)
    of = state(machine.vm.private).of
    for gfn in range(tea.base, tea.base + tea.count):
        if of[gfn]:
            new = base + tea.start - first + gfn - tea.base
            if touch(machine, new) != OK:
                _release(machine, base, end - first, backed)
                return False
            contents.write(machine, new, 0)
    for gfn in range(tea.base, tea.base + tea.count):
        if of[gfn]:
            table = tea.start + gfn - tea.base
            gva = table << level_shift(tea.level + 1)
            _move_table(machine, process, gfn, base + table - first, gva, tea.level, number)
    _release(machine, tea.base, tea.count, tea.host)
    tea.start = first
    tea.count = end - first
    tea.base = base
    tea.host = backed
    if machine.vm.record[0].current == process:
        instructions.flush_context(machine)
    return True


@kernel
def _grow(machine, process, number, table):
    """Makes an area large enough for a table of its level, if there is memory."""
    tea = state(machine.vm.private).tea[number]
    first, end = _larger(machine, process, tea, table)
    if first != tea.start or not _append(machine, tea, end):
        _migrate(machine, process, number, first, end)
    areas_changed(machine, process)


# --- Hooks --------------------------------------------------------------------------------


@kernel
def place_table(machine, above, gva, level):
    """A table that can have leaves has its place in the area of its mapping."""
    if above == NIL or gva < 0 or level > 2:
        return NIL
    process = _owner(machine, above, gva, level + 1)
    if process == NIL:
        return NIL
    first, end = _mapping(machine, process, gva, level)
    if first == end:
        return NIL
    table = gva >> level_shift(level + 1)
    number = _find(machine, process, level, table, table + 1)
    if number == NIL:
        number = _find(machine, process, level, first - 1, end + 1)
        if number == NIL:
            number = _make(machine, process, level, first, end)
        else:
            _grow(machine, process, number, table)
    if number != NIL:
        tea = state(machine.vm.private).tea[number]
        if tea.start <= table and table < tea.start + tea.count:
            gfn = tea.base + table - tea.start
            machine.vm.frames.frame[gfn].references += 1
            state(machine.vm.private).of[gfn] = number + 1
            tea.used += 1
            return gfn
    machine.vcpu.own[FALLBACKS] += 1
    return NIL


@kernel
def table_freed(machine, gfn):
    """An area goes with its last table."""
    private = state(machine.vm.private)
    number = private.of[gfn] - 1
    if number == NIL:
        return OK
    private.of[gfn] = 0
    tea = private.tea[number]
    tea.used -= 1
    if tea.used == 0:
        _release(machine, tea.base, tea.count, tea.host)
        tea.level = 0
        tea.loaded = 0
        areas_changed(machine, number // SLOTS)
    return OK


@kernel
def store(machine, table, index, entry):
    """The first large page of a mapping: the area of its tables gets a register."""
    number = state(machine.vm.private).of[table] - 1
    if number != NIL and entry & P and entry & PS:
        tea = state(machine.vm.private).tea[number]
        if tea.level == 2 and not tea.loaded:
            tea.loaded = 1
            areas_changed(machine, number // SLOTS)
    return _store(machine, table, index, entry)


@kernel
def load_cr3(machine, process, keep):
    _load(machine, process)
    target = machine.vm.process[process]
    return instructions.load_cr3(machine, target.cr3, target.asid, keep)
