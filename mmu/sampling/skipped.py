"""Which of the accesses between units are run, so that those that are not leave no gap.

pages: those after which page tables are other ones. The first load, store and fetch of each page of
4 KiB since an event that can have taken its mapping, or rights to it, away, but no load after a
store: they fault where the whole trace would, in the same order, and set the same A and D bits.
More is kept than is needed: a fork, for one, has every page be touched anew.

lines: also the first access to each line of 64 bytes, and to each page, for a while. What is used
again sooner is in its place once the warm-up before a unit is over; what is used again later is as
recently used in large structures, the L2 TLB and the last cache, as it would be, to within that
while. SMARTS runs everything; to go by how soon memory is used again is from Haskins and Skadron,
Memory Reference Reuse Latency: Accelerated Warmup for Sampled Microarchitecture Simulation, ISPASS
2003.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.lines import LINE_SHIFT
from mmulab.mmu.kernels.compiling import entry, inlined, kernel
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.memory.entries import PAGE_SHIFT
from mmulab.mmu.trace import (
    BRK,
    EXEC,
    EXIT,
    FETCH,
    FORK,
    LOAD,
    MMAP,
    MPROTECT,
    MUNMAP,
    STORE,
    SWITCH,
    Chunk,
)

# Columns of the table. WINDOW: the latest in which the page was used; LINES: which of it in that,
# and BEFORE: in the one before.
_PAGE, _PID, _KINDS, _WINDOW, _LINES, _BEFORE = range(6)
_SEEN = (1 << FETCH + 1) - 1  # of _KINDS: kinds of access that have been seen
_USED = 1 << 8  # of _KINDS: the slot is a page's, whatever has been seen of it
_PER_PAGE = PAGE_SHIFT - LINE_SHIFT  # lines of a page, as a shift
_FIRST_SLOTS = 1 << 12

#: What `Skipped.keep` says of an access: that it is not run; that it is; that it is, and the first
#: of all to a page.
NOTHING, SOMETHING, TOUCH = range(3)


class Skipped:
    """Goes through the whole trace, chunk after chunk.

    pid: of the process it begins in. while_: accesses after which a line that was not used is run
    again when it is, up to twice as many; 0: lines are not followed.
    """

    def __init__(self, pid: int, while_: int = 0) -> None:
        self._while = while_
        self._pid = pid
        self._done = 0
        self._table = np.zeros((_FIRST_SLOTS, 6), np.int64)
        self._used = 0
        self._breaks: dict[int, int] = {}  # the end of each process's heap

    def keep(self, chunk: Chunk) -> np.ndarray:
        """Of each access of the next chunk, NOTHING, SOMETHING or TOUCH, int8[n]."""
        keep = np.zeros(chunk.accesses, np.int8)
        position = 0
        events = chunk.events
        for event in events[np.isin(events["kind"], _HEEDED)]:
            position = self._until(chunk, position, int(event["position"]), keep)
            self._heed(event)
        self._until(chunk, position, chunk.accesses, keep)
        self._done += chunk.accesses
        return keep

    def _until(self, chunk: Chunk, position: int, stop: int, keep: np.ndarray) -> int:
        while position < stop:
            position, self._used = choose(
                to_read(chunk.address), to_read(chunk.kind), to_read(chunk.size), position, stop,
                self._pid, self._done, self._while, self._table, self._used, keep,
            )  # fmt: skip
            if position < stop:
                table = np.zeros((2 * len(self._table), 6), np.int64)
                move(self._table, table)
                self._table = table
        return stop

    def _heed(self, event: np.void) -> None:
        kind, pid = int(event["kind"]), int(event["pid"])
        start, length = int(event["start"]), int(event["length"])
        if kind == SWITCH:
            self._pid = pid
        elif kind in (FORK, EXEC, EXIT):
            self._table[:] = 0
            self._used = 0
        else:
            if kind == BRK:
                start, length = start, self._breaks.get(pid, start) - start
                self._breaks[pid] = int(event["start"])
            if length > 0:
                last = (start + length - 1) >> PAGE_SHIFT
                forget(self._table, pid, start >> PAGE_SHIFT, last)


_HEEDED = (MMAP, MUNMAP, MPROTECT, BRK, FORK, EXEC, EXIT, SWITCH)


@kernel
def _slot_of(table, pid, page):
    """The slot of a page, or the free one that it is to have."""
    mask = len(table) - 1
    mixed = (page ^ (pid << 40)) * 0x9E3779B97F4A7C1
    slot = (mixed ^ (mixed >> 29)) & mask
    while table[slot, _KINDS] and (table[slot, _PAGE] != page or table[slot, _PID] != pid):
        slot = (slot + 1) & mask
    return slot


@entry
def choose(address, kind, size, position, stop, pid, done, while_, table, used, keep):
    """Chooses among accesses [position, stop), as long as half of the table is free. done:
    accesses before the chunk. Returns (next position, slots that are used)."""
    while position < stop:
        if 2 * (used + 32) > len(table):  # of an access, 64 KiB have 17 pages at most
            break
        first = address[position] >> LINE_SHIFT
        last = (address[position] + np.int64(size[position]) - 1) >> LINE_SHIFT
        bit = 1 << np.int64(kind[position])
        if kind[position] == STORE:
            bit |= 1 << LOAD
        window = (done + position) // while_ + 1 if while_ else 0
        slot = np.int64(-1)
        for line in range(first, last + 1):
            page = line >> _PER_PAGE
            if slot < 0 or table[slot, _PAGE] != page:
                slot = _slot_of(table, pid, page)
                used += _take(table, slot, pid, page)
                keep[position] = max(keep[position], _of_page(table, slot, bit))
            if while_ and _of_line(table, slot, window, line, kind[position] == FETCH):
                keep[position] = max(keep[position], SOMETHING)
        position += 1
    return position, used


@inlined
def _take(table, slot, pid, page):
    """Has a slot be the page's. Returns 1 where it was free."""
    if table[slot, _KINDS]:
        return 0
    table[slot, _PAGE] = page
    table[slot, _PID] = pid
    table[slot, _KINDS] = _USED
    return 1


@inlined
def _of_page(table, slot, bit):
    """What an access of a kind is to its page."""
    kinds = table[slot, _KINDS]
    if kinds & bit == bit:
        return NOTHING
    table[slot, _KINDS] = kinds | bit
    return SOMETHING if kinds & _SEEN else TOUCH


@inlined
def _of_line(table, slot, window, line, is_fetch):
    """Whether a line, or all of its page, has not been used for a while. Fetches use no line: there
    is no instruction cache."""
    if table[slot, _WINDOW] != window:
        is_next = table[slot, _WINDOW] == window - 1
        table[slot, _BEFORE] = table[slot, _LINES] if is_next else 0
        table[slot, _LINES] = 0
        table[slot, _WINDOW] = window
        if not is_next:
            if not is_fetch:
                table[slot, _LINES] = np.int64(1) << (line & ((1 << _PER_PAGE) - 1))
            return True
    if is_fetch:
        return False
    bit = np.int64(1) << (line & ((1 << _PER_PAGE) - 1))
    is_new = not (table[slot, _LINES] | table[slot, _BEFORE]) & bit
    table[slot, _LINES] |= bit
    return is_new


@entry
def move(table, larger):
    """Puts the pages of a table into a larger one that is empty."""
    for each in range(len(table)):
        if table[each, _KINDS]:
            slot = _slot_of(larger, table[each, _PID], table[each, _PAGE])
            larger[slot] = table[each]


@entry
def forget(table, pid, first, last):
    """Forgets what was seen of pages first to last of a process."""
    if last - first > len(table):
        for slot in range(len(table)):
            if table[slot, _PID] == pid and first <= table[slot, _PAGE] <= last:
                _forget_one(table, slot)
        return
    for page in range(first, last + 1):
        _forget_one(table, _slot_of(table, pid, page))


@kernel
def _forget_one(table, slot):
    if table[slot, _KINDS]:
        table[slot, _KINDS] = _USED
        table[slot, _WINDOW] = 0
