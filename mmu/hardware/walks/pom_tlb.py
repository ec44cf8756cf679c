"""A TLB in memory that is asked before a walk in two dimensions: a part-of-memory TLB.

It lies in frames of the host's, so that caches hold its lines. An entry has 16 bytes, a set four, a
line:

    word 0   | generation, 18 low bits | page number: 45 bits |
    word 1   | XD | generation, 11 high bits | a TLB entry: 52 bits |

The latest of a set is its first. There are two areas, of 4 KiB and of 2 MiB pages, each indexed by
its own page number. A table of 512 bits, by bits 29:21 of the address, says which is looked into
first. An entry belongs to a context of a generation (`hardware.contexts`): a flush leaves it where
it is, and void.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.caches import reference
from mmulab.mmu.hardware.contexts import generation_of
from mmulab.mmu.hardware.lines import named
from mmulab.mmu.hardware.rights import allows
from mmulab.mmu.hardware.walks import two_dimensional
from mmulab.mmu.hardware.walks.sites import RADIX, Site
from mmulab.mmu.hardware.walks.walk import Walk
from mmulab.mmu.kernels.compiling import inlined, kernel
from mmulab.mmu.memory.entries import (
    GUEST_SIZE_SHIFT,
    INDEX_BITS,
    PAGE_SHIFT,
    G,
    pages_in,
)
from mmulab.mmu.memory.status import OK, PAGE_FAULT
from mmulab.mmu.memory.tables import load, store

AREAS = 2  # page sizes 0 and 1
WAYS = 4
ENTRY_BYTES = 16
LINE_SHIFT = 6

PAGE_BITS = 45
_PAGE_NUMBER = (1 << PAGE_BITS) - 1
LOW_BITS = 18  # of a generation, in word 0
HIGH_SHIFT, HIGH = 52, (1 << 11) - 1  # the rest, in word 1

_PREDICTED_BY, _PREDICTORS = 21, 512

HITS, MISPREDICTED, FILLS = 0, 1, 2  # counters of the technique
_KIND = 7  # in the names of lines, beside levels


class _AreaSite(Site):
    """A set of the TLB in memory; level: 1 for 4 KiB, 2 for 2 MiB."""

    @property
    def label(self) -> str:
        return f"POM-TLB {'4k' if self.level == 1 else '2m'}"


FIRST_SITE = len(RADIX)
SITES = (*RADIX, _AreaSite("POM-TLB", 1, 0), _AreaSite("POM-TLB", 2, 0))


@inlined
def _word_0(page, generation):
    return (page & _PAGE_NUMBER) | (generation & ((1 << LOW_BITS) - 1)) << PAGE_BITS


@inlined
def _high(generation):
    return (generation >> LOW_BITS & HIGH) << HIGH_SHIFT


@inlined
def set_at(vcpu, size, gva):
    """HPA of the set of an address, in the area of a page size."""
    page = gva >> (PAGE_SHIFT + INDEX_BITS * size)
    index = page & (vcpu.regs[0].area_sets - 1)
    return (vcpu.regs[0].area[np.uint64(size)] << PAGE_SHIFT) + (index << LINE_SHIFT)


@inlined
def _find(memory, hpa, page, generation):
    """Way of a set that holds a page of a generation; WAYS where none does."""
    word, high = _word_0(page, generation), _high(generation)
    for way in range(WAYS):
        at = hpa + way * ENTRY_BYTES
        if load(memory, at) == word and load(memory, at + 8) & (HIGH << HIGH_SHIFT) == high:
            return way
    return WAYS


@kernel
def find(core, vcpu, memory, size, gva):
    """(HPA of the set, way, generation) of an address's page in an area, WAYS where it is not: of
    its context, or global."""
    hpa = set_at(vcpu, size, gva)
    page = gva >> (PAGE_SHIFT + INDEX_BITS * size)
    generation = generation_of(core, vcpu, vcpu.regs[0].context)
    way = _find(memory, hpa, page, generation)
    if way == WAYS:
        generation = generation_of(core, vcpu, vcpu.regs[0].global_context)
        way = _find(memory, hpa, page, generation)
    return hpa, way, generation


@kernel
def _put_first(memory, hpa, way, word, entry):
    """An entry becomes the first of its set; those before `way` move by one."""
    for other in range(min(way, WAYS - 1), 0, -1):
        for half in (0, 8):
            before = load(memory, hpa + (other - 1) * ENTRY_BYTES + half)
            store(memory, hpa + other * ENTRY_BYTES + half, before)
    store(memory, hpa, word)
    store(memory, hpa + 8, entry)


@kernel
def drop(core, vcpu, memory, gva):
    """Drops the page of an address from both areas."""
    for size in range(AREAS):
        while True:
            hpa, way, _ = find(core, vcpu, memory, size, gva)
            if way == WAYS:
                break
            store(memory, hpa + way * ENTRY_BYTES, 0)
            store(memory, hpa + way * ENTRY_BYTES + 8, 0)


@kernel
def _fill(core, vcpu, memory, gva, entry, size):
    """Puts a translation into its area, in the place of the page's own or of the set's last."""
    regs = vcpu.regs[0]
    drop(core, vcpu, memory, gva)
    context = regs.global_context if entry & G else regs.context
    generation = generation_of(core, vcpu, context)
    page = gva >> (PAGE_SHIFT + INDEX_BITS * size)
    leaf = entry & ~(HIGH << HIGH_SHIFT) & ~((pages_in(size) - 1) << PAGE_SHIFT)
    leaf |= _high(generation)
    _put_first(memory, set_at(vcpu, size, gva), WAYS - 1, _word_0(page, generation), leaf)
    regs.area_used |= 1 << size
    if (entry >> GUEST_SIZE_SHIFT) & 3 > size:
        regs.area_pieces = 1
    vcpu.own[FILLS] += 1


@inlined
def _look_up(core, vcpu, memory, size, gva, kind, user):
    """(1 where an area serves the access, TLB entry for the 4 KiB page of gva): one reference."""
    hpa, way, _ = find(core, vcpu, memory, size, gva)
    at = hpa + (way if way < WAYS else 0) * ENTRY_BYTES
    word, entry = load(memory, at), load(memory, at + 8)
    line = named(vcpu.regs[0].vm_space, _KIND, hpa >> LINE_SHIFT)
    reference(core, vcpu, at + 8, entry, FIRST_SITE + size, line)
    leaf = entry & ~(HIGH << HIGH_SHIFT)
    if way == WAYS or not allows(leaf, kind, user):
        return 0, 0
    _put_first(memory, hpa, way, word, entry)
    offset = (gva >> PAGE_SHIFT) & (pages_in(size) - 1)
    return 1, leaf + (offset << PAGE_SHIFT)


_walk = two_dimensional.translate


@inlined
def translate(core, vcpu, memory, gva, kind, user):
    """See `walk.Walk`. An area that has never had an entry is not looked into."""
    predictor = np.uint64((gva >> _PREDICTED_BY) & (_PREDICTORS - 1))
    predicted = np.int64(vcpu.size[predictor])
    for turn in range(AREAS):
        size = predicted ^ turn
        if vcpu.regs[0].area_used >> size & 1 or (turn == 0 and vcpu.regs[0].area_used == 0):
            found, entry = _look_up(core, vcpu, memory, size, gva, kind, user)
            if found:
                vcpu.own[HITS] += 1
                vcpu.own[MISPREDICTED] += turn
                vcpu.size[predictor] = size
                return OK, entry, size
    status, entry, size = _walk(core, vcpu, memory, gva, kind, user)
    if status == OK and size < AREAS:
        vcpu.own[MISPREDICTED] += size != predicted
        vcpu.size[predictor] = size
        _fill(core, vcpu, memory, gva, entry, size)
    elif status == PAGE_FAULT:  # which drops the page's entries (SDM vol. 3A, 4.10.4.1)
        drop(core, vcpu, memory, gva)
    return status, entry, size


@inlined
def fetch_ahead(core, vcpu, memory, address, position, end):
    """See `walk.Walk`."""
    two_dimensional.fetch_ahead(core, vcpu, memory, address, position, end)


WALK = Walk(__name__, "WALK", translate, fetch_ahead, SITES)
