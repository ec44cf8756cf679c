"""A two-level TLB in plain lists: slow and obvious."""

from __future__ import annotations

import numpy as np

from mmulab.mmu.tlb_stream.levels import Geometry

MASK = (1 << 64) - 1


class Xorshift64Star:
    """As in Vigna's paper, seeded by the level-th output of SplitMix64."""

    def __init__(self, seed: int, level: int) -> None:
        z = (seed + level * 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        self.state = z ^ (z >> 31)

    def below(self, limit: int) -> int:
        x = self.state
        x ^= x >> 12
        x = (x ^ (x << 25)) & MASK
        x ^= x >> 27
        self.state = x
        return (((x * 0x2545F4914F6CDD1D) & MASK) >> 32) * limit >> 32


class SlowSet:
    """One set: a list of pages by way, and for each policy the state that it is taught with."""

    def __init__(self, ways: int, policy: str, generator: Xorshift64Star) -> None:
        self.pages: list[int | None] = [None] * ways
        self.policy = policy
        self.generator = generator
        self.recency: list[int] = []  # ways, touched last at the end
        self.filled: list[int] = []  # ways, filled last at the end
        self.bits = {node: 0 for node in range(1, ways)}  # tree: 1 says right

    def touch(self, page: int) -> bool:
        """Whether the page hit; after a miss it is there."""
        hit = page in self.pages
        if not hit:
            way = self.pages.index(None) if None in self.pages else self.victim()
            self.pages[way] = page
            self.filled = [other for other in self.filled if other != way] + [way]
        way = self.pages.index(page)
        self.recency = [other for other in self.recency if other != way] + [way]
        node = way + len(self.pages)  # the leaf
        while node > 1:
            self.bits[node // 2] = 1 if node % 2 == 0 else 0
            node //= 2
        return hit

    def victim(self) -> int:
        if self.policy == "lru":
            return self.recency[0]
        if self.policy == "fifo":
            return self.filled[0]
        if self.policy == "random":
            return self.generator.below(len(self.pages))
        node = 1
        while node < len(self.pages):
            node = 2 * node + self.bits[node]
        return node - len(self.pages)


class SlowTLB:
    def __init__(self, l1: Geometry, l2: Geometry, page_shift: int, seed: int) -> None:
        self.page_shift = page_shift
        self.levels: list[list[SlowSet]] = []
        for number, geometry in ((1, l1), (2, l2)):
            generator = Xorshift64Star(seed, number)
            self.levels.append(
                [SlowSet(geometry.ways, geometry.policy, generator) for _ in range(geometry.sets)]
            )
        self.misses = [0, 0]

    def run(self, addresses: np.ndarray) -> None:
        for address in addresses.tolist():
            page = (address & MASK) >> self.page_shift
            for level, sets in enumerate(self.levels):
                if sets[page % len(sets)].touch(page):
                    break
                self.misses[level] += 1
