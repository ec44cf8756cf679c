"""A student's own numbers: reproducible on any machine, and hard to guess.

Each draw is HMAC-SHA256 (RFC 2104) under the instructor's seed of the assignment's name,
the student's id and a counter; whole numbers are taken from it without bias by rejection.
No floating point and no library's generator is involved, so that the numbers never change.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A stream of draws for one student and assignment.

    seed: the instructor's secret, any text. student: the id, as the course writes it.
    """

    def __init__(self, seed: str, student: str, assignment: str) -> None:
        self._key = hashlib.sha256(seed.encode()).digest()
        self._name = f"{len(assignment)}:{assignment}{len(student)}:{student}".encode()
        self._count = 0

    def bits(self, count: int) -> int:
        """A whole number below 2**count, count up to 256."""
        if not 0 <= count <= 256:
            raise ValueError(f"{count} bits; expected 0 to 256")
        message = self._name + self._count.to_bytes(8, "little")
        self._count += 1
        block = hmac.new(self._key, message, hashlib.sha256).digest()
        return int.from_bytes(block, "little") & ((1 << count) - 1)

    def below(self, end: int) -> int:
        """A whole number from 0 to end - 1, each as likely."""
        if end < 1:
            raise ValueError(f"a draw below {end}; expected at least 1")
        while True:
            number = self.bits((end - 1).bit_length())
            if number < end:
                return number

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self.below(high - low + 1)

    def choice(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All items in a drawn order (Fisher and Yates; Knuth, TAOCP vol. 2, 3.4.2 P)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """count different items, in a drawn order."""
        return self.shuffled(items)[:count]
