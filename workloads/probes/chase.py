"""Dependent pointer chases: a linked list walked for ever, each load's address the value before.

The order is random, so that no prefetcher knows it, and what the list lies in is one of these:

- `lines`: all lines of some bytes, one block of 128 KiB after another, each in random order: TLBs
  have no part in it but for one miss in 64 steps;
- `pages`: one line in each page, of one page in two: the other is never touched, so that no core
  makes one TLB entry of neighbours. Which of the two it is goes by the parity of the pair's number
  (its bits' sum), so that every set of a TLB, of any power of two, gets as many. Lines have
  different places in their pages, so that sets of the first cache do, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.workloads.probes.memory import LINE, PAGE, WORD
from mmulab.workloads.probes.timing import WINDOW, Run, Sample, operations_for, sample, timed

SPREAD = 2  #: pages of a region of which a chase over `pages` touches one
_BLOCK = 2048  # lines: 32 pages, which every L1 TLB holds
_WARM = 20_000  # steps before any is timed
_AT_ONCE = 4  # runs over a ring before the next: making one takes longer

Tick = Callable[[int], None]


class Curve(NamedTuple):
    """Time of a step by how much the list lies in. sizes: pages, or bytes. samples: ns a step."""

    sizes: tuple[int, ...]
    samples: tuple[Sample, ...]

    def ns(self, which: str = "low") -> np.ndarray:
        """ns a step, float64: of each sample "low", "value", "median" or "high"."""
        return np.array([getattr(each, which) for each in self.samples])

    def to_dict(self) -> dict[str, object]:
        return {"sizes": list(self.sizes), "ns": [each._asdict() for each in self.samples]}


@entry
def follow(words, at, steps):
    """Where the list has come to after so many steps from `at`. The index is unsigned: a
    negative one, counted from the end, would take a comparison in each step."""
    for _ in range(steps):
        at = words[at]
    return at


def pages(count: int, page: int = PAGE) -> np.ndarray:
    """Words, one in each of so many pages of a region of SPREAD times as many, in order."""
    pair = np.arange(count, dtype=np.int64)
    parity = pair.copy()
    for shift in (16, 8, 4, 2, 1):
        parity ^= parity >> shift
    place = SPREAD * pair + (parity & 1)
    return (place * page + _offset(pair, page)) // WORD


def huge_pages(count: int, page: int) -> np.ndarray:
    """Words, one in each of so many pages side by side, for pages too large to leave any out."""
    number = np.arange(count, dtype=np.int64)
    return (number * page + _offset(number * 73, page)) // WORD


def _offset(number: np.ndarray, page: int) -> np.ndarray:
    return number % (page // LINE) * LINE


def dense(count: int) -> np.ndarray:
    """Words, one in each of so many lines side by side."""
    return np.arange(count, dtype=np.int64) * (LINE // WORD)


def shuffled(words: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """In random order."""
    return words[random.permutation(words.size)]


def by_blocks(words: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Blocks in random order, and in random order within: the block's own shuffle, turned by an
    exclusive or."""
    blocks = words.size // _BLOCK
    if blocks < 2:
        return shuffled(words, random)
    within = random.permutation(_BLOCK)[None, :] ^ random.integers(_BLOCK, size=(blocks, 1))
    order = (within + _BLOCK * random.permutation(blocks)[:, None]).ravel()
    return np.concatenate([words[order], words[blocks * _BLOCK :]])


def link(memory: np.ndarray, order: np.ndarray) -> np.uint64:
    """Makes a ring of words in this order; gives the first."""
    memory[order] = np.roll(order, -1)
    return np.uint64(order[0])


def ring(memory: np.ndarray, order: np.ndarray, window: int = WINDOW) -> list[Run]:
    """Runs over a ring of this order, which has been walked once before. Each goes on where the
    one before ended: a run may be too short to come round."""
    at = link(memory, order)
    steps = max(order.size, _WARM)

    def work() -> None:
        nonlocal at
        at = np.uint64(follow(memory, at, np.int64(steps)))

    steps = operations_for(timed(work, steps).ns, window)
    return [timed(work, steps) for _ in range(_AT_ONCE)]


def curve(
    memory: np.ndarray,
    sizes: Sequence[int],
    order: Callable[[int, np.random.Generator], np.ndarray],
    seconds: float,
    tick: Tick,
    least: int = 3,
) -> Curve:
    """Times by size, in rounds over all sizes until the seconds are over: what disturbs one round
    does not disturb the others. order(size, random): the words of a ring. tick: told the runs."""
    random = np.random.default_rng(1)
    follow(memory, link(memory, order(sizes[0], random)), np.int64(1))  # compiled
    runs: list[list[Run]] = [[] for _ in sizes]
    until = time.monotonic() + seconds
    rounds = 0
    while rounds < least or time.monotonic() < until:
        for found, size in zip(runs, sizes, strict=True):
            if rounds >= least and time.monotonic() > until:
                break
            found += ring(memory, order(size, random))
            tick(1)
        rounds += 1
    return Curve(tuple(sizes), tuple(map(sample, runs)))


def steps(least: int, most: int, octave: int) -> list[int]:
    """Sizes from least to most, so many in each doubling, all multiples of a power of two over
    `octave`: those that structures have (96, 1,536) are among eight."""
    found: list[int] = []
    power = 1
    while power <= most:
        found += [power * (octave + part) // octave for part in range(octave)]
        power *= 2
    return sorted({size for size in found if least <= size <= most})
