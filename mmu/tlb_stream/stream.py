"""Two TLB levels over a stream of addresses, and nothing else: the fast simulator.

For miss counts of one page size in one address space, without page tables, at a speed
near that of reading the addresses from memory. It is exact: no sampling, no set is left out.

Two things make it fast, and neither changes a result:

- A prediction of the L1 slot, by low bits of the page number or, where pages that are in use
  together have them in common, by its hash. The tag in the slot is compared, so a wrong
  prediction costs a search and nothing else. Four accesses that are predicted right are taken
  at once.
- Order kept where it is cheap. An L1 mostly hits: a hit stores the time into the slot, which
  waits for nothing, and a replacement looks for the smallest time. An L2 mostly misses: its
  ways hang in a circular list by recency, where the next victim needs no search. Sets of many
  ways are searched by no level: see `wide`.

Several cores take a long stream through two levels of LRU: see `in_parallel`.

Replacement, in both levels, takes invalid ways first, the lowest first, and then

lru     the way touched longest ago.
plru    tree-PLRU: every node of a binary tree over the ways points away from the half that
        was touched last; the victim is where the nodes point. Found from the times.
fifo    the way filled longest ago.
random  xorshift64* (Vigna, ACM TOMS 42(4), 2016: shifts 12, 25, 27), one generator a
        level; way = (upper 32 bits x ways) >> 32. The state of level n at the start is the
        n-th output of SplitMix64 (Steele et al., OOPSLA 2014) for the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.jobs import jobs_of
from mmulab.mmu.tlb_stream.constants import CROWDED, LONG, PREDICTION_BITS, WIDE_WAYS
from mmulab.mmu.tlb_stream.levels import Geometry, empty_level


@dataclass(frozen=True)
class Counts:
    """What happened so far. An L1 miss that hits in L2 is not an L2 miss."""

    accesses: int
    l1_misses: int
    l2_misses: int


class TLBStream:
    """A two-level TLB that is fed with addresses.

    An L1 hit does not touch L2. An L1 miss that hits in L2 fills L1; a miss in both fills
    both. Neither level includes the other: an eviction in one leaves the other alone.

    page_shift: log2 of the page size in bytes. seed: of random replacement, 0 to 2**64 - 1.
    jobs: cores that long streams through two levels of LRU take, those that there are unless given;
    no count depends on it. Raises InputError.
    """

    def __init__(
        self,
        l1: Geometry,
        l2: Geometry,
        page_shift: int = 12,
        seed: int = 1,
        jobs: int | None = None,
    ) -> None:
        if not 1 <= page_shift <= 62:
            raise InputError(f"page_shift must be 1 to 62, not {page_shift}")
        if not 0 <= seed < 1 << 64:
            raise InputError(f"seed must be 0 to 2**64 - 1, not {seed}")
        self.l1, self.l2 = l1, l2
        self.page_shift = page_shift
        self._jobs = jobs_of(jobs)
        self._level1 = empty_level(l1, 1, seed)
        self._level2 = empty_level(l2, 2, seed)
        self._predicted = np.zeros(1 << PREDICTION_BITS, np.int64)
        self._by_hash = False  # where predictions are: see `kernels.translating`
        self._latest = np.zeros((2, 1 << PREDICTION_BITS), np.int64)
        self._accesses = 0
        self._l1_misses = 0
        self._l2_misses = 0

    def run(self, addresses: np.ndarray) -> None:
        """Translates addresses in order: int64[n], or uint64[n], which is taken bit for bit.

        The state goes on from call to call. Raises InputError for any other array.
        """
        if addresses.ndim != 1 or addresses.dtype not in (np.int64, np.uint64):
            raise InputError(
                f"addresses must be a one-dimensional array of int64, "
                f"not {addresses.ndim}-dimensional of {addresses.dtype}"
            )
        from mmulab.mmu.tlb_stream import in_parallel
        from mmulab.mmu.tlb_stream.kernels import crowding, translating

        stream = np.ascontiguousarray(addresses).view(np.int64)
        stream.flags.writeable = False  # of the view: one compiled signature serves all
        with np.errstate(over="ignore"):  # when run as plain Python, hashes and xorshift64* warn
            if stream.size >= LONG:
                self._by_hash = crowding(stream, self.page_shift, self._latest) > CROWDED
            if self._jobs > 1 and in_parallel.serves(self.l1, self.l2, stream.size, self._jobs):
                self._level1, self._level2, l1_misses, l2_misses = in_parallel.run(
                    stream, self.page_shift, self._by_hash, self._level1, self._level2, self._jobs
                )
                self._predicted[:] = 0
            else:
                wide1, wide2 = (geometry.ways >= WIDE_WAYS for geometry in (self.l1, self.l2))
                l1_misses, l2_misses = translating(self._by_hash, wide1, wide2)(
                    stream, self.page_shift, self._accesses + 1, self._predicted, self._level1,
                    self._level2, 0,
                )  # fmt: skip
        self._accesses += stream.size
        self._l1_misses += int(l1_misses)
        self._l2_misses += int(l2_misses)

    @property
    def counts(self) -> Counts:
        return Counts(self._accesses, self._l1_misses, self._l2_misses)
