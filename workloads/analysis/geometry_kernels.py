"""Every LRU geometry of a TLB at once, compiled.

For each number of sets, a power of two, the sets' most recent pages lie in order, the latest
first. A page that is the latest of its set is the latest of any smaller set that is part of it (set
refinement: Hill and Smith, Evaluating Associativity in CPU Caches, IEEE Transactions on Computers
38(12), 1989): from the fewest sets to the most, the first that has it there ends the look-up.
"""

from __future__ import annotations

from mmulab.mmu.kernels.compiling import entry, inlined

# Places in `state`.
TOUCHES, REPEATS, L1_HITS, LAST = range(4)
STATE = 4


@inlined
def _moved(tags, first, ways, key):
    """Makes a key the latest of a set; returns where it was, `ways` where it was not."""
    before = tags[first]
    tags[first] = key
    for way in range(1, ways):
        found = tags[first + way]
        tags[first + way] = before
        if found == key:
            return way
        before = found
    return ways


@entry
def look_up(address, size, first, end, shift, owner, levels, ways, tags, latest, hits,
            l1_sets, l1_ways, l1_tags, state):  # fmt: skip
    """Looks up each page touched by accesses [first, end) in all geometries.

    owner: what distinguishes the pages of a process, above the page number. tags: int64, of
    1 << level sets for each level, one level after the other. latest[level]: pages that were the
    latest of their set from this level on. hits[level, way]: others, by where they were. l1_ways:
    of a TLB in front, whose hits are not looked up; 0 without one.
    """
    for position in range(first, end):
        gva = address[position]
        for touched in range(gva >> shift, ((gva + size[position] - 1) >> shift) + 1):
            key = owner ^ (touched & ((1 << 52) - 1))
            state[TOUCHES] += 1
            if key == state[LAST]:
                state[REPEATS] += 1
                continue
            state[LAST] = key
            if l1_ways:
                place = (key & (l1_sets - 1)) * l1_ways
                if l1_tags[place] == key or _moved(l1_tags, place, l1_ways, key) < l1_ways:
                    state[L1_HITS] += 1
                    continue
            start = 0
            for level in range(levels):
                place = start + (key & ((1 << level) - 1)) * ways
                if tags[place] == key:
                    latest[level] += 1
                    break
                way = _moved(tags, place, ways, key)
                if way < ways:
                    hits[level, way] += 1
                start += ways << level
