"""Elastic cuckoo hash tables of page-table entries, as software writes them.

An owner has a table for each page size, of some ways. A line goes to one of its places, at random;
what lies there goes to another way, and so on. Above a threshold a table of twice the lines is
made; then each new line makes some others move to it, from the first on (`memory.hashed_lines`), so
that a look-up still has one place in each way. As the authors' code has it
(elastic_cuckoo_table.cc), except where that loses a line: here an insertion that finds no place is
undone, and lines are moved until there is one.
"""

from __future__ import annotations

from mmulab.mmu.hardware.state import HASHED_HOST, HASHED_KERNEL, HASHED_USER, MOST_WAYS, PAGE_SIZES
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory import tables as memory
from mmulab.mmu.memory.hashed_lines import (
    LINES_SHIFT,
    PART,
    PART_BITS,
    PER_LINE,
    PRESENT,
    TAG_SHIFT,
    address_of,
    part_of,
    place_of,
    position_of,
    tag_in,
    tag_of,
)
from mmulab.mmu.memory.status import NIL, OK, OUT_OF_GUEST_FRAMES, OUT_OF_HOST_FRAMES
from mmulab.mmu.techniques.elastic_cuckoo.memory import free_frames, host_frame, new_frames
from mmulab.mmu.techniques.elastic_cuckoo.regions import count_line, line_changed
from mmulab.mmu.techniques.elastic_cuckoo.state import (
    HOST,
    KERNEL,
    PROCESSES,
    RETRIES,
    state_of,
    table_of,
    way_of,
)

SCALE = 2  # of a resize
MOVES = 8  # lines that are looked at for moving, with each new line
_ATTEMPTS = 1 << 12  # at a line that finds no place

# Counters of the technique; the first two are the walk's.
LINES_MOVED, RESIZES, REFUSED = 2, 3, 4


@kernel
def publish(machine, owner):
    """Loads the registers of an owner's tables, where the hardware has such now."""
    whose = HASHED_USER
    if owner == HOST:
        whose = HASHED_HOST
    elif owner == KERNEL:
        whose = HASHED_KERNEL
    elif owner != PROCESSES + machine.vm.record[0].current:
        return
    for number in range(PAGE_SIZES * MOST_WAYS):
        here = state_of(machine).way[owner * PAGE_SIZES * MOST_WAYS + number]
        register = machine.vcpu.way[whose * PAGE_SIZES * MOST_WAYS + number]
        register.base = here.base
        register.lines = here.lines
        register.pointer = here.pointer
        register.next_base = here.next_base
        register.next_lines = here.next_lines


# --- Tables ------------------------------------------------------------------------------


@kernel
def _make(machine, owner, size):
    """An empty table. Returns a status."""
    record = state_of(machine).record[0]
    for number in range(record.ways):
        status, first = new_frames(machine, owner, record.lines)
        if status != OK:
            for other in range(number):
                way = way_of(machine, owner, size, other)
                way.lines = 0
                free_frames(machine, owner, way.base, record.lines)
            return status
        way = way_of(machine, owner, size, number)
        way.base = first
        way.lines = record.lines
        way.pointer = 0
        way.next_lines = 0
    publish(machine, owner)
    return OK


@kernel
def free_all(machine, owner):
    """The owner's tables go."""
    for size in range(PAGE_SIZES):
        table_of(machine, owner, size).used = 0
        table_of(machine, owner, size).moved = 0
        for number in range(MOST_WAYS):
            way = way_of(machine, owner, size, number)
            if way.lines:
                free_frames(machine, owner, way.base, way.lines)
            if way.next_lines:
                free_frames(machine, owner, way.next_base, way.next_lines)
            way.lines = 0
            way.next_lines = 0
    publish(machine, owner)


# --- Lines -------------------------------------------------------------------------------


@inlined
def _address(machine, owner, size, number, tag):
    """HPA of a tag's line in a way, and 1 where that is in the next one."""
    way = way_of(machine, owner, size, number)
    frame, line = place_of(way, number, tag)
    first, last = way.next_base, way.next_base + (way.next_lines >> LINES_SHIFT)
    return address_of(host_frame(machine, owner, frame), line), int(first <= frame and frame < last)


@kernel
def find(machine, owner, size, tag):
    """(HPA of a tag's line, 1 where that is in a next way); (NIL, 0) where no way has it."""
    if way_of(machine, owner, size, 0).lines:
        for number in range(state_of(machine).record[0].ways):
            hpa, is_next = _address(machine, owner, size, number, tag)
            if tag_in(machine.host.memory, hpa) == tag:
                return hpa, is_next
    return NIL, 0


@inlined
def _carried(owner):
    return 0 if owner == HOST else PER_LINE


@inlined
def _swap(machine, owner, hpa):
    """The line at hpa and the one that is carried change places."""
    carried, at = state_of(machine).carried, _carried(owner)
    for position in range(PER_LINE):
        word = memory.load(machine.host.memory, hpa | position << 3)
        memory.store(machine.host.memory, hpa | position << 3, carried[at + position])
        carried[at + position] = word


@kernel
def _tag_carried(machine, owner):
    """Tag of the line that is carried, NIL where it is empty."""
    carried, at = state_of(machine).carried, _carried(owner)
    tag = used = 0
    for position in range(PER_LINE):
        used |= carried[at + position] & PRESENT
        tag |= (carried[at + position] >> TAG_SHIFT & PART) << PART_BITS * position
    return tag if used else NIL


@kernel
def _random(machine, below):
    record = state_of(machine).record[0]
    record.random = (record.random * 48271) % 0x7FFFFFFF  # Park and Miller, CACM 1993
    return (record.random >> 8) % below


@kernel
def _other_way(machine, number):
    """A way other than this one, at random."""
    ways = state_of(machine).record[0].ways
    return (number + 1 + _random(machine, ways - 1)) % ways


@kernel
def _place(machine, owner, size, number):
    """Puts the line that is carried into a way, what was there into another, and so on. False, and
    nothing has changed, where none of RETRIES lines finds an empty place."""
    trail, at = state_of(machine).trail, 0 if owner == HOST else RETRIES
    for tried in range(RETRIES):
        tag = _tag_carried(machine, owner)
        hpa, is_next = _address(machine, owner, size, number, tag)
        _swap(machine, owner, hpa)
        line_changed(machine, owner, size, tag)
        if _tag_carried(machine, owner) == NIL:
            table = table_of(machine, owner, size)
            table.used += 1 - is_next
            table.moved += is_next
            machine.vcpu.own[LINES_MOVED] += tried
            return True
        trail[at + tried] = hpa
        number = _other_way(machine, number)
    for tried in range(RETRIES - 1, -1, -1):
        _swap(machine, owner, trail[at + tried])
    return False


# --- Growth ------------------------------------------------------------------------------


@kernel
def _begin_resize(machine, owner, size):
    """The table's lines move to one of twice as many from now on. Returns a status."""
    ways = state_of(machine).record[0].ways
    lines = SCALE * way_of(machine, owner, size, 0).lines
    for number in range(ways):
        status, first = new_frames(machine, owner, lines)
        if status != OK:
            for other in range(number):
                free_frames(machine, owner, way_of(machine, owner, size, other).next_base, lines)
            machine.vcpu.own[REFUSED] += 1
            return status
        way_of(machine, owner, size, number).next_base = first
    for number in range(ways):
        way_of(machine, owner, size, number).next_lines = lines
    machine.vcpu.own[RESIZES] += 1
    publish(machine, owner)
    return OK


@kernel
def _end_resize(machine, owner, size):
    for number in range(state_of(machine).record[0].ways):
        way = way_of(machine, owner, size, number)
        free_frames(machine, owner, way.base, way.lines)
        way.base = way.next_base
        way.lines = way.next_lines
        way.next_lines = 0
        way.next_base = 0
        way.pointer = 0
    table = table_of(machine, owner, size)
    table.used = table.moved
    table.moved = 0


@kernel
def _least_moved(machine, owner, size):
    """The way of which the fewest lines have been looked at."""
    number = 0
    for other in range(state_of(machine).record[0].ways):
        least = way_of(machine, owner, size, number).pointer
        if way_of(machine, owner, size, other).pointer < least:
            number = other
    return number


@kernel
def _move_line(machine, owner, size, number):
    """Moves the line at a way's pointer, if there is one. False, and nothing has changed, where it
    finds no place."""
    way = way_of(machine, owner, size, number)
    frame = way.base + (way.pointer >> LINES_SHIFT)
    hpa = address_of(host_frame(machine, owner, frame), way.pointer & ((1 << LINES_SHIFT) - 1))
    way.pointer += 1
    carried, at = state_of(machine).carried, _carried(owner)
    carried[at : at + PER_LINE] = 0
    if tag_in(machine.host.memory, hpa) == NIL:
        return True
    _swap(machine, owner, hpa)
    table_of(machine, owner, size).used -= 1
    if _place(machine, owner, size, number):
        machine.vcpu.own[LINES_MOVED] += 1
        return True
    way.pointer -= 1
    table_of(machine, owner, size).used += 1
    _swap(machine, owner, hpa)
    return False


@kernel
def _move(machine, owner, size, count):
    """Moves what there is in the next so many lines, of the ways in turn; of another way where a
    line finds no place."""
    ways = state_of(machine).record[0].ways
    first = stuck = 0
    for _ in range(count):
        if stuck == 0:
            first = _least_moved(machine, owner, size)
        number = (first + stuck) % ways
        way = way_of(machine, owner, size, number)
        if way.pointer < way.lines:
            stuck = 0 if _move_line(machine, owner, size, number) else stuck + 1
        elif stuck == 0:
            _end_resize(machine, owner, size)
            break
        else:
            stuck += 1
        if stuck == ways:
            break
    publish(machine, owner)


# --- Entries -----------------------------------------------------------------------------


@kernel
def _insert(machine, owner, size, tag, position, entry):
    """A new line with one entry. Returns a status."""
    record = state_of(machine).record[0]
    status = OK
    if way_of(machine, owner, size, 0).lines == 0:
        status = _make(machine, owner, size)
    if status != OK:
        return status
    way = way_of(machine, owner, size, 0)
    used = table_of(machine, owner, size).used
    if not way.next_lines and 100 * (used + 1) > record.threshold * record.ways * way.lines:
        _begin_resize(machine, owner, size)
    if way.next_lines:
        _move(machine, owner, size, MOVES)
    carried, at = state_of(machine).carried, _carried(owner)
    for _ in range(_ATTEMPTS):
        for other in range(PER_LINE):
            carried[at + other] = part_of(tag, other) | (entry if other == position else 0)
        if _place(machine, owner, size, _random(machine, record.ways)):
            count_line(machine, owner, size, tag, 1)
            return OK
        if way.next_lines:
            _move(machine, owner, size, MOVES)
        else:
            status = _begin_resize(machine, owner, size)
            if status != OK:
                return status
    return OUT_OF_HOST_FRAMES if owner == HOST else OUT_OF_GUEST_FRAMES


@kernel
def put(machine, owner, size, address, entry):
    """The entry of an address, of a page size, is this from now on; 0: none. Returns a status."""
    tag, position = tag_of(address, size), position_of(address, size)
    hpa, is_next = find(machine, owner, size, tag)
    if hpa == NIL:
        return _insert(machine, owner, size, tag, position, entry) if entry else OK
    slot = hpa | position << 3
    memory.store(machine.host.memory, slot, entry | part_of(tag, position))
    line_changed(machine, owner, size, tag)
    if not entry and tag_in(machine.host.memory, hpa) == NIL:
        for other in range(PER_LINE):
            memory.store(machine.host.memory, hpa | other << 3, 0)
        table_of(machine, owner, size).used -= 1 - is_next
        table_of(machine, owner, size).moved -= is_next
        count_line(machine, owner, size, tag, -1)
    return OK
