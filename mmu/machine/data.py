"""The lines that a program touches: found once in a chunk, for all techniques.

They are named by process and virtual address (`hardware.lines`), so that nothing of them depends
on how addresses are translated. An access touches each line that it has a byte of. Fetches touch
none: there is no instruction cache.

Unless caches are exact, a line that is the latest of its set of the first cache, by the program's
own accesses, is left out. It is there, and would stay the latest; what is lost is that it has
been used since a table's line came into that set, if one did.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.caches import shape_of
from mmulab.mmu.hardware.lines import LINE_SHIFT, of_program, space_of
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.kernels.structs import to_read
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.trace import FETCH, SWITCH, Chunk

#: Of a chunk whose lines are not followed.
NO_LINES = np.zeros(0, np.int32), np.zeros(0, np.int64)

_VM = 1  # the number of the only VM
_MORE = 2080  # what the lines of one access take at most, and a margin
_NEVER = 1 << 62  # no line's key

# Where `find_some` has got to.
_POSITION, _EVENT, _SPACE, _FOUND, _COUNTED = range(5)


class Lines:
    """Finds the lines of a trace's chunks, in order.

    caches: as in `Config`. pid: of the process that the trace begins in.
    """

    def __init__(self, preset: Preset, caches: str, pid: int) -> None:
        self.followed = caches != "off" and bool(preset.caches)
        self._state = np.zeros(5, np.int64)
        self._state[_SPACE] = to_space(pid)
        self._colours = self._rows = 0
        if self.followed and caches != "exact":
            first = preset.caches[0]
            sets = first.size // (first.ways << LINE_SHIFT)
            self._colours, self._rows = shape_of(sets)
        self._latest = np.full(self._colours * self._rows, _NEVER, np.int64)

    def find(self, chunk: Chunk, measured_from: int) -> tuple[np.ndarray, np.ndarray, int]:
        """(at, line, touched): positions of accesses and lines that they touch, in order, int32
        and int64; how many lines accesses touch from a position on, those left out included."""
        if not self.followed:
            return *NO_LINES, 0
        state = self._state
        state[[_POSITION, _EVENT, _FOUND, _COUNTED]] = 0
        at, line = np.zeros(0, np.int32), np.zeros(0, np.int64)
        while state[_POSITION] < chunk.accesses:
            room = chunk.accesses - int(state[_POSITION]) + _MORE
            at = np.concatenate([at[: state[_FOUND]], np.empty(room, np.int32)])
            line = np.concatenate([line[: state[_FOUND]], np.empty(room, np.int64)])
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
                at,
                line,
            )
        switches = chunk.events["kind"][int(state[_EVENT]) :] == SWITCH
        if switches.any():  # after the last access
            pid = chunk.events["pid"][int(state[_EVENT]) :][switches][-1]
            state[_SPACE] = to_space(pid)
        found = int(state[_FOUND])
        return at[:found], line[:found], int(state[_COUNTED])


@entry
def to_space(pid):
    """`space_of` a process of the only VM."""
    return space_of(_VM, pid)


@entry
def find_some(address, kind, size, events, measured_from, state, latest, colours, rows, at, line):
    """Finds lines from where it has got to, as long as there is room for those of an access."""
    position, event, space = state[0], state[1], state[2]
    found, counted = state[3], state[4]
    vm_space = space_of(_VM, -1)
    upcoming = events[event].position if event < events.size else address.size
    while position < address.size and found < at.size - _MORE // 2:
        while position >= upcoming and event < events.size:
            if events[event].kind == SWITCH:
                space = space_of(_VM, events[event].pid)
            event += 1
            upcoming = events[event].position if event < events.size else address.size
        if kind[position] != FETCH:
            gva = address[position]
            last = (gva + np.int64(size[position]) - 1) >> LINE_SHIFT
            number = gva >> LINE_SHIFT
            counted += (last - number + 1) if position >= measured_from else 0
            while number <= last:
                keep = True
                if rows:
                    key = number ^ (space if number >= 0 else vm_space)
                    if colours == 1:
                        slot = number & (rows - 1)
                    else:
                        name = of_program(space, vm_space, number)
                        slot = (((name >> 32) * colours) >> 31) * rows + (name & (rows - 1))
                    keep = latest[slot] != key
                    latest[slot] = key
                if keep:
                    at[found] = position
                    line[found] = of_program(space, vm_space, number)
                    found += 1
                number += 1
        position += 1
    state[0], state[1], state[2] = position, event, space
    state[3], state[4] = found, counted

