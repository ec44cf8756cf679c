"""QEMU's software TLB (accel/tcg/cputlb.c): direct-mapped, a victim TLB, resized at flushes.

Each function has the name of QEMU's in its docstring, and does what it does, its oddities too:
filling a page that is there already counts it twice, and dropping one from the victim TLB
counts it out a second time. So the count of used entries drifts, and a table may double with
no more pages in use.
"""

from __future__ import annotations

from mmulab.mmu.hardware import instructions
from mmulab.mmu.kernels.compiling import kernel
from mmulab.mmu.memory import frames
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.entries import FRAME, PAGE_SHIFT
from mmulab.mmu.memory.state import SPT_PAGE
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_HOST_FRAMES, OUT_OF_TABLES
from mmulab.mmu.techniques.softmmu.state import (
    GROWN,
    LARGE_FLUSHES,
    MODES,
    SHRUNK,
    VICTIM_HITS,
    VICTIMS,
    WIPED,
    state_of,
)
from mmulab.mmu.techniques.softmmu.walk import EMPTY, ENTRY_SHIFT, LEAF
from mmulab.mmu.trace import FETCH, LOAD, STORE

MIN_ENTRIES = 1 << 6  # CPU_TLB_DYN_MIN_BITS
DEFAULT_ENTRIES = 1 << 8  # CPU_TLB_DYN_DEFAULT_BITS
HIGH_RATE, LOW_RATE = 70, 30  # percent

# --- Where the tables lie -------------------------------------------------------------


@kernel
def _order(entries):
    """log2 of the frames of a table."""
    order = 0
    while 1 << (PAGE_SHIFT + order) < entries << ENTRY_SHIFT:
        order += 1
    return order


@kernel
def open_frames(machine, order):
    """Host frames whose contents are kept: (status, first hfn)."""
    host = machine.host
    first = frames.allocate(host.frames, order, SPT_PAGE, machine.vm.record[0].id, NIL)
    if first == NIL:
        return OUT_OF_HOST_FRAMES, first
    for hfn in range(first, first + (1 << order)):
        if not memory.open_table(host.memory, hfn):
            _close(machine, first, hfn - first)
            return OUT_OF_TABLES, NIL
    machine.vm.record[0].host_tables += 1 << order
    return OK, first


@kernel
def _close(machine, first, count):
    for hfn in range(first, first + count):
        memory.close_table(machine.host.memory, hfn)
    frames.release(machine.host.frames, first)


@kernel
def close_frames(machine, first, order):
    _close(machine, first, 1 << order)
    machine.vm.record[0].host_tables -= 1 << order


@kernel
def close_table(machine, mode):
    """The table of a mode goes back to the host."""
    this = state_of(machine).mode[mode]
    if this.entries:
        close_frames(machine, this.table, _order(this.entries))
        this.entries = 0


@kernel
def make_table(machine, mode, entries):
    """A table of a mode, of unknown contents: of as many entries or, where the host has no
    room, half, and so on. Returns a status."""
    this = state_of(machine).mode[mode]
    status, hfn = open_frames(machine, _order(entries))
    while status != OK and entries > MIN_ENTRIES:
        entries >>= 1
        status, hfn = open_frames(machine, _order(entries))
    if status != OK:
        return status
    this.table = hfn
    this.entries = entries
    control = (state_of(machine).record[0].control << PAGE_SHIFT) + (mode << 4)
    memory.store(machine.host.memory, control, hfn << PAGE_SHIFT)
    memory.store(machine.host.memory, control + 8, entries - 1)
    return OK


# --- Entries --------------------------------------------------------------------------


@kernel
def _address(machine, mode, page):
    """HPA of the entry that a page has in the table of a mode."""
    this = state_of(machine).mode[mode]
    index = (page >> PAGE_SHIFT) & (this.entries - 1)
    return (this.table << PAGE_SHIFT) + (index << ENTRY_SHIFT)


@kernel
def page_at(machine, hpa):
    """The page that an entry serves in any way; EMPTY where it is not in use."""
    for kind in range(3):
        page = memory.load(machine.host.memory, hpa + (kind << 3))
        if page != EMPTY:
            return page
    return EMPTY


@kernel
def _victim_page(machine, slot):
    for kind in range(3):
        page = state_of(machine).victim[slot].page[kind]
        if page != EMPTY:
            return page
    return EMPTY


@kernel
def _clear(machine, hpa):
    for kind in range(3):
        memory.store(machine.host.memory, hpa + (kind << 3), EMPTY)


@kernel
def _clear_victim(machine, slot):
    for kind in range(3):
        state_of(machine).victim[slot].page[kind] = EMPTY


@kernel
def _to_victim(machine, slot, hpa):
    entry = state_of(machine).victim[slot]
    for kind in range(3):
        entry.page[kind] = memory.load(machine.host.memory, hpa + (kind << 3))
    entry.leaf = memory.load(machine.host.memory, hpa + LEAF)


# --- Resizing and flushing ------------------------------------------------------------


@kernel
def tell_time(machine):
    """Accesses of the core so far. Its clock counts halves, and may begin anew."""
    record = state_of(machine).record[0]
    clock = machine.core.record[0].clock >> 1
    record.now += clock - record.clock if clock >= record.clock else clock
    record.clock = clock
    return record.now


@kernel
def _exceeds(one, other):
    """one > other of numbers without a sign."""
    return one < 0 <= other or (one > other and not other < 0 <= one)


@kernel
def _new_size(most_used, size, most, expired):
    """Entries that a table shall have, by the most that a window saw in use."""
    if most_used < 0 or most_used * 100 // size > HIGH_RATE:
        return min(size << 1, most)
    if most_used * 100 // size < LOW_RATE and expired:
        ceiling = 1
        while ceiling < most_used:
            ceiling <<= 1
        if most_used * 100 // ceiling > HIGH_RATE:
            ceiling *= 2
        return max(ceiling, MIN_ENTRIES)
    return size


@kernel
def _resize(machine, mode):
    """tlb_mmu_resize_locked(). Returns a status."""
    record = state_of(machine).record[0]
    this = state_of(machine).mode[mode]
    now = tell_time(machine)
    expired = now > this.begin + record.window
    if _exceeds(this.used, this.most_used):
        this.most_used = this.used
    size = this.entries
    wanted = _new_size(this.most_used, size, record.most, expired)
    if wanted == size:
        if expired:
            this.begin = now
            this.most_used = this.used
        return OK
    close_table(machine, mode)
    this.begin = now
    this.most_used = 0
    machine.vcpu.own[GROWN if wanted > size else SHRUNK] += 1
    return make_table(machine, mode, wanted)


@kernel
def wipe(machine, mode):
    """tlb_mmu_flush_locked()."""
    this = state_of(machine).mode[mode]
    this.used = 0
    this.large_address = -1
    this.large_mask = -1
    this.victim = 0
    machine.vcpu.own[WIPED] += this.entries
    first = this.table << PAGE_SHIFT
    for hpa in range(first, first + (this.entries << ENTRY_SHIFT), 1 << ENTRY_SHIFT):
        _clear(machine, hpa)
    for slot in range(mode * VICTIMS, (mode + 1) * VICTIMS):
        _clear_victim(machine, slot)
    instructions.flush_context(machine)


@kernel
def _flush_mode(machine, mode):
    """tlb_flush_one_mmuidx_locked(). Returns a status."""
    status = _resize(machine, mode)
    if status == OK:
        wipe(machine, mode)
    return status


@kernel
def flush(machine):
    """tlb_flush(): TLBs that nothing was filled into since they were flushed are passed over."""
    for mode in range(MODES):
        this = state_of(machine).mode[mode]
        if this.dirty:
            this.dirty = 0
            status = _flush_mode(machine, mode)
            if status != OK:
                return status
    return OK


@kernel
def _drop_victims(machine, mode, page):
    """tlb_flush_vtlb_page_locked()."""
    for slot in range(mode * VICTIMS, (mode + 1) * VICTIMS):
        if _victim_page(machine, slot) == page:
            _clear_victim(machine, slot)
            state_of(machine).mode[mode].used -= 1


@kernel
def flush_page(machine, mode, page):
    """tlb_flush_page_locked(). Returns a status."""
    this = state_of(machine).mode[mode]
    if page & this.large_mask == this.large_address:
        machine.vcpu.own[LARGE_FLUSHES] += 1
        return _flush_mode(machine, mode)
    hpa = _address(machine, mode, page)
    if page_at(machine, hpa) == page:
        _clear(machine, hpa)
        this.used -= 1
    _drop_victims(machine, mode, page)
    return OK


@kernel
def drop_frame(machine, hfn):
    """Entries whose page lies in a host frame go: the host is about to change it."""
    frame = hfn << PAGE_SHIFT
    for mode in range(MODES):
        this = state_of(machine).mode[mode]
        first = this.table << PAGE_SHIFT
        for hpa in range(first, first + (this.entries << ENTRY_SHIFT), 1 << ENTRY_SHIFT):
            leaf = memory.load(machine.host.memory, hpa + LEAF)
            if page_at(machine, hpa) != EMPTY and leaf & FRAME == frame:
                _clear(machine, hpa)
                this.used -= 1
        for slot in range(mode * VICTIMS, (mode + 1) * VICTIMS):
            if state_of(machine).victim[slot].leaf & FRAME == frame:
                _clear_victim(machine, slot)


# --- Filling --------------------------------------------------------------------------


@kernel
def _forget(machine, page):
    """The host's own TLB is taken to hold what the software TLB serves, and no more."""
    if page != EMPTY:
        instructions.invlpg(machine, page)


@kernel
def victim_hit(machine, mode, page, kind):
    """victim_tlb_hit(): the entry changes places with the one that was in its stead."""
    state = state_of(machine)
    for slot in range(mode * VICTIMS, (mode + 1) * VICTIMS):
        entry = state.victim[slot]
        if entry.page[kind] == page:
            machine.vcpu.own[VICTIM_HITS] += 1
            hpa = _address(machine, mode, page)
            _forget(machine, page_at(machine, hpa))
            for word in range(3):
                other = memory.load(machine.host.memory, hpa + (word << 3))
                memory.store(machine.host.memory, hpa + (word << 3), entry.page[word])
                entry.page[word] = other
            other = memory.load(machine.host.memory, hpa + LEAF)
            memory.store(machine.host.memory, hpa + LEAF, entry.leaf)
            entry.leaf = other
            return True
    return False


@kernel
def _add_large_page(machine, mode, address, size):
    """tlb_add_large_page(): one region a mode, that grows to hold each large page."""
    this = state_of(machine).mode[mode]
    large = this.large_address
    mask = ~(size - 1)
    if large == -1:
        large = address
    else:
        mask &= this.large_mask
        while (large ^ address) & mask:
            mask <<= 1
    this.large_address = large & mask
    this.large_mask = mask


@kernel
def set_page(machine, mode, page, shift, leaf, writable, fetchable):
    """tlb_set_page_full(). shift: log2 of the bytes of the guest's page."""
    this = state_of(machine).mode[mode]
    if shift > PAGE_SHIFT:
        _add_large_page(machine, mode, page, 1 << shift)
    this.dirty = 1
    _drop_victims(machine, mode, page)
    hpa = _address(machine, mode, page)
    old = page_at(machine, hpa)
    if old != page and old != EMPTY:
        _to_victim(machine, mode * VICTIMS + this.victim % VICTIMS, hpa)
        this.victim += 1
        this.used -= 1
        _forget(machine, old)
    host = machine.host.memory
    memory.store(host, hpa + (LOAD << 3), page)
    memory.store(host, hpa + (STORE << 3), page if writable else EMPTY)
    memory.store(host, hpa + (FETCH << 3), page if fetchable else EMPTY)
    memory.store(host, hpa + LEAF, leaf)
    this.used += 1
