"""Sites: which reference of a walk is which. Counts of references are kept by site."""

from __future__ import annotations

from typing import NamedTuple

from mmulab.mmu.memory.entries import MAX_LEVELS

MOST_SITES = 1 << 10  # what fits into a noted reference: see hardware.caches

#: Sites from one level of a guest's table to the next: itself, and the nested walk that
#: locates a table of that level.
STEP = MAX_LEVELS + 1


#: The dimension of references that are made ahead, of whichever table: see `prefetched`.
PREFETCH = "prefetch"


class Site(NamedTuple):
    """A reference.

    dimension: "guest" (the guest's table, or the only one), "nested" or "prefetch". level: of the
    entry that is read, from 1. located: of a nested reference, the level of the guest's table that
    is being located, 0 for the page itself; else `level`. table: "sPT", of a shadow's where a walk
    reads the guest's own, too; of a prefetch "gPT" or "nPT".
    """

    dimension: str
    level: int
    located: int
    table: str = ""

    @property
    def label(self) -> str:
        """Which reference it is: "gL4", "sL4", "nL2 of gL4", or "nL2 of the page"; of a
        prefetch "prefetch gL4"."""
        if self.dimension == PREFETCH:
            what = "guest" if self.table == "gPT" else "nested"
            return f"{PREFETCH} {self._replace(dimension=what, table='').label}"
        if self.dimension == "guest":
            return f"{(self.table or 'gPT')[0]}L{self.level}"
        what = f"gL{self.located}" if self.located else "the page"
        return f"nL{self.level} of {what}"


#: Of a walk in one dimension, and of a walk in two: site `located * STEP + level` is nested,
#: site `level * STEP` the guest's. No reference has site 0.
RADIX = tuple(
    Site("nested", number % STEP, number // STEP)
    if number % STEP
    else Site("guest", number // STEP, number // STEP)
    for number in range(STEP * STEP)
)
