"""Parameters of generators, and what the generators share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmulab.mmu.config.units import parse_bytes, parse_count, show
from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import EVENT, MMAP, NO_EVENTS, PROT_READ, PROT_WRITE, Chunk

CHUNK = 1 << 20

#: Accesses that one step of an algorithm may make beyond the end of a chunk.
SPARE = 64

# A Linux process's usual places (x86-64, position-independent executable).
HEAP = 0x5555_5600_0000
ARENA = 0x7F00_0000_0000

WORD = 8  # bytes of an access, unless a generator says otherwise

#: The largest regions at HEAP and at ARENA: less than half of the room up to ARENA, and
#: half of the room up to the end of user space, 2**47, below which the stack lies.
LARGEST, LARGEST_ARENA = 1 << 44, 1 << 39


@dataclass(frozen=True)
class Parameter:
    """kind: "bytes" (binary suffixes), "count" (decimal suffixes), "fraction", "choice" or
    "text".

    A choice's value is its place in `choices`.
    """

    default: Any
    meaning: str
    kind: str = "count"
    least: float = 1
    most: float = 1 << 50
    choices: tuple[str, ...] = ()

    def parse(self, what: str, text: str) -> Any:
        """The value of a text. Raises InputError saying what was expected."""
        if self.kind == "text":
            return text
        if self.kind == "choice":
            if text not in self.choices:
                raise InputError(f"{what}={text}: expected {', '.join(self.choices)}")
            return self.choices.index(text)
        parse = {"bytes": parse_bytes, "count": parse_count}.get(self.kind, float)
        try:
            value = parse(text)
        except ValueError:
            raise InputError(f"{what}={text}: expected a {self._expected()}") from None
        if not self.least <= value <= self.most:
            raise InputError(
                f"{what}={text}: expected a {self._expected()}, "
                f"from {self.show(self.least)} to {self.show(self.most)}"
            )
        return value

    def _expected(self) -> str:
        return {
            "bytes": "size in bytes such as 256M (K, M, G, T are binary)",
            "count": "number such as 20M (K, M, G, T are decimal)",
        }.get(self.kind, "fraction")

    def show(self, value: Any) -> str:
        """The shortest text that parses to the value."""
        if self.kind == "text":
            return str(value)
        if self.kind == "choice":
            return self.choices[int(value)]
        if self.kind == "fraction":
            return repr(float(value)).removesuffix(".0")
        return show(int(value), 1024 if self.kind == "bytes" else 1000)


ACCESSES = Parameter(20_000_000, "accesses in all")


def size(default: int, meaning: str, most: int = LARGEST) -> Parameter:
    return Parameter(default, meaning, "bytes", 4096, most)


def choice(meaning: str, *choices: str) -> Parameter:
    """A parameter that is one of several words, the first unless given."""
    return Parameter(0, f"{meaning}: {', '.join(choices)}", "choice", choices=choices)


def mapped(*regions: tuple[int, int]) -> np.ndarray:
    """MMAP events of process 1 for (start, length) regions, readable and writable."""
    events = np.zeros(len(regions), EVENT)
    for event, (start, length) in zip(events, regions, strict=True):
        event["kind"], event["pid"] = MMAP, 1
        event["start"], event["length"] = start, length
        event["value"] = PROT_READ | PROT_WRITE
    return events


def stream(
    accesses: int,
    events: np.ndarray,
    fill: Callable[[int, np.ndarray, np.ndarray], None],
) -> Iterator[Chunk]:
    """Chunks of word-sized accesses; `fill(first, address, kind)` makes accesses first, ..."""
    for first in range(0, accesses, CHUNK):
        count = min(CHUNK, accesses - first)
        address = np.empty(count, np.int64)
        kind = np.empty(count, np.uint8)
        fill(first, address, kind)
        yield Chunk(address, kind, np.full(count, WORD, np.uint16), events)
        events = NO_EVENTS


def resumed(
    accesses: int,
    events: np.ndarray,
    fill: Callable[[np.ndarray, np.ndarray], int],
) -> Iterator[Chunk]:
    """Chunks of word-sized accesses of an algorithm that keeps its own state.

    `fill(address, kind)` goes on from where it stopped and takes whole steps, of at most
    SPARE accesses each, while there is room for one; it returns how many accesses it made.
    What a step makes beyond the end of a chunk goes into the next.
    """
    address, kind = np.empty(0, np.int64), np.empty(0, np.uint8)
    for first in range(0, accesses, CHUNK):
        count = min(CHUNK, accesses - first)
        made, end = len(address), count + SPARE
        address = np.concatenate([address, np.empty(max(0, end - made), np.int64)])
        kind = np.concatenate([kind, np.empty(max(0, end - made), np.uint8)])
        while made < count:
            made += fill(address[made:end], kind[made:end])
        yield Chunk(address[:count], kind[:count], np.full(count, WORD, np.uint16), events)
        address, kind = address[count:made], kind[count:made]
        events = NO_EVENTS
