"""Levels of the TLB: what they are like, and their state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.presets.preset import POLICIES
from mmulab.mmu.tlb_stream.constants import GROUP, NO_PAGE, WIDE_WAYS

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


def empty_level(geometry: Geometry, number: int, seed: int = 1) -> Level:
    """L1 or L2, by its number. seed: of random replacement."""
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
