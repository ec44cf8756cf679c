"""Lines of hashed page tables: where a line lies, and what its eight entries say.

A table has some ways, each hashed by itself; a line, 64 bytes, has the entries of eight pages that
follow one another. Its tag, the number of its first page by eight, lies in bits that processors
ignore, six in each entry:

    entry i     | XD, 5 bits | tag, bits 6i to 6i+5 | frame, flags: 52 bits |

A line without a present entry is empty. While a way is resized its lines move to the next one from
the first on: a line that hashes below the pointer lies in the next way, by a hash of its own
(elastic cuckoo hashing: Skarlatos et al., ASPLOS 2020).
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import INDEX_BITS, PAGE_SHIFT
from mmulab.mmu.memory.tables import slot_of

LINE_SHIFT = 6  # 64-byte lines
LINES_SHIFT = PAGE_SHIFT - LINE_SHIFT
LINES = 1 << LINES_SHIFT  # of a frame
PER_LINE_SHIFT = 3
PER_LINE = 1 << PER_LINE_SHIFT  # entries

TAG_SHIFT, PART_BITS = 52, 6
PART = (1 << PART_BITS) - 1
TAG_BITS = PART << TAG_SHIFT  # of an entry
PRESENT = 7  # an x86 entry's bit 0, or one of an EPT entry's rights

_PAGE_NUMBER = (1 << 45) - 1  # 57-bit addresses
_MASK = (1 << 42) - 1  # of a tag
_WAY, _LINES = 0x9E3779B1, 0x85EBCA6B  # from the constants of xxHash (Y. Collet)
_FIRST, _SECOND = 0x5851F, 0x6C8E9  # odd, of 19 bits: products have 61


@inlined
def tag_of(address, size):
    """Tag of the line of an address, of the table of a page size."""
    return ((address >> (PAGE_SHIFT + INDEX_BITS * size)) & _PAGE_NUMBER) >> PER_LINE_SHIFT


@inlined
def position_of(address, size):
    """Which entry of its line maps an address."""
    return (address >> (PAGE_SHIFT + INDEX_BITS * size)) & (PER_LINE - 1)


@inlined
def _mixed(tag, way, lines):
    """42 well-mixed bits: a hash for each way and each length of it."""
    x = (tag ^ (way + 1) * _WAY ^ lines * _LINES) & _MASK
    x = ((x ^ x >> 21) * _FIRST) & _MASK
    x = ((x ^ x >> 19) * _SECOND) & _MASK
    return x ^ x >> 21


@inlined
def hashed(tag, number, lines):
    """Line that a tag hashes to in a way of so many."""
    return _mixed(tag, number, lines) & (lines - 1)


@inlined
def place_of(way, number, tag):
    """(frame, line in it) where a tag lies in a way, if it does. number: of the way."""
    line = hashed(tag, number, way.lines)
    if line < way.pointer:
        line = hashed(tag, number, way.next_lines)
        return way.next_base + (line >> LINES_SHIFT), line & (LINES - 1)
    return way.base + (line >> LINES_SHIFT), line & (LINES - 1)


@inlined
def address_of(frame, line):
    return (frame << PAGE_SHIFT) | (line << LINE_SHIFT)


@inlined
def part_of(tag, position):
    """A line's tag, as far as an entry has it, in its place."""
    return ((tag >> PART_BITS * position) & PART) << TAG_SHIFT


@inlined
def tag_in(memory, hpa):
    """Tag of the line at hpa; NIL, -1, where it is empty."""
    slot = slot_of(memory, hpa)
    tag = 0
    used = 0
    for position in range(PER_LINE):
        word = memory.entry[slot | np.uint64(position)]
        used |= word & PRESENT
        tag |= ((word >> TAG_SHIFT) & PART) << PART_BITS * position
    return tag if used else -1


@inlined
def plain(word):
    """An entry without what it has of the tag."""
    return word & ~TAG_BITS
