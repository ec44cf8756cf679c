"""The lines that a program touches: found once in a chunk, for all techniques.

They are named by process and virtual address (`hardware.lines`), so that nothing of them depends
on how addresses are translated. An access touches each line that it has a byte of. Fetches touch
none: there is no instruction cache.

Unless caches are exact, a line that is the latest of its set of the first cache, by the program's
own accesses, is left out: it is there, and would stay the latest. What is lost is that it has been
used since a table's line came into that set, or one of a page that the kernel zeroed; so that it
is not taken for unused, one access is let through each LONGEST lines.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.build import fold_of
from mmulab.mmu.hardware.caches import first_slot, shape_of
from mmulab.mmu.hardware.lines import LINE_SHIFT, LINES_SHIFT, of_program, space_of
from mmulab.mmu.kernels.compiling import entry, inlined
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.trace import FETCH, SWITCH, Chunk

#: Of a chunk whose lines are not followed.
NO_LINES = np.zeros(0, np.int32), np.zeros(0, np.int64)

#: Lines of the program after which the latest of each set is let through again, see above: an
#: assumption, by which cycles of data are off by less than 1 % (`benchmarks/caches.py`).
LONGEST = 1024

_VM = 1  # the number of the only VM
#: Lines of one access at most: its size has 16 bits.
MOST_LINES = ((1 << 16) >> LINE_SHIFT) + 1
_BLOCK = 4096  # lines found at a time: an assumption, few enough to stay in an L1 cache
_NEVER = 1 << 62  # no line's key

# Where `find_some` has got to.
_POSITION, _EVENT, _SPACE, _FOUND, _COUNTED, _NOW = range(6)


class Lines:
    """Finds the lines of a trace's chunks, in order.

    caches: as in `Config`. pid: of the process that the trace begins in.
    """

    def __init__(self, preset: Preset, caches: str, pid: int) -> None:
        self.followed = caches != "off" and bool(preset.caches)
        self._state = np.zeros(6, np.int64)
        self._state[_SPACE] = to_space(pid)
        self._colours = self._rows = self._fold = 0
        if self.followed and caches != "exact":
            first = preset.caches[0]
            sets = first.size // (first.ways << LINE_SHIFT)
            self._colours, self._rows = shape_of(sets)
            self._fold = fold_of(first.index)
        self._block = np.zeros(_BLOCK, np.int32), np.zeros(_BLOCK, np.int64)
        self._at, self._line = np.zeros(0, np.int32), np.zeros(0, np.int64)
        self._latest = np.full(self._colours * self._rows, _NEVER, np.int64)

    def find(self, chunk: Chunk, measured_from: int) -> tuple[np.ndarray, np.ndarray, int]:
        """(at, line, touched): positions of accesses and lines that they touch, in order, int32
        and int64; how many lines accesses touch from a position on, those left out included."""
        if not self.followed:
            return *NO_LINES, 0
        state = self._state
        state[[_POSITION, _EVENT, _FOUND, _COUNTED]] = 0
        while True:
            find_some(
                to_read(chunk.address),
                to_read(chunk.kind),
                to_read(chunk.size),
                to_read(chunk.events),
                measured_from,
                state,
                self._latest,
                self._colours,
                self._rows,
                self._fold,
                *self._block,
                self._at,
                self._line,
            )
            if state[_POSITION] == chunk.accesses:
                break
            found = int(state[_FOUND])  # there was no room for more
            room = found + chunk.accesses - int(state[_POSITION]) + 2 * len(self._block[0])
            self._at, self._line = np.resize(self._at, room), np.resize(self._line, room)
        switches = chunk.events["kind"][int(state[_EVENT]) :] == SWITCH
        if switches.any():  # after the last access
            pid = chunk.events["pid"][int(state[_EVENT]) :][switches][-1]
            state[_SPACE] = to_space(pid)
        found = int(state[_FOUND])
        return self._at[:found].copy(), self._line[:found].copy(), int(state[_COUNTED])


@entry
def to_space(pid):
    """`space_of` a process of the only VM."""
    return space_of(_VM, pid)


@inlined
def _lines_of_block(address, kind, size, position, stop, room, block_at, block_number):
    """Virtual lines that accesses from a position on touch, as far as there is room. Returns
    (next position, number of lines). Fetches are written, too, and written over."""
    found = np.uint64(0)
    room = np.uint64(room)
    at = np.uint64(position)
    while at < np.uint64(stop) and found < room:
        gva = address[at]
        number = gva >> LINE_SHIFT
        last = (gva + np.int64(size[at]) - 1) >> LINE_SHIFT
        is_data = kind[at] != FETCH
        block_at[found] = at
        block_number[found] = number
        found += np.uint64(is_data)
        if last != number and is_data:
            for other in range(number + 1, last + 1):
                block_at[found] = at
                block_number[found] = other
                found += np.uint64(1)
        at += np.uint64(1)
    return np.int64(at), np.int64(found)


@inlined
def _filtered(latest, colours, rows, fold, space, vm_space, block_at, block_number, count):
    """Leaves out lines that are the latest of their set. Returns how many are left."""
    kept = np.uint64(0)
    for each in range(np.uint64(count)):
        number = block_number[each]
        key = number ^ (space if number >= 0 else vm_space)
        slot = number & (rows - 1)
        if colours > 1 or fold == LINES_SHIFT:
            name = of_program(space, vm_space, number)
            slot = np.int64(first_slot(name, 0, colours, rows - 1, fold, 1))
        block_at[kept] = block_at[each]
        block_number[kept] = number
        kept += np.uint64(latest[np.uint64(slot)] != key)
        latest[np.uint64(slot)] = key
    return np.int64(kept)


@entry
def find_some(
    address, kind, size, events, measured_from, state, latest, colours, rows, fold,
    block_at, block_number, at, line,
):  # fmt: skip
    """Finds lines from where it has got to, as long as there is room for those of a block."""
    position, event, space, found, now = state[0], state[1], state[2], state[3], state[5]
    vm_space = space_of(_VM, -1)
    while position < address.size and found + block_at.size <= at.size:
        while event < events.size and events[event].position <= position:
            if events[event].kind == SWITCH:
                space = space_of(_VM, events[event].pid)
            event += 1
        stop = address.size
        if event < events.size:
            stop = min(stop, events[event].position)
        if position < measured_from:
            stop = min(stop, measured_from)
        room = min(block_at.size - MOST_LINES, LONGEST - now % LONGEST)
        measured = position >= measured_from
        position, count = _lines_of_block(
            address, kind, size, position, stop, room, block_at, block_number
        )
        state[4] += count if measured else 0
        before, now = now, now + count
        if rows:
            count = _filtered(
                latest, colours, rows, fold, space, vm_space, block_at, block_number, count
            )
            if now // LONGEST != before // LONGEST:
                latest[:] = _NEVER
        for each in range(np.uint64(count)):
            to = np.uint64(found + np.int64(each))
            at[to] = block_at[each]
            line[to] = of_program(space, vm_space, block_number[each])
        found += count
    state[0], state[1], state[2], state[3], state[5] = position, event, space, found, now
