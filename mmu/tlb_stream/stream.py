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
from typing import NamedTuple

import numpy as np

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.presets.preset import POLICIES
from mmulab.mmu.tlb_stream.constants import (
    CROWDED,
    GROUP,
    LONG,
    NO_PAGE,
    PREDICTION_BITS,
    WIDE_WAYS,
)

MAX_SLOTS = 1 << 24  # ways of all sets of a level: an assumption, far above any TLB


@dataclass(frozen=True)
class Geometry:
    """A TLB level: sets (a power of two; 1 is fully associative), ways, policy.

    policy: "lru", "plru" (ways a power of two), "fifo" or "random". Raises InputError.
    """

    sets: int
    ways: int
    policy: str = "lru"

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise unknown("replacement policy", self.policy, POLICIES)
        if not _power_of_two(self.sets):
            raise InputError(f"TLB sets must be a power of two, not {self.sets}")
        if self.ways < 1:
            raise InputError(f"TLB ways must be at least 1, not {self.ways}")
        if self.policy == "plru" and not _power_of_two(self.ways):
            raise InputError(f"TLB ways must be a power of two under plru, not {self.ways}")
        if self.sets * self.ways > MAX_SLOTS:
            raise InputError(
                f"a TLB of {self.sets} sets x {self.ways} ways is too large; "
                f"expected at most {MAX_SLOTS} entries"
            )


@dataclass(frozen=True)
class Counts:
    """What happened so far. An L1 miss that hits in L2 is not an L2 miss."""

    accesses: int
    l1_misses: int
    l2_misses: int


class Chains(NamedTuple):
    """What wide sets have besides: see `wide`.

    heads: int32[hashes], first slot of those whose page has a hash, -1 where there is none
    nexts: int32[slots], the next one, -1 after the last
    queue: int32[slots], slots of each set in the order of their last touches at one time
    queued: int64[slots], the times of those touches
    spare, spare_times: int32 and int64[ways], room to sort a queue
    shift: 64 less the bits of a hash
    """

    heads: np.ndarray
    nexts: np.ndarray
    queue: np.ndarray
    queued: np.ndarray
    spare: np.ndarray
    spare_times: np.ndarray
    shift: int


class Level(NamedTuple):
    """State of a level, as the kernels see it. A slot is set * stride + way.

    tags, times: int64[sets * stride], page number and time of the last touch
    used: int64[sets], ways filled so far; under FIFO, the way filled next
    random: uint64[1], state of the generator
    newest: int64[sets], slot touched last; newer, older: int64[sets * stride], its
        circular list: the slot newer than the newest is the oldest. Empty in an L1.
    chains: of wide sets
    """

    tags: np.ndarray
    times: np.ndarray
    used: np.ndarray
    random: np.ndarray
    newest: np.ndarray
    newer: np.ndarray
    older: np.ndarray
    set_mask: int
    ways: int
    stride: int
    policy: int
    chains: Chains | tuple[()]


def _power_of_two(number: int) -> bool:
    return number >= 1 and number & (number - 1) == 0


def _splitmix64(seed: int, number: int) -> int:
    """The number-th output (from 1) for a seed; never 0, from which xorshift cannot leave."""
    mask = (1 << 64) - 1
    z = (seed + number * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) or 1


def _empty_level(geometry: Geometry, number: int, seed: int) -> Level:
    sets, ways = geometry.sets, geometry.ways
    stride = -(-ways // GROUP) * GROUP
    slots = np.arange(sets * stride, dtype=np.int64).reshape(sets, stride)
    # Way 0 is the oldest of an empty set, then way 1: they are filled in this order.
    listed = slots[:, :ways] if number == 2 else slots[:, :0]
    newer, older = np.zeros_like(slots), np.zeros_like(slots)
    newer[:, : listed.shape[1]] = np.roll(listed, -1, axis=1)
    older[:, : listed.shape[1]] = np.roll(listed, 1, axis=1)
    return Level(
        tags=np.full(slots.size, NO_PAGE),
        times=np.zeros(slots.size, np.int64),
        used=np.zeros(sets, np.int64),
        random=np.array([_splitmix64(seed, number)], np.uint64),
        newest=np.ascontiguousarray(slots[:, ways - 1]),
        newer=newer.ravel(),
        older=older.ravel(),
        set_mask=sets - 1,
        ways=ways,
        stride=stride,
        policy=POLICIES.index(geometry.policy),
        chains=_empty_chains(slots.size, ways) if ways >= WIDE_WAYS else (),
    )


def _empty_chains(slots: int, ways: int) -> Chains:
    bits = (8 * slots - 1).bit_length()
    return Chains(
        heads=np.full(1 << bits, -1, np.int32),
        nexts=np.full(slots, -1, np.int32),
        queue=np.arange(slots, dtype=np.int32),
        queued=np.zeros(slots, np.int64),
        spare=np.zeros(ways, np.int32),
        spare_times=np.zeros(ways, np.int64),
        shift=64 - bits,
    )


class TLBStream:
    """A two-level TLB that is fed with addresses.

    An L1 hit does not touch L2. An L1 miss that hits in L2 fills L1; a miss in both fills
    both. Neither level includes the other: an eviction in one leaves the other alone.

    page_shift: log2 of the page size in bytes. seed: of random replacement, 0 to 2**64 - 1.
    Raises InputError.
    """

    def __init__(self, l1: Geometry, l2: Geometry, page_shift: int = 12, seed: int = 1) -> None:
        if not 1 <= page_shift <= 62:
            raise InputError(f"page_shift must be 1 to 62, not {page_shift}")
        if not 0 <= seed < 1 << 64:
            raise InputError(f"seed must be 0 to 2**64 - 1, not {seed}")
        self.l1, self.l2 = l1, l2
        self.page_shift = page_shift
        self._level1 = _empty_level(l1, 1, seed)
        self._level2 = _empty_level(l2, 2, seed)
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
        from mmulab.mmu.tlb_stream.kernels import crowding, translating

        stream = np.ascontiguousarray(addresses).view(np.int64)
        stream.flags.writeable = False  # of the view: one compiled signature serves all
        wide1, wide2 = (geometry.ways >= WIDE_WAYS for geometry in (self.l1, self.l2))
        with np.errstate(over="ignore"):  # when run as plain Python, hashes and xorshift64* warn
            if stream.size >= LONG:
                self._by_hash = crowding(stream, self.page_shift, self._latest) > CROWDED
            l1_misses, l2_misses = translating(self._by_hash, wide1, wide2)(
                stream,
                self.page_shift,
                self._accesses + 1,
                self._predicted,
                self._level1,
                self._level2,
            )
        self._accesses += stream.size
        self._l1_misses += int(l1_misses)
        self._l2_misses += int(l2_misses)

    @property
    def counts(self) -> Counts:
        return Counts(self._accesses, self._l1_misses, self._l2_misses)
