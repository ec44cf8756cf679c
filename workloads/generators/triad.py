"""STREAM's kernels: long vectors, each element used once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, independent
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    HEAP,
    WORD,
    choice,
    mapped,
    size,
    stream,
)

SUMMARY = "STREAM's copy, scale, add and triad over vectors (McCalpin, IEEE TCCA Newsletter 1995)"
PARAMETERS = {
    "size": size(64 << 20, "bytes of each of the three vectors a, b and c"),
    "kernel": choice("what is computed", "triad", "add", "copy", "scale"),
    "accesses": ACCESSES,
}

# Vectors by number, in the order of an iteration's accesses; the last is stored to.
# triad a = b + s c; add c = a + b; copy c = a; scale b = s c
_ORDERS = ((1, 2, 0), (0, 1, 2), (0, 2), (2, 1))


@entry
def _fill(first, address, kind, vectors, words):
    """vectors: where they begin, in the order of an iteration's accesses."""
    steps = vectors.size
    element, step = divmod(first, steps)
    element %= words
    for position in range(address.size):
        address[position] = vectors[np.uint64(step)] + element * WORD
        step += 1
        kind[position] = STORE if step == steps else LOAD
        if step == steps:
            step = 0
            element += 1
            if element == words:
                element = 0


def depends(parameters: dict[str, int | float]) -> Depends:
    """Counters make all addresses."""
    return independent


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    length = -(-int(parameters["size"]) // 4096) * 4096
    words = int(parameters["size"]) // WORD
    vectors = HEAP + length * np.array(_ORDERS[int(parameters["kernel"])])
    return stream(
        int(parameters["accesses"]),
        mapped((HEAP, 3 * length)),
        lambda first, address, kind: _fill(first, address, kind, vectors, words),
    )
