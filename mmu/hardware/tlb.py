"""TLBs of a core: two levels, any number of arrays, any mixture of page sizes.

A tag is | VPID (3 bits) | PCID (12) | page size (2) | page number (45) |; global
entries carry the PCID GLOBAL, which no process has. An array that holds several
page sizes indexes each by its own page number. An L1 without a page size holds
fragments of the largest smaller size it has; an L2 without it does not hold it.
"""

from __future__ import annotations

from mmu.bits import GUEST_SIZE_SHIFT, INDEX_BITS, PAGE_SHIFT, G, pages_in
from mmu.hardware.assoc import drop, drop_all, end_of, find, insert, tick, touch
from mmu.jit import inlined, kernel
from mmu.state import (
    NIL,
    PREDICTOR_BITS,
    ROUTE_L1D,
    ROUTE_L1I,
    ROUTE_L2D,
    ROUTE_L2I,
)
from mmu.trace import FETCH

GLOBAL = 0xFFF
_PAGE_NUMBER = (1 << 45) - 1

STRADDLES = 4  # flag beside the kind of an access that touches two pages


@inlined
def tag_of(core, asid, size, page):
    return (((core.regs[0].vpid << 12 | asid) << 2 | size) << 45) | (page & _PAGE_NUMBER)


@inlined
def page_of(gva, size):
    return gva >> (PAGE_SHIFT + INDEX_BITS * size)


@kernel
def _probe(core, row, gva):
    """(slot, page size) of the valid entry for gva in a level's arrays, or (NIL, 0)."""
    regs = core.regs[0]
    for size in range(3):
        number = core.route[row, size]
        if number == NIL:
            continue
        unit = core.unit[number]
        if not (unit.sizes >> size) & 1:
            continue
        page = page_of(gva, size)
        slot = find(core, unit, page, tag_of(core, regs.asid, size, page))
        if slot == NIL and regs.globals:
            slot = find(core, unit, page, tag_of(core, GLOBAL, size, page))
        if slot != NIL:
            return slot, size
    return NIL, 0


@inlined
def _guest_size(entry):
    return (entry >> GUEST_SIZE_SHIFT) & 3


@kernel
def _fill(core, row, gva, entry, size, splinter, clock):
    """Fills an entry for the page of gva; returns its slot, NIL where no array takes it.

    entry: TLB entry whose frame is that of the 4 KiB page of gva.
    """
    number = core.route[row, size]
    if splinter:
        while number == NIL and size > 0:
            size -= 1
            number = core.route[row, size]
    if number == NIL:
        return NIL
    unit = core.unit[number]
    unit.sizes |= 1 << size
    regs = core.regs[0]
    if _guest_size(entry) > size:
        regs.fragments = 1
    asid = regs.asid
    if entry & G:
        asid = GLOBAL
        regs.globals = 1
    page = page_of(gva, size)
    aligned = entry & ~((pages_in(size) - 1) << PAGE_SHIFT)
    stamp = clock if clock else tick(unit)
    tag = tag_of(core, asid, size, page)
    slot = find(core, unit, page, tag)
    if slot == NIL:
        slot = insert(core, unit, page, tag, stamp)
    else:  # a walk again: new rights, or D set
        touch(core, unit, slot, stamp)
    core.data[slot] = aligned
    if clock:  # L1
        core.span[slot] = ~(pages_in(size) - 1)
        core.first[slot] = (gva >> PAGE_SHIFT) & core.span[slot]
    return slot


@inlined
def exact_frame(entry, gva, size):
    """The entry with the frame of gva's own 4 KiB page in place of its page's first."""
    return entry | (gva & ((pages_in(size) - 1) << PAGE_SHIFT))


@kernel
def probe_l1(core, kind, gva):
    return _probe(core, ROUTE_L1I if kind == FETCH else ROUTE_L1D, gva)


@kernel
def probe_l2(core, kind, gva):
    return _probe(core, ROUTE_L2I if kind == FETCH else ROUTE_L2D, gva)


@kernel
def fill_l1(core, kind, gva, entry, size, clock):
    return _fill(core, ROUTE_L1I if kind == FETCH else ROUTE_L1D, gva, entry, size, True, clock)


@kernel
def fill_l2(core, kind, gva, entry, size):
    return _fill(core, ROUTE_L2I if kind == FETCH else ROUTE_L2D, gva, entry, size, False, 0)


@inlined
def predict(core, kind, gva, slot):
    """Remembers where the next access of this kind to this 4 KiB page will hit."""
    low = (gva >> PAGE_SHIFT) & ((1 << PREDICTOR_BITS) - 1)
    core.predictor[(kind << PREDICTOR_BITS) | low] = slot


@inlined
def forget_predictions(core):
    """After any invalidation, change of rights or switch: slot 0 matches no page."""
    core.predictor[:] = 0


@kernel
def touch_l1(core, slot, clock):
    touch(core, core.unit[core.owner[slot]], slot, clock)


@kernel
def touch_l2(core, kind, size, slot):
    unit = core.unit[core.route[ROUTE_L2I if kind == FETCH else ROUTE_L2D, size]]
    unit.hits += 1
    touch(core, unit, slot, tick(unit))


@kernel
def drop_page(core, gva):
    """Drops the page's entries of the current PCID, and global ones, of every size."""
    regs = core.regs[0]
    for row in (ROUTE_L1I, ROUTE_L1D, ROUTE_L2I, ROUTE_L2D):
        for size in range(3):
            number = core.route[row, size]
            if number == NIL:
                continue
            unit = core.unit[number]
            page = page_of(gva, size)
            for asid in (regs.asid, GLOBAL):
                slot = find(core, unit, page, tag_of(core, asid, size, page))
                if slot != NIL:
                    drop(core, slot)
    if regs.fragments:
        _drop_fragments(core, gva)
    forget_predictions(core)


@kernel
def _drop_fragments(core, gva):
    """Drops the other pieces of a page that the TLBs hold in pieces: INVLPG must drop
    them all (SDM vol. 3A, 4.10.4.1), and they are found by search."""
    regs = core.regs[0]
    mine = regs.vpid << 12 | regs.asid
    globals_ = regs.vpid << 12 | GLOBAL
    for number in range(core.unit.size):
        unit = core.unit[number]
        if not unit.sizes:
            continue
        for slot in range(unit.base, end_of(unit)):
            owner = core.tag[slot] >> 47
            if core.tag[slot] < 0 or (owner != mine and owner != globals_):
                continue
            size = (core.tag[slot] >> 45) & 3
            whole = _guest_size(core.data[slot])
            if whole > size:
                page = core.tag[slot] & _PAGE_NUMBER
                wanted = page_of(gva, whole) & (_PAGE_NUMBER >> (INDEX_BITS * (whole - size)))
                if page >> (INDEX_BITS * (whole - size)) == wanted:
                    drop(core, slot)


@kernel
def flush(core, globals_too):
    """Drops the entries of the current PCID; of every PCID and global ones, if asked."""
    regs = core.regs[0]
    mine = regs.vpid << 12 | regs.asid
    for number in range(core.unit.size):
        if not core.unit[number].sizes:  # not a TLB, or an empty one
            continue
        unit = core.unit[number]
        if globals_too:
            drop_all(core, unit)
            continue
        for slot in range(unit.base, end_of(unit)):
            if core.tag[slot] >= 0 and core.tag[slot] >> 47 == mine:
                drop(core, slot)
    forget_predictions(core)
