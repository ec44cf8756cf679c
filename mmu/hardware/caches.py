"""What a line costs: the cache level that holds it. Page tables and the program's data contend.

Each level is filled on a miss and replaces by LRU. What a line costs changes nothing that a walk
does. So walks only note their references (`reference`), the program's lines are found once for
all techniques (`machine.data`), and `price` merges both in the order of the accesses and takes
them through one level after another, many at a time: which level has a line is not predictable,
and costs no branch there. Pages that the guest kernel zeroes or copies go through too, but are
charged to no one, since the cost of zeroing and copying contains their misses.

References of a walk are waited for one after another, but those of a *step* (`begin_step`), which
go out at once: of its *lanes*, the references that wait for each other, one is waited for, the
first among those that reach furthest; the others are hidden behind it (`VCPU.hidden`), and so is
what is read in the background. All are counted, and go through the caches, alike. So a step of
single probes costs the longest of them. A lane that reaches further is taken to be longer, whatever
the sum of another's parts.

A set is chosen by the line's place in its page and, where a cache has more sets than a page has
lines (64), by a hash of the page's name, its *colour*: as the index of a real cache has the bits
below the page offset as they are, and above them those of a frame that may be any. Intel's
last-level caches choose the slice by a hash of all bits, and in it the set by bits 6 to 16 as they
are (Maurice et al., Reverse engineering Intel last-level cache complex addressing, RAID 2015), so
that lines at one page offset reach one set of 64 of theirs, too: index "straight". Index "hashed"
is where they reach all: the place in the page is combined, by exclusive or, with bits of the page's
hash, so that the lines of a page still lie in as many sets. Of the hash, 31 bits tell lines of a
set apart: of a hundred million look-ups, less than one finds another line.

Lines are not sampled by set (Kessler, Hill and Wood, IEEE Trans. Computers 1994) or by hash
(SHARDS: Waldspurger et al., FAST 2015), which need more lines than the tables of a program have:
one line of eight in the last level alone was off by 6 % of a real trace's walks, and by 13 % of a
B-tree's data. What is sampled, unless caches are exact, is hits of the first level: see
`machine.data`.

Prefetchers are a rule: a line of data that misses the first cache counts as served by the second
one, wherever it lies, where a neighbour in its page says that it has been fetched already: the
line before it is in the first cache (next-line), the other line of its pair is (adjacent-line),
or the two before or behind it (stream, and stride, of which only strides of one line are told).
The line goes through the caches all the same.

Not modelled: L1 instruction caches, and all that instructions take from others; inclusion and
exclusion (a preset's `inclusion`); write-backs; what prefetchers fetch in vain; prefetchers by
instruction, region or history; bandwidth; other cores; lines that the VMM touches.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.lines import AS, LINES, LINES_SHIFT, MOST_PAGES, PAGE
from mmulab.mmu.hardware.state import CACHE_LEVELS
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.kernels.vectors import (
    MEDIUM,
    NARROW,
    WIDE,
    equal_mask,
    move_to_front,
    seldom,
)
from mmulab.mmu.memory.status import NIL

#: References that one walk notes at most: three dimensions of five levels make 215.
MOST_OF_A_WALK = 256

#: Lines that are priced at a time: an assumption, enough to go through a level at full speed, few
#: enough to stay in an L1 cache.
FULL = 1024

#: One access walks for each of its faults and pages, see `machine.run.FAULT_LIMIT`.
_MOST_FAULTS = 64
NOTED = FULL + (_MOST_FAULTS + 1) * (2 * MOST_OF_A_WALK + MOST_PAGES)
MISSED = 2 * FULL

# Beside a line that a cache lacked: where it is counted, if the first level serves it, and:
_PREFETCHED = 1 << AS
_NOTE = AS + 1  # from here on, of a line of a step: which of those noted it is, + 1

# Beside a noted line of a step:  | lane: 8 bits | step: 7 bits | position | what it is |
STEP = 48
_LANE = STEP + 7
_BACKGROUND = (1 << 8) - 1  # the lane that nobody waits for
MOST_LANES = _BACKGROUND
_POSITION = (1 << (STEP - AS)) - 1


def shape_of(sets: int) -> tuple[int, int]:
    """(colours, rows) of a cache of so many sets at most: their product is what it has."""
    if sets < LINES:
        return 1, 1 << (max(1, sets).bit_length() - 1)
    return sets // LINES, LINES


@inlined
def first_slot(line, base, colours, row_mask, fold, stride):
    """First slot of a line's set."""
    colour = ((line >> 32) * colours) >> 31
    row = (line ^ (line >> fold)) & row_mask
    return np.uint64(base + (colour * (row_mask + 1) + row) * stride)


@inlined
def _tag(line):
    """What tells a line from others of its set: 31 bits of its page's hash and, above, its place
    in the page, for caches with fewer rows."""
    return ((line >> LINES_SHIFT) ^ ((line & (LINES - 1)) << 25)) & 0x7FFFFFFF


@kernel
def _loop_to_front(core, first, last, tag):
    """`move_to_front` of a set of more than WIDE ways."""
    seldom()
    slot = first
    while slot < first + last and core.line[slot] != tag:
        slot += 1
    found = core.line[slot] == tag
    while slot > first:
        core.line[slot] = core.line[slot - 1]
        slot -= 1
    core.line[first] = tag
    return np.int64(found)


@inlined
def _looked_up(core, first, last, stride, tag):
    """1 where a set holds a tag, else 0. It does afterwards, as its latest."""
    if stride == NARROW:
        return np.int64(move_to_front(core.line, first, last, tag, NARROW) != 0)
    if stride == MEDIUM:
        return np.int64(move_to_front(core.line, first, last, tag, MEDIUM) != 0)
    if stride == WIDE:
        return np.int64(move_to_front(core.line, first, last, tag, WIDE) != 0)
    return np.int64(_loop_to_front(core, np.int64(first), last, tag))


@kernel
def _has(core, line):
    """True where the first cache holds a line."""
    cache = core.cache[0]
    first = first_slot(line, cache.base, cache.colours, cache.row_mask, cache.fold, cache.stride)
    tag = _tag(line)
    found = np.int64(0)
    for group in range(0, cache.stride, NARROW):
        found |= equal_mask(core.line, first + np.uint64(group), NARROW, tag)
    return found != 0


@kernel
def _is_prefetched(core, line):
    """Whether a line of data that the first cache lacks has been fetched for its neighbours."""
    record = core.record[0]
    if not (record.next_line | record.adjacent_line | record.stream):
        return False
    row = line & (LINES - 1)
    before = row > 0 and _has(core, line - 1)
    if before and (record.next_line or (record.adjacent_line and row & 1)):
        return True
    behind = row < LINES - 1 and _has(core, line + 1)
    if behind and record.adjacent_line and not row & 1:
        return True
    if not record.stream:
        return False
    return (before and row > 1 and _has(core, line - 2)) or (
        behind and row < LINES - 2 and _has(core, line + 2)
    )


@inlined
def _count(core, vcpu, what, level, number):
    """Counts a line that a level has served, a prefetched one as of the second level. number: 1;
    0 where it may be further."""
    if what >> _NOTE:
        core.served[np.uint64((what >> _NOTE) - 1)] = level
    if what & _PREFETCHED:
        level = min(level, 1)
    vcpu.references[np.uint64((what & PAGE) + level)] += number


@kernel
def _through_level(core, vcpu, level, count):
    """Takes the first `count` missed lines through a cache beyond the first; those that miss are
    the first ones afterwards. Returns how many."""
    cache = core.cache[level]
    base, colours, stride, last = cache.base, cache.colours, cache.stride, cache.ways - 1
    row_mask, fold = cache.row_mask, cache.fold
    missed = np.uint64(0)
    for position in range(np.uint64(count)):
        line = core.missed[position]
        what = core.missed_as[position]
        first = first_slot(line, base, colours, row_mask, fold, stride)
        hit = _looked_up(core, first, last, stride, _tag(line))
        _count(core, vcpu, what, level, hit)
        core.missed[missed] = line
        core.missed_as[missed] = what
        missed += np.uint64(1 - hit)
    return np.int64(missed)


@kernel
def _beyond(core, vcpu, count):
    """Counts lines that the first cache lacked by the level that serves each. Returns the
    furthest."""
    for level in range(1, core.record[0].levels):
        if count == 0:
            return level - 1
        count = _through_level(core, vcpu, level, count)
    if count == 0:
        return core.record[0].levels - 1
    for position in range(count):
        _count(core, vcpu, core.missed_as[position], CACHE_LEVELS - 1, 1)
    return CACHE_LEVELS - 1


@kernel
def _enter(core, vcpu, line, what, missed):
    """A line of a walk, or of a page of the kernel's, goes into the first cache, unless walks do
    not enter there. Returns the number of missed lines, one more where it lacked this one."""
    record = core.record[0]
    of_walk = what & PAGE < vcpu.references.size - 2 * CACHE_LEVELS
    if record.levels and (record.enter == 0 or not of_walk):
        cache = core.cache[0]
        first = first_slot(
            line, cache.base, cache.colours, cache.row_mask, cache.fold, cache.stride
        )
        tag = _tag(line)
        hit = _looked_up(core, first, cache.ways - 1, cache.stride, tag)
        if hit:
            _count(core, vcpu, what, 0, 1)
            return missed
    core.missed[np.uint64(missed)] = line
    core.missed_as[np.uint64(missed)] = what
    return missed + 1


@kernel
def _take_data(core, vcpu, at, line, until, missed):
    """The program's lines before a position of the chunk go into the first cache. Returns as
    `_enter` does. Hits are not counted: what is no miss is one."""
    cache = core.cache[0]
    base, colours, stride, last = cache.base, cache.colours, cache.stride, cache.ways - 1
    row_mask, fold = cache.row_mask, cache.fold
    what = vcpu.references.size - 2 * CACHE_LEVELS
    taken = core.record[0].taken
    while taken < at.size and at[np.uint64(taken)] < until:
        one = line[np.uint64(taken)]
        taken += 1
        first = first_slot(one, base, colours, row_mask, fold, stride)
        tag = _tag(one)
        if core.line[first] != tag and not _looked_up(core, first, last, stride, tag):
            core.missed[np.uint64(missed)] = one
            core.missed_as[np.uint64(missed)] = what | _PREFETCHED * _is_prefetched(core, one)
            missed += 1
            if missed == MISSED:
                _beyond(core, vcpu, missed)
                missed = 0
    core.record[0].taken = taken
    return missed


@kernel
def _hide(core, vcpu, noted):
    """Of each step among the first so many lines noted, counts the references that are not waited
    for. All have been counted by level."""
    first = 0
    while first < noted:
        step = core.noted_as[first] >> STEP & ((1 << (_LANE - STEP)) - 1)
        if step == 0:
            first += 1
            continue
        furthest, lane = np.int64(NIL), np.int64(_BACKGROUND + 1)
        end = first
        while end < noted:
            what = core.noted_as[end]
            if what >> STEP & ((1 << (_LANE - STEP)) - 1) != step:
                break
            if what >> _LANE != _BACKGROUND and core.served[end] > furthest:
                furthest, lane = np.int64(core.served[end]), what >> _LANE
            end += 1
        for number in range(first, end):
            what = core.noted_as[number]
            if what >> _LANE != lane:
                vcpu.hidden[(what & PAGE) + core.served[number]] += 1
        first = end


@kernel
def price(core, vcpu, at, line, until):
    """Counts the lines that have been noted, and those of the program before a position of the
    chunk, by the cache level that has them. at, line: the program's lines of the chunk, int32 and
    int64, as `machine.data` has them. Returns the furthest level that had any of what has been
    noted last: where one is, its own."""
    noted = core.record[0].noted
    core.record[0].noted = 0
    missed = stepped = 0
    for number in range(noted):
        one, what = core.noted[number], core.noted_as[number]
        if at.size:
            missed = _take_data(core, vcpu, at, line, what >> AS & _POSITION, missed)
        if missed >= MISSED - LINES:  # room for a page's, and for a line of data after them
            _beyond(core, vcpu, missed)
            missed = 0
        if what & PAGE != PAGE:
            note = (number + 1) << _NOTE if what >> STEP else 0
            stepped |= note
            missed = _enter(core, vcpu, one, what & PAGE | note, missed)
        else:
            for each in range(one, one + LINES):
                row = vcpu.references.size - CACHE_LEVELS
                missed = _enter(core, vcpu, each, row, missed)
    if at.size:
        missed = _take_data(core, vcpu, at, line, until, missed)
    furthest = _beyond(core, vcpu, missed) if missed else 0
    if stepped:
        _hide(core, vcpu, noted)
    return furthest


@kernel
def price_noted(core, vcpu):
    """`price` where no program runs."""
    return price(core, vcpu, core.predictor[:0], core.noted[:0], 0)


@inlined
def make_room(core, vcpu):
    """Before a walk where no program runs: prices what has been noted unless there is room."""
    if core.record[0].noted > FULL:
        price_noted(core, vcpu)


@inlined
def begin_step(core):
    """The references of a walk until `end_step` go out at once, those of its first lane for now."""
    record = core.record[0]
    record.steps = record.steps % ((1 << (_LANE - STEP)) - 1) + 1
    record.step = record.steps << STEP


@inlined
def next_lane(core):
    """References of a step from now on wait for none before. At most MOST_LANES lanes a step."""
    record = core.record[0]
    if record.step >> _LANE != _BACKGROUND:
        record.step += 1 << _LANE


@inlined
def end_step(core):
    core.record[0].step = 0


@inlined
def begin_background(core):
    """References until `end_background` are waited for by nobody, within a step or outside. Returns
    what `end_background` takes."""
    record = core.record[0]
    step = record.step
    if step == 0:
        begin_step(core)
    record.step = record.step & ((1 << _LANE) - 1) | _BACKGROUND << _LANE
    return step


@inlined
def end_background(core, step):
    core.record[0].step = step


@inlined
def reference(core, vcpu, hpa, entry, site, line):
    """Notes one reference of a walk to the entry at hpa, to be priced. site: which reference of
    the walk it is (`walks.sites`). line: its line's name (`lines.of_table`)."""
    number = core.record[0].noted
    core.noted[np.uint64(number)] = line
    what = core.record[0].position << AS | site * CACHE_LEVELS
    core.noted_as[np.uint64(number)] = what | core.record[0].step
    core.record[0].noted = number + 1
    if core.record[0].logging != NIL:
        _log(core, vcpu, hpa, entry, site)


@kernel
def _log(core, vcpu, hpa, entry, site):
    """Prices the reference at once, the only one noted, and logs it while there is room."""
    seldom()
    level = price_noted(core, vcpu)
    used = core.record[0].logging
    if used < core.log.size:
        record = core.log[used]
        record.site = site
        record.address = hpa
        record.entry = entry
        record.cache = level
        step = core.record[0].step
        number = step >> STEP & ((1 << (_LANE - STEP)) - 1)
        record.step = -number if step >> _LANE == _BACKGROUND else number
        core.record[0].logging = used + 1
