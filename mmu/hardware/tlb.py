"""TLBs of a core: two levels, any number of arrays, any mixture of page sizes.

A tag is | context (16 bits) | page size (2) | page number (45) |; see `contexts`. The fourth size
is a group of 4 KiB pages (`walks.coalescing`), in arrays that hold those.
Global entries have a context of their own. An array that holds several page sizes
indexes each by its own page number. An L1 without a page size holds fragments of the
largest smaller size it has; an L2 without it does not hold it.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware import lookups
from mmulab.mmu.hardware.assoc import (
    drop,
    drop_all,
    end_of,
    fill,
    find,
    look_up,
    route_to,
    tick,
    touch,
    unit_of,
)
from mmulab.mmu.hardware.marks import STRADDLES, mark_of
from mmulab.mmu.hardware.state import (
    COALESCED,
    PREDICTOR_BITS,
    ROUTE_L1D,
    ROUTE_L1I,
    ROUTE_L2D,
    ROUTE_L2I,
    ROUTE_PREFETCH,
    TLB_SIZES,
)
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.vectors import seldom
from mmulab.mmu.memory.entries import GUEST_SIZE_SHIFT, PAGE_BYTES, PAGE_SHIFT, RW, XD, D, G
from mmulab.mmu.memory.status import NIL
from mmulab.mmu.trace import FETCH, STORE

PAGE_BITS = 45  # of a page number: 57-bit addresses, 4 KiB pages
CONTEXT_SHIFT = PAGE_BITS + 2
_PAGE_NUMBER = (1 << PAGE_BITS) - 1
STORABLE = RW | D  # a store needs no walk
NO_PAGE = 1 << 60  # no page number: what an empty L1 slot compares against


@inlined
def tag_of(context, size, page):
    return ((context << 2 | size) << PAGE_BITS) | (page & _PAGE_NUMBER)


@inlined
def _pages_of(route):
    """4 KiB frames in a page of the size that a route is for."""
    return 1 << (route.shift - PAGE_SHIFT)


@kernel
def _find_global(core, vcpu, row, size, page):
    tag = tag_of(vcpu.regs[0].global_context, size, page)
    return find(core, route_to(core, row, size), page, tag)


@inlined
def probe(core, vcpu, row, gva):
    """(slot, page size) of the valid entry for gva in a level's arrays, or (NIL, 0)."""
    context = vcpu.regs[0].context
    for size in range(TLB_SIZES):
        route = route_to(core, row, size)
        if not route.used:
            continue
        page = gva >> route.shift
        slot = look_up(core, route, page, tag_of(context, size, page))
        if slot == NIL and core.record[0].globals:
            slot = _find_global(core, vcpu, row, size, page)
        if slot != NIL:
            return slot, size
    return NIL, 0


@kernel
def _begin_use(core, number, size):
    """The first fill of a page size into a unit: from now on it is searched for."""
    seldom()
    if not core.unit[number].sizes:
        lookups.begin_use(core, number)
    core.unit[number].sizes |= 1 << size
    for row in (ROUTE_L1I, ROUTE_L1D, ROUTE_L2I, ROUTE_L2D):
        route = route_to(core, row, size)
        if route.unit == number:
            route.used = 1


@inlined
def _guest_size(entry):
    return (entry >> GUEST_SIZE_SHIFT) & 3


@inlined
def is_smaller(entry, size):
    """Whether a TLB entry for a page of a size is of a page that is larger to the guest."""
    return _guest_size(entry) > size


@inlined
def is_of_small_page(entry):
    """Whether a TLB entry is of a page that is of 4 KiB to the guest, too."""
    return _guest_size(entry) == 0


@inlined
def _forget(core, kind, gva, size, slot):
    """Forgets that accesses of a kind hit a slot, which a new page has come to.

    The prediction was made for the page before it. The new one may have the same mark, and
    deny what that allowed, or have had no store marked yet.
    """
    if size == 0:
        core.predictor[np.uint64(mark_of(kind, gva))] = 0
    elif size == COALESCED:
        span = 1 << core.shift[COALESCED]
        for page in range(gva & -span, (gva & -span) + span, PAGE_BYTES):
            core.predictor[np.uint64(mark_of(kind, page))] = 0
    else:
        _forget_slot(core, kind, slot)


@kernel
def _forget_slot(core, kind, slot):
    """`_forget` for a large page, whose 4 KiB pages have many predictions."""
    seldom()
    for index in range(kind << PREDICTOR_BITS, kind + 1 << PREDICTOR_BITS):
        if core.predictor[np.uint64(index)] == slot:
            core.predictor[np.uint64(index)] = 0


@inlined
def _fill(core, vcpu, row, gva, entry, size, splinter, clock, held):
    """Fills an entry for the page of gva; returns its slot, NIL where no array takes it.

    entry: TLB entry whose frame is that of the 4 KiB page of gva. held: the array may
    hold an entry for the page already, which is replaced.
    """
    route = route_to(core, row, size)
    if splinter:
        while route.unit == NIL and size > 0:
            size -= 1
            route = route_to(core, row, size)
    if route.unit == NIL:
        return NIL
    unit = unit_of(core, route)
    unit.misses += 1
    looked_up = route.used and not held  # by `probe`, in vain
    if not route.used:
        _begin_use(core, route.unit, size)
    if is_smaller(entry, size):
        core.record[0].fragments = 1
    context = vcpu.regs[0].context
    if entry & G:
        context = vcpu.regs[0].global_context
        core.record[0].globals = 1
    page = gva >> route.shift
    first = entry - (gva & ((_pages_of(route) - 1) << PAGE_SHIFT))  # its page's first frame
    stamp = clock if clock else tick(unit)
    tag = tag_of(context, size, page)
    slot = NIL if looked_up else look_up(core, route, page, tag)
    if slot == NIL:
        slot = fill(core, route, unit, tag, stamp)
    else:  # a walk again: new rights, or D set
        touch(core, unit, slot, stamp)
    at = np.uint64(slot)
    core.data[at] = first
    if clock:  # L1
        span = ~(_pages_of(route) - 1)
        core.span[at] = span
        core.first[at] = (gva >> PAGE_SHIFT) & span
        if entry & STORABLE != STORABLE or core.record[0].tracking:
            _forget(core, STORE, gva, size, slot)
        if entry & XD and route_to(core, ROUTE_L1I, size).unit == route.unit:
            _forget(core, FETCH, gva, size, slot)
    return slot


@inlined
def exact_frame(core, entry, gva, size):
    """The entry with the frame of gva's own 4 KiB page in place of its page's first."""
    if size == 0:
        return entry
    return entry + (gva & ((1 << core.shift[np.uint64(size)]) - PAGE_BYTES))


@inlined
def probe_l1(core, vcpu, kind, gva):
    return probe(core, vcpu, ROUTE_L1I if kind == FETCH else ROUTE_L1D, gva)


@inlined
def probe_l2(core, vcpu, kind, gva):
    return probe(core, vcpu, ROUTE_L2I if kind == FETCH else ROUTE_L2D, gva)


@inlined
def fill_l1(core, vcpu, kind, gva, entry, size, clock, held):
    row = ROUTE_L1I if kind == FETCH else ROUTE_L1D
    return _fill(core, vcpu, row, gva, entry, size, True, clock, held)


@inlined
def fill_l2(core, vcpu, kind, gva, entry, size, held):
    row = ROUTE_L2I if kind == FETCH else ROUTE_L2D
    return _fill(core, vcpu, row, gva, entry, size, False, 0, held)


@inlined
def predict(core, kind, gva, slot):
    """Remembers where the next access of this kind to this 4 KiB page will hit."""
    core.predictor[np.uint64(mark_of(kind, gva))] = slot
    core.record[0].predicts = 1


@kernel
def forget_predictions(core):
    """After a switch, a flush, or where stores must be marked anew: slot 0 matches no page."""
    seldom()
    if core.record[0].predicts:
        core.record[0].predicts = 0
        core.predictor[: STRADDLES << PREDICTOR_BITS] = 0  # no more are ever made


@inlined
def touch_l1(core, slot, clock):
    touch(core, core.unit[np.uint64(core.owner[np.uint64(slot)])], slot, clock)


@inlined
def touch_l2(core, kind, size, slot):
    unit = unit_of(core, route_to(core, ROUTE_L2I if kind == FETCH else ROUTE_L2D, size))
    unit.hits += 1
    touch(core, unit, slot, tick(unit))


@inlined
def _drop(core, slot):
    """Drops an entry, so that what is predicted to hit in its slot does not."""
    drop(core, slot)
    if slot < core.first.size:
        core.first[slot] = NO_PAGE


@kernel
def _drop_size(core, vcpu, gva, size):
    regs = vcpu.regs[0]
    for row in (ROUTE_L1I, ROUTE_L1D, ROUTE_L2I, ROUTE_L2D, ROUTE_PREFETCH):
        route = route_to(core, row, size)
        if not route.used:
            continue
        page = gva >> route.shift
        for context in (regs.context, regs.global_context):
            slot = find(core, route, page, tag_of(context, size, page))
            if slot != NIL:
                _drop(core, slot)


@kernel
def drop_group(core, vcpu, gva):
    """Drops the entries for the group of pages that a page is of, see `walks.coalescing`."""
    seldom()
    _drop_size(core, vcpu, gva, COALESCED)


@kernel
def drop_page(core, vcpu, gva):
    """Drops the page's entries of the current context, and global ones, of every size."""
    for size in range(TLB_SIZES):
        _drop_size(core, vcpu, gva, size)
    if core.record[0].fragments:
        _drop_fragments(core, vcpu, gva)


@kernel
def _drop_fragments(core, vcpu, gva):
    """Drops the other pieces of a page that the TLBs hold in pieces: INVLPG must drop
    them all (SDM vol. 3A, 4.10.4.1), and they are found by search."""
    seldom()
    mine, globals_ = vcpu.regs[0].context, vcpu.regs[0].global_context
    for number in range(core.unit.size):
        unit = core.unit[number]
        if not unit.sizes:
            continue
        for slot in range(unit.base, end_of(unit)):
            context = core.tag[slot] >> CONTEXT_SHIFT
            if core.tag[slot] < 0:
                continue
            if context != mine and context != globals_:
                continue
            size = (core.tag[slot] >> PAGE_BITS) & 3
            whole = _guest_size(core.data[slot])
            if whole > size:
                pieces = core.shift[whole] - core.shift[size]
                page = core.tag[slot] & _PAGE_NUMBER
                wanted = (gva >> core.shift[whole]) & (_PAGE_NUMBER >> pieces)
                if page >> pieces == wanted:
                    _drop(core, slot)


@kernel
def flush_vpid(core, vpid):
    """Drops every entry of a VPID."""
    for number in range(core.unit.size):
        if core.unit[number].sizes:
            unit = core.unit[number]
            for slot in range(unit.base, end_of(unit)):
                tag = core.tag[slot]
                if tag >= 0 and core.context[tag >> CONTEXT_SHIFT].vpid == vpid:
                    drop(core, slot)
    forget_predictions(core)


@kernel
def flush_context(core, vcpu):
    """Drops the entries of the current context, not its global ones."""
    mine = vcpu.regs[0].context
    for number in range(core.unit.size):
        if core.unit[number].sizes:  # else it is not a TLB, or an empty one
            unit = core.unit[number]
            for slot in range(unit.base, end_of(unit)):
                if core.tag[slot] >> CONTEXT_SHIFT == mine:
                    drop(core, slot)
    forget_predictions(core)


@kernel
def flush_all(core):
    """Drops every entry."""
    for number in range(core.unit.size):
        if core.unit[number].sizes:
            drop_all(core, core.unit[number])
    forget_predictions(core)
