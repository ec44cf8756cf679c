"""Marks of accesses: what the run loop reads of an access beside its address.

| kind, and STRADDLES | hash of its page number (PREDICTOR_BITS) |

A chunk's accesses are marked once for all techniques (`machine.run.prepare`). An access's mark is
where `Core.predictor` has its prediction.

Pages that are in use together lie at even distances: consecutive ones, columns of a matrix,
vectors and heaps aligned to a power of two. The multiplier is 2**32 over the golden ratio, which
spreads any such sequence evenly (Knuth, TAOCP vol. 3, 6.4), so that they do not push each other's
predictions out, as they would were low bits of the page number taken.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.hardware.state import PREDICTOR_BITS
from mmulab.mmu.kernels.compiling import inlined
from mmulab.mmu.memory.entries import PAGE_SHIFT

MARK = np.uint16  # type of a column of marks
STRADDLES = 4  # flag beside the kind of an access that touches two pages

_GOLDEN = 0x9E3779B1
# So many bits of a page number are multiplied; the product has 63 at most. Higher ones, of
# addresses 8 TiB apart, are folded upon them.
_FOLDED_BITS = 31


@inlined
def mark_of(what, gva):
    """The mark of an access. what: its kind, with STRADDLES where it does."""
    page = gva >> PAGE_SHIFT
    folded = (page ^ (page >> (_FOLDED_BITS - 2))) & ((1 << _FOLDED_BITS) - 1)
    hashed = (folded * _GOLDEN) >> (32 - PREDICTOR_BITS) & ((1 << PREDICTOR_BITS) - 1)
    return what << PREDICTOR_BITS | hashed


@inlined
def what_of(mark):
    """Kind of the access that has a mark, with STRADDLES where it does."""
    return mark >> PREDICTOR_BITS
