"""Pages that go again are sent as their difference: QEMU's XBZRLE.

The source keeps pages as it has sent them last, in a cache that is mapped directly by the page's
number and has a power of two of places (QEMU migration/page_cache.c). What finds itself there goes
as the bytes that differ, run by run (Svärd et al., Evaluation of delta compression techniques for
efficient live migration of large virtual machines, VEE 2011); what does not goes whole, and takes
the place. QEMU keeps what is there for two rounds more before another page may take its place,
which is left out. A trace has no bytes, so that how much of a page is new is told.
"""

from __future__ import annotations

import numpy as np

from mmulab.mmu.memory.entries import PAGE_BYTES

#: Bytes on the wire beside the new ones: of offset and flags, of the kind and length of what is
#: encoded (QEMU migration/ram.c), and one run's two lengths (migration/xbzrle.c); quoted from
#: memory.
HEADER = 8 + 3 + 2 * 2


class Deltas:
    """size: bytes of the cache. changed: the part of a page that is new when it goes again."""

    def __init__(self, size: int, changed: float) -> None:
        pages = size // PAGE_BYTES
        self._place = np.full(1 << (pages.bit_length() - 1) if pages else 0, -1, np.int64)
        self.on_wire = min(HEADER + round(changed * PAGE_BYTES), HEADER + PAGE_BYTES)

    def send(self, gfns: np.ndarray) -> int:
        """Pages are sent, in this order: how many of them go as a difference."""
        if not self._place.size:
            return 0
        found = 0
        for gfn in gfns.tolist():
            place = gfn & (self._place.size - 1)
            found += int(self._place[place] == gfn)
            self._place[place] = gfn
        return found
